"""Real clips of speech through the serial line: a keyword network that edgert quantized itself, bit for bit.

The 500 clips are slow: python -m pytest -m slow -s tests/microcontrollers/test_kws_clips.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

import edgert
from edgert.bundle import Bundle
from edgert.devices.board_session import BoardSession
from edgert.devices.names import Device
from edgert_converters.interpreter import Interpreter
from tests.microcontrollers.boards import need_tools

TARGET, DEVICE = "qemu-mps2-an386", Device("board", "qemu:mps2-an386")
MANY, FEW = 500, 5


def read_clips(zoo: Path) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Features for calibration [N, 49, 10, 1], and those and the labels of all other clips."""
    with np.load(zoo / "data" / "speech_commands_v2_test_mfcc_4890.npz") as data:
        x = data["mfcc"].astype(np.float32).reshape(-1, 49, 10, 1)
        is_calib, labels = data["split_calib"].astype(bool), data["labels"]
    return x[is_calib], x[~is_calib], labels[~is_calib]


@pytest.fixture(scope="module")
def bundle(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_tools()
    folder = tmp_path_factory.mktemp("kws")
    np.savez(folder / "calib.npz", x=read_clips(zoo)[0][:64])
    output = folder / "kws.edge"
    model = zoo / "models" / "mlperf_tiny_kws_dscnn_float.tflite"
    edgert.convert(model, calib=str(folder / "calib.npz"), targets=(TARGET,), formats=("c",), output=output)
    return output


def count_equal(bundle: Path, clips: NDArray[np.float32]) -> tuple[int, NDArray[np.int64]]:
    """How many clips give the interpreter's outputs, and what the board heard."""
    with Bundle.open(bundle) as opened:
        variant = opened.manifest.variant(f"c-{TARGET}")
        graph = opened.read(f"variants/{variant.id}/graph.onnx")
    assert variant.requantize == "fp32"
    model = ir.from_proto(onnx.load_from_string(graph))
    interpreter, fed = Interpreter(model), str(model.graph.inputs[0].name)
    equal, heard = 0, []
    with BoardSession(DEVICE, bundle) as board:
        for clip in clips:
            (found,) = board.session.run(clip[None]).values()
            (expected,) = interpreter.run({fed: clip[None]}).outputs.values()
            equal += np.array_equal(found, expected)
            heard.append(int(found.argmax()))
    return equal, np.array(heard)


def test_a_few_clips(bundle: Path, zoo: Path) -> None:
    _, clips, _ = read_clips(zoo)
    assert count_equal(bundle, clips[:FEW])[0] == FEW


@pytest.mark.slow
def test_five_hundred_clips(bundle: Path, zoo: Path) -> None:
    _, clips, labels = read_clips(zoo)
    chosen = np.random.default_rng(0).permutation(len(clips))[:MANY]
    equal, heard = count_equal(bundle, clips[chosen])
    accuracy = float(np.mean(heard == labels[chosen]))
    print(f"{equal} of {MANY} clips equal on {TARGET}, accuracy {accuracy:.1%}")  # noqa: T201  # shown with -s
    assert equal == MANY
    assert accuracy > 0.85
