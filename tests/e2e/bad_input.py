"""What the tests of bad input share: running the command line in this process, and files that are wrong in one way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import edgert
from edgert import cli

DEMO = Path(edgert.__file__).parent / "demo"
MODEL = DEMO / "digits.onnx"


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def refuse(
    capsys: pytest.CaptureFixture[str], folder: Path, words: Sequence[object], status: int, expected: str
) -> str:
    """Runs one command line that must fail with that status and text, and change nothing in `folder`."""
    before = listing(folder)
    capsys.readouterr()
    try:
        got = cli.main([str(word) for word in words])
    except SystemExit as leave:  # argparse
        got = int(str(leave.code))
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert got == status, captured.err
    assert re.search(expected, captured.err), captured.err
    assert listing(folder) == before
    return captured.err


def save_model(path: Path, nodes: list[onnx.NodeProto], *, shape: Sequence[int | str] = (1, 4), **more: object) -> Path:
    """Writes a model x -> y; `initializers` and `domain` are what a case adds."""
    initializers = more.get("initializers", [])
    domains = [
        helper.make_opsetid("", 18),
        *([helper.make_opsetid(str(more["domain"]), 1)] if "domain" in more else []),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=domains, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def external_weight(location: str) -> onnx.TensorProto:
    """A weight [4] whose numbers are said to lie in another file."""
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def images(count: int = 8) -> np.ndarray:
    """Input of the digits network, float32[count, 1, 32, 32]."""
    return np.random.default_rng(0).random((count, 1, 32, 32), np.float32)
