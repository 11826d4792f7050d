"""`edgert convert`, `run`, `verify` and `profile` on an emulated board, as a user types them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from edgert import cli
from edgert.bundle import Bundle, write_bundle
from edgert.errors import InputFileError
from edgert.profiler.board_record import parse_board_record
from edgert.profiler.record import parse_record
from tests.microcontrollers.boards import need_tools, read_samples

TARGET, DEVICE = "qemu-mps2-an386", "qemu:mps2-an386"


@pytest.fixture(scope="module")
def bundle(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_tools()
    path = tmp_path_factory.mktemp("bundle") / "net.edge"
    assert cli.main(["convert", str(zoo / "models/micro_speech.tflite"), "-t", TARGET, "-o", str(path)]) == 0
    return path


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("EDGERT_SETTINGS", str(tmp_path))
    assert cli.main(["devices", "add", "board", DEVICE]) == 0
    return "board"


def with_files(bundle: Path, changed: dict[str, bytes], path: Path) -> Path:
    """The bundle with other contents of some files of its C."""
    with Bundle.open(bundle) as opened:
        names = [name for name in opened.manifest.files if name != "manifest.json"]
        files = {name: changed.get(name.rpartition("/")[2], opened.read(name)) for name in names}
        manifest = dataclasses.replace(opened.manifest, files={})
    return write_bundle(path, manifest, files)


def source_of(bundle: Path) -> str:
    with Bundle.open(bundle) as opened:
        return opened.read(f"variants/c-{TARGET}/model.c").decode()


def test_run(bundle: Path, board: str, zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs, outputs = read_samples(zoo, "micro_speech", 3)
    np.save(tmp_path / "x.npy", inputs.reshape(3, -1))
    words = ["run", str(bundle), "--device", board, "--input", str(tmp_path / "x.npy"), "--batch-size", "1"]
    capsys.readouterr()
    assert cli.main([*words, "--quantized", "--output", str(tmp_path / "y.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["facts"]["target"] == TARGET
    (found,) = np.load(tmp_path / "y.npz").values()
    assert np.array_equal(found.reshape(3, -1), outputs.reshape(3, -1))


def test_verify_finds_no_difference(bundle: Path, board: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert cli.main(["verify", str(bundle), "--device", board, "--samples", "2", "--json"]) == 0
    (pair,) = json.loads(capsys.readouterr().out)["pairs"]
    assert (pair["b"], pair["mode"], pair["first_divergence"]) == (TARGET, "end_to_end", None)
    assert [row["layer"] for row in pair["layers"]] == ["Conv", "Gemm", "Softmax"]


def test_verify_names_the_first_layer_that_differs(
    bundle: Path, board: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bias of the fully connected layer is another: the layer before it stays right."""
    source, count = re.subn(
        r"(channels_1\[4\] EDGERT_WEIGHTS = \{\s*\{)(-?\d+)", r"\g<1>1000000 + \2", source_of(bundle)
    )
    assert count == 1
    doctored = with_files(bundle, {"model.c": source.encode()}, tmp_path / "doctored.edge")
    capsys.readouterr()
    assert cli.main(["verify", str(doctored), "--device", board, "--samples", "1", "--json"]) == 1
    (pair,) = json.loads(capsys.readouterr().out)["pairs"]
    assert pair["first_divergence"]["op"] == "Gemm"


def test_profile(bundle: Path, board: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    path = tmp_path / "record.json"
    words = ["profile", str(bundle), "--device", board, "--duration", "0s", "-o", str(path)]
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert "counted by an emulator (no measure of time)" in text
    assert " ms" not in text
    record = parse_board_record(path.read_bytes())
    assert (record.source, record.cycles, record.device.name) == ("emulated", None, board)
    assert record.instructions is not None
    assert record.spread.runs == 3
    total = sum(layer.instructions or 0 for layer in record.layers)
    assert abs(total - record.instructions) < 0.02 * total
    assert record.ram_bytes.total < 8192
    assert abs(record.flash_bytes.weights - record.model.bytes) < 100  # the compiler may cut a table's last padding
    assert record.energy is None
    assert "no power meter was named" in str(record.energy_reason)
    with pytest.raises(InputFileError, match="the record of a microcontroller"):
        parse_record(path.read_bytes())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["profile", "--threads", "2"], "a microcontroller has no"),
        (["run", "--threads", "2", "--input", "x.npy"], "it has no --engine"),
        (["profile", "--variant", "onnx-int8"], "'onnx-int8' is onnx; a board runs a variant of format c"),
    ],
)
def test_what_a_board_does_not_take_is_usage(
    words: list[str],
    said: str,
    bundle: Path,
    board: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.zeros((1, 1960), np.float32))
    assert cli.main([words[0], str(bundle), "--device", board, *words[1:]]) == 2
    assert said in capsys.readouterr().err


def test_another_board_than_the_bundle_is_for(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(bundle), "--device", "qemu:mps3-an547"]) == 4
    assert f"no C for qemu-mps3-an547 (it has C for {TARGET}); convert the model with -t" in capsys.readouterr().err


def test_verify_on_this_computer_needs_no_device(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(bundle), "--device", "local:"]) == 2
    assert "leave it out for this computer" in capsys.readouterr().err
