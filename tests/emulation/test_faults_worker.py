"""What happens while a model runs on a board: to its process, its engine, its clock, its link, and to its set-up."""

from __future__ import annotations

import itertools
import json
import random
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.emulation.board import EmulatedBoard
from tests.emulation.laptop import Laptop
from tests.emulation.session import (
    PATIENCE_S,
    Running,
    add,
    await_idle,
    await_that,
    edgert,
    kept_files,
    start,
)

pytestmark = pytest.mark.emulation

WORKER = "edgert.profiler.worker"
_DOT_PRODUCT = """
import ctypes, mmap, struct
_place = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
_place.write(struct.pack("<II", 0x4E829420, 0xD65F03C0))  # sdot v0.4s, v1.16b, v2.16b; ret
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(_place)))()
"""
"""What an engine does that takes a Cortex-A72 for a newer core."""


@dataclass(frozen=True)
class Ready:
    """A board with LiteRT, the laptop that set it up, and a model with an input for it."""

    board: EmulatedBoard
    laptop: Laptop
    model: Path
    input: Path

    def start_profile(self) -> Running:
        """Starts a profile that is far from its end when its worker is seen to run."""
        words = ["--duration", "2s", "--sustained", "60s", "--energy", "none"]
        running = start(self.laptop, "profile", self.model, "--device", "pi", *words)
        await_that(lambda: any(WORKER in process.command for process in self.board.processes()), "no worker")
        await_that(lambda: any(self.model.name in name for name in kept_files(self.board)), "no model")
        return running

    def assert_works(self) -> None:
        """Nothing is left of what was before, and the next command works."""
        await_idle(self.board)
        assert not [name for name in kept_files(self.board) if name.startswith(("tmp/", "incoming/"))]
        done = edgert(self.laptop, "run", self.model, "--device", "pi", "--input", self.input, "--json")
        assert done.status == 0, done.err
        assert done.json["facts"]["engine"] == "litert"


