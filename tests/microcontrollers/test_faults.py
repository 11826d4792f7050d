"""What goes wrong on a serial line is a clear error with its exit code, soon, and the next run works."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgert import cli
from edgert.devices import board, protocol
from edgert.devices.board import BoardClient
from edgert.devices.qemu import Emulator, _keeper
from edgert.errors import DeviceError, EngineError
from edgert_converters.exporters.c import CFolder
from tests.microcontrollers.boards import ZOO_NAMES, build, export_for, need_tools, read_samples, write_c_bundle
from tests.microcontrollers.shim import Damage, Harm, Shim

TARGET, MACHINE = "qemu-mps2-an386", "mps2-an386"
IN_THE_MIDDLE = 300
"""Requests and replies of the model have more than 600 bytes; the description before them has under 100."""
WITHIN_S = 10.0
OUTPUT = "Identity"
FAULTY = 77
"""First input value on which the doctored model faults."""


@pytest.fixture(scope="module")
def model(zoo: Path) -> CFolder:
    need_tools()
    return export_for(TARGET, zoo / "models" / f"{ZOO_NAMES['ad']}.tflite", "ad")


@pytest.fixture(scope="module")
def bundle(model: CFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_c_bundle(tmp_path_factory.mktemp("bundle") / "ad.edge", model, TARGET)


@pytest.fixture(scope="module")
def elf(model: CFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(TARGET, model.files, tmp_path_factory.mktemp("firmware")).elf


@pytest.fixture(scope="module")
def shim(elf: Path) -> Iterator[Shim]:
    """One board for all: what one test does to it must not trouble the next."""
    emulator = Emulator(MACHINE, elf)
    made = Shim(emulator.running_stream)
    yield made
    made.close()
    emulator.close()


@pytest.fixture
def sample(zoo: Path, tmp_path: Path) -> Path:
    inputs, _ = read_samples(zoo, "ad", 1)
    np.save(tmp_path / "x.npy", inputs[0].reshape(1, -1))
    return tmp_path / "x.npy"


def run(bundle: Path, sample: Path, url: str, output: Path) -> int:
    words = ["run", str(bundle), "--device", url, "--input", str(sample), "--quantized", "--output", str(output)]
    return cli.main(words)


def assert_works(bundle: Path, sample: Path, url: str, zoo: Path) -> None:
    output = sample.with_name("y.npz")
    assert run(bundle, sample, url, output) == 0
    assert np.array_equal(np.load(output)[OUTPUT].reshape(-1), read_samples(zoo, "ad", 1)[1].reshape(-1))


@pytest.mark.parametrize("to_board", [True, False], ids=["request", "reply"])
@pytest.mark.parametrize("harm", Harm, ids=lambda harm: harm.value)
def test_damage_on_the_line(
    harm: Harm,
    to_board: bool,
    shim: Shim,
    bundle: Path,
    sample: Path,
    zoo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shim.damage = Damage(harm, IN_THE_MIDDLE, to_board)
    assert board._SILENCE_S <= WITHIN_S / 2
    start = time.monotonic()
    with monkeypatch.context() as patch:
        if harm is Harm.TRUNCATE:  # the one that is waited for
            patch.setattr(board, "_SILENCE_S", 2.0)
        assert run(bundle, sample, shim.url, sample.with_name("y.npz")) == 3
    assert time.monotonic() - start < WITHIN_S
    words = {
        Harm.TRUNCATE: "does not answer" if to_board else "stopped in the middle of a reply",
        Harm.UNPLUG: "is gone",
    }
    assert words.get(harm, "damaged on the line") in capsys.readouterr().err
    assert_works(bundle, sample, shim.url, zoo)


@pytest.mark.parametrize(
    ("harm", "place"),
    [(Harm.FLIP, 0), (Harm.FLIP, 3), (Harm.LOSE, 1), (Harm.LOSE, 4), (Harm.LOSE, 10), (Harm.DOUBLE, 7)],
)
def test_damage_while_the_board_is_woken_costs_an_attempt_at_most(
    harm: Harm, place: int, shim: Shim, bundle: Path, sample: Path, zoo: Path
) -> None:
    shim.damage = Damage(harm, place, to_board=bool(place % 2))
    status = run(bundle, sample, shim.url, sample.with_name("y.npz"))
    assert status in {0, 3}
    assert_works(bundle, sample, shim.url, zoo)


def test_a_line_that_nobody_listens_on(bundle: Path, sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle, sample, "socket://127.0.0.1:1", sample) == 3
    assert "cannot be reached" in capsys.readouterr().err


def test_another_model_on_the_board(
    shim: Shim, model: CFolder, zoo: Path, sample: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = dataclasses.replace(model, files={**model.files, "model.c": model.files["model.c"] + b"/* other */"})
    wrong = write_c_bundle(sample.with_name("other.edge"), other, TARGET)
    assert run(wrong, sample, shim.url, sample) == 3
    assert "the board runs another model" in capsys.readouterr().err
    assert_works(bundle, sample, shim.url, zoo)


def test_firmware_of_another_version(
    model: CFolder,
    bundle: Path,
    sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(protocol, "VERSION", 99)
        firmware = build(TARGET, model.files, tmp_path)
    emulator = Emulator(MACHINE, firmware.elf)
    shim = Shim(emulator.running_stream)
    try:
        assert run(bundle, sample, shim.url, sample) == 3
        assert "its firmware speaks protocol 99, this edgert 1; flash it again" in capsys.readouterr().err
    finally:
        shim.close()
        emulator.close()


def test_inputs_of_the_wrong_size(elf: Path, zoo: Path) -> None:
    inputs, outputs = read_samples(zoo, "ad", 1)
    sound = inputs[0].tobytes()
    emulator = Emulator(MACHINE, elf)
    try:
        client = BoardClient(emulator.running_stream, "board")
        for wrong in (sound[:-1], sound + b"1", b"", sound * 8):
            with pytest.raises(EngineError, match=f"request has {len(wrong)} bytes; the model's inputs are 640"):
                client.run(wrong)
        assert client.run(sound).outputs == outputs[0].tobytes()
    finally:
        emulator.close()


def test_inputs_of_the_wrong_size_on_the_command_line(
    shim: Shim, bundle: Path, sample: Path, zoo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = sample.with_name("wrong.npy")
    np.save(wrong, np.load(sample)[:, :-1])
    assert run(bundle, wrong, shim.url, sample) == 4
    assert "639" in capsys.readouterr().err
    assert_works(bundle, sample, shim.url, zoo)


_RECURSION = b"""
__attribute__((noinline)) static int overflow(int depth)
{
    volatile int big[8] = {depth};
    return depth ? overflow(depth - 1) + big[0] : 0;
}
"""
_FAULTS = {
    "no such memory": "*(volatile int *)0x1FFFFF00 = 1;",
    "no such instruction": '__asm volatile("udf #0");',
    "stack": "overflow(5000);",
}


@pytest.mark.parametrize("cause", _FAULTS)
def test_a_hard_fault(
    cause: str, model: CFolder, zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model faults on one input: the board says so, resets itself, and runs the next."""
    offset = model.plan.offsets[model.network.inputs[0]]
    head = b"unsigned char *const arena = memory;"
    assert model.files["model.c"].count(head) == 1
    trap = f"\n    if (*(volatile signed char *)(arena + {offset}) == {FAULTY}) {{ {_FAULTS[cause]} }}\n"
    source = model.files["model.c"].replace(head, head + trap.encode())
    source = source.replace(b"\nvoid edgert_ad_run(", _RECURSION + b"\nvoid edgert_ad_run(")
    files = {**model.files, "model.c": source}
    faulty = dataclasses.replace(model, files=files)
    doctored = write_c_bundle(tmp_path / "faulty.edge", faulty, TARGET)
    emulator = Emulator(MACHINE, build(TARGET, files, tmp_path / "build").elf)
    shim = Shim(emulator.running_stream)
    inputs, _ = read_samples(zoo, "ad", 1)
    bad, good = inputs[0].reshape(1, -1).copy(), tmp_path / "x.npy"
    bad[0, 0] = FAULTY
    np.save(tmp_path / "bad.npy", bad)
    np.save(good, inputs[0].reshape(1, -1))
    try:
        assert_works(doctored, good, shim.url, zoo)
        assert run(doctored, tmp_path / "bad.npy", shim.url, tmp_path / "y.npz") == 3
        assert "the processor faulted at " in capsys.readouterr().err
        assert_works(doctored, good, shim.url, zoo)
    finally:
        shim.close()
        emulator.close()


def test_an_emulator_that_is_killed_in_the_middle(elf: Path, zoo: Path) -> None:
    emulator = Emulator(MACHINE, elf)
    inputs, _ = read_samples(zoo, "ad", 1)
    try:
        client = BoardClient(emulator.running_stream, "board")
        killer = threading.Timer(0.05, os.kill, (emulator.pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(DeviceError, match="the line is gone .*unplugged"):
            for _ in range(100_000):
                client.run(inputs[0].tobytes())
        killer.join()
    finally:
        emulator.close()


@pytest.mark.skipif(not _keeper(), reason="no setpriv of util-linux")
def test_an_emulator_ends_with_a_process_that_is_killed(elf: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from edgert.devices.qemu import Emulator\n"
        "emulator = Emulator(sys.argv[1], Path(sys.argv[2])); print(emulator.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, MACHINE, str(elf)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        emulator = Path("/proc") / owner.stdout.readline().strip()
        assert b"qemu-system-arm" in (emulator / "cmdline").read_bytes()
        owner.kill()
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline and (emulator / "cmdline").exists() and (emulator / "cmdline").read_bytes():
        time.sleep(0.05)
    assert not (emulator / "exe").exists()
