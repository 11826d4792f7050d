"""The board side on other Pythons and with other engines: set up, run, compare and profile, by the wheels of PyPI.

The board is this computer with the Python in question (tests/native_board.py). tests/emulation has real connections.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgert
from tests.install.conftest import Converted, find_python
from tests.native_board import NativeBoard, make_native_board

ONE_STEP = 0.12
"""Of the digits network's logits: XNNPACK of 2023, in tflite-runtime 2.14, rounds some results to the other side."""


@pytest.mark.parametrize(
    ("version", "engines", "formats"),
    [
        ("3.10", ("onnxruntime", "litert"), ("onnx", "tflite")),
        ("3.11", ("tflite-runtime",), ("tflite",)),
        ("3.13", ("onnxruntime", "litert"), ("onnx", "tflite")),
    ],
)
def test_from_nothing_to_a_profile(
    demo: Converted, tmp_path: Path, version: str, engines: tuple[str, ...], formats: tuple[str, ...]
) -> None:
    board = make_native_board(tmp_path, find_python(version))
    added = board.json("devices", "add", "board", "ssh://somebody@board.local")
    assert added["facts"]["python"].startswith(f"{version}.")
    setup = board.json(
        "devices", "setup", "board", "--offline", *(word for name in engines for word in ("--engine", name))
    )
    assert {"onnx": setup["engines"]["onnxruntime"], "tflite": setup["engines"]["litert"]}.keys() >= set(formats)
    if engines == ("tflite-runtime",):
        packages = board.json("devices", "show", "board")["facts"]["engines"]
        assert packages["tflite-runtime"] == "2.14.0"
        assert packages["numpy"].startswith("1.26.")
        assert setup["engines"]["onnxruntime"] is None
    for name in formats:
        compare(board, demo, f"{name}-int8", tmp_path, ONE_STEP if engines == ("tflite-runtime",) else 1e-5)
        record = board.json(
            "profile", demo.bundle, "--device", "board", "--variant", f"{name}-int8", "--duration", "0.2s"
        )
        assert record["engine"]["python"].startswith(f"{version}.")
    board.json("devices", "clean", "board")
    assert [path for path in board.home.rglob("*") if path.is_file()] == []


def test_the_board_downloads_by_itself(demo: Converted, tmp_path: Path) -> None:
    board = make_native_board(tmp_path, find_python("3.11"))
    added = board.json("devices", "add", "board", "ssh://somebody@board.local")
    if not added["facts"]["has_pip"]:
        pytest.skip("that Python has no pip")
    setup = board.json("devices", "setup", "board", "--engine", "litert")
    assert setup["notes"] == []
    assert setup["engines"]["litert"]
    compare(board, demo, "tflite-int8", tmp_path, 1e-5)
    failed = board.edgert("devices", "setup", "board", "--engine", "litert", "--index-url", "http://127.0.0.1:9/simple")
    assert failed.status == 3
    assert "board: pip on the board failed: " in failed.err
    compare(board, demo, "tflite-int8", tmp_path, 1e-5)  # what was there is there still


def compare(board: NativeBoard, demo: Converted, variant: str, folder: Path, tolerance: float) -> None:
    output = folder / f"{variant}.npz"
    words = ["--device", "board", "--variant", variant, "--input", demo.inputs, "--output", output]
    done = board.edgert("run", demo.bundle, *words)
    assert done.status == 0, done.err
    with np.load(output) as found, np.load(demo.inputs) as inputs, edgert.load(demo.bundle, variant=variant) as session:
        np.testing.assert_allclose(found["logits"], session.run_batched(inputs["x"], 1)["logits"], atol=tolerance)