@pytest.fixture(scope="module")
def shared(zoo: Path, laptop_key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    """The module's board, set up once."""
    laptop = Laptop(tmp_path_factory.mktemp("home"), laptop_key)
    source = tmp_path_factory.mktemp("input") / "x.npy"
    np.save(source, np.zeros((1, 49, 10, 1), np.float32))
    key = laptop_key.with_suffix(".pub").read_text()
    with EmulatedBoard("pi4", authorized_key=key, steps_clock=True) as board:
        add(laptop, board)
        done = edgert(laptop, "devices", "setup", "pi", "--offline", "--engine", "litert")
        assert done.status == 0, done.err
        yield Ready(board, laptop, zoo / "models" / "mlperf_tiny_kws_dscnn_int8.tflite", source)


@pytest.fixture
def ready(shared: Ready) -> Iterator[Ready]:
    """The module's board, which must work again afterwards."""
    yield shared
    shared.board.link.restore()
    shared.assert_works()


def make_wheels(folder: Path, data: bytes) -> Path:
    """Wheels in the form that LiteRT's have, with nothing in them that would run."""
    folder.mkdir()
    for name in ("numpy", "ai_edge_litert"):
        with zipfile.ZipFile(folder / f"{name}-9.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr(f"{name}/data.bin", data)
            wheel.writestr(f"{name}-9.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.0\n")
            wheel.writestr(f"{name}-9.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{name}-9.0.dist-info/RECORD", "")
    return folder


def test_a_link_down_in_a_profile(ready: Ready) -> None:
    records = set(ready.laptop.home.glob("records/**/*.json"))
    running = ready.start_profile()
    ready.board.link.down()
    done = running.end()
    assert done.status == 3
    assert "pi: no answer for 4 s; is it on, is the network up?" in done.err
    assert set(ready.laptop.home.glob("records/**/*.json")) == records


@pytest.mark.slow
def test_a_login_that_is_killed(ready: Ready) -> None:
    running = ready.start_profile()
    assert ready.board.kill_logins() > 0
    done = running.end()
    assert done.status == 3
    assert "pi: the connection ended (ssh status 255)" in done.err


def test_a_board_that_reboots(ready: Ready) -> None:
    running = ready.start_profile()
    ready.board.reboot()
    done = running.end()
    assert done.status == 3
    assert "pi: the connection ended (ssh status 255)" in done.err


def test_a_worker_that_the_kernel_kills_for_its_memory(ready: Ready) -> None:
    running = ready.start_profile()
    assert ready.board.kill(WORKER) == 1
    done = running.end()
    assert done.status == 4
    assert "the worker was killed, most likely because memory ran out while profiling the model" in done.err


def test_an_engine_that_uses_an_instruction_which_the_processor_lacks(ready: Ready) -> None:
    (engine,) = Path(f"{ready.board.root}/home/pi/.local/share/edgert/environments").glob(
        "*/lib/python3.11/site-packages/ai_edge_litert/__init__.py"
    )
    own = engine.read_text()
    engine.write_text(own + _DOT_PRODUCT)
    try:
        done = edgert(ready.laptop, "run", ready.model, "--device", "pi", "--input", ready.input)
    finally:
        engine.write_text(own)
    assert done.status == 4
    assert "the worker used an instruction that this CPU does not have while loading the model" in done.err


def test_an_interrupt_in_a_profile(ready: Ready) -> None:
    running = ready.start_profile()
    running.interrupt()
    done = running.end()
    assert done.status == 130
    assert "Traceback" not in done.err


def test_a_clock_that_is_set_in_a_profile_is_in_the_record(ready: Ready) -> None:
    words = ["--duration", "3s", "--energy", "none", "--json"]
    running = start(ready.laptop, "profile", ready.model, "--device", "pi", *words)
    await_that(lambda: any(WORKER in process.command for process in ready.board.processes()), "no worker")
    await_that(lambda: any(ready.model.name in name for name in kept_files(ready.board)), "no model")
    steps_s = itertools.count(600.0, 600.0)

    def is_over() -> bool:
        ready.board.step_clock(next(steps_s))
        return running.has_ended

    await_that(is_over, "the profile does not end", PATIENCE_S)
    done = running.end()
    ready.board.step_clock(0.0)
    assert done.status == 0, done.err
    record = json.loads(done.out)
    assert record["verdict"] == "invalid"
    assert "clock-step" in [reason["code"] for reason in record["reasons"]]


def test_two_commands_at_once(ready: Ready) -> None:
    words = ["run", ready.model, "--device", "pi", "--input", ready.input, "--json"]
    both = [start(ready.laptop, *words) for _ in range(2)]
    for running in both:
        done = running.end()
        assert done.status == 0, done.err


def test_a_set_up_that_loses_its_link_leaves_the_earlier_one_in_use(ready: Ready, tmp_path: Path) -> None:
    wheels = make_wheels(tmp_path / "wheels", random.Random(0).randbytes(1 << 20))
    ready.board.link.limit_rate(2_000_000)
    running = start(ready.laptop, "devices", "setup", "pi", "--engine", "litert", "--wheels", wheels)
    await_that(lambda: any(name.startswith("incoming/") for name in kept_files(ready.board)), "no wheel goes over")
    ready.board.link.down()
    done = running.end()
    ready.board.shell("rm -r /home/pi/.local/share/edgert/incoming")
    assert done.status == 3
    assert "pi: it cannot be reached: is it on" in done.err


def test_a_disk_that_fills_up_in_a_set_up_leaves_the_earlier_one_in_use(ready: Ready, tmp_path: Path) -> None:
    wheels = make_wheels(tmp_path / "wheels", bytes(8 << 20))
    with ready.board.full_disk(4 << 20):
        done = edgert(ready.laptop, "devices", "setup", "pi", "--engine", "litert", "--wheels", wheels)
    assert done.status == 3
    assert "No space left on device; make room on the board's disk" in done.err
