"""A model that arrives quantized keeps every scale and integer, unless --requantize asks for new ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgert.bundle import Bundle
from tests.quantization.command_line import RECIPES, edgert
from tests.quantization.conftest import Converted


@pytest.fixture(scope="module")
def quantized(resnet20: Converted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Int8 ResNet20 as an ordinary file."""
    path = tmp_path_factory.mktemp("quantized") / "net.onnx"
    with Bundle.open(resnet20.bundle) as bundle:
        path.write_bytes(bundle.read(bundle.manifest.variant("onnx-int8").path))
    return path


def qdq_constants(path: Path) -> dict[str, np.ndarray]:
    """Constants that QuantizeLinear and DequantizeLinear read: integers, scales and zero points."""
    graph = onnx.load(path).graph
    read = {
        name for node in graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"} for name in node.input
    }
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name in read}


def test_every_scale_and_integer_is_kept(quantized: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.onnx"
    result = edgert("convert", quantized, "-o", kept)
    assert result.status == 0, result.stderr
    assert "onnx-int8: already quantized: every scale and integer is kept" in result.stderr
    before, after = qdq_constants(quantized), qdq_constants(kept)
    assert len(before) > 100
    assert before.keys() == after.keys()
    for name, values in before.items():
        assert values.dtype == after[name].dtype
        np.testing.assert_array_equal(values, after[name], err_msg=name)


def test_requantize_makes_new_scales_from_float(
    quantized: Path, some_images: Callable[[int, int], Path], tmp_path: Path
) -> None:
    made = tmp_path / "made.edge"
    words = ["--requantize", "--recipe", RECIPES / "resnet20.toml", "--ranges", "min-max"]
    result = edgert(
        "convert",
        quantized,
        *words,
        "--calib",
        some_images(0, 40),
        "--eval",
        some_images(40, 140),
        "-o",
        made,
        "--json",
    )
    assert result.status == 0, result.stderr
    rows = {variant["id"]: variant for variant in result.json["variants"]}
    assert list(rows) == ["onnx-fp32", "tflite-fp32", "onnx-int8", "tflite-int8"]
    assert rows["onnx-int8"]["agree"] >= 0.95
    (path,) = [tmp_path / "int8.onnx"]
    with Bundle.open(made) as bundle:
        path.write_bytes(bundle.read(bundle.manifest.variant("onnx-int8").path))
        float_model = onnx.load_from_string(bundle.read(bundle.manifest.variant("onnx-fp32").path))
    assert not {"QuantizeLinear", "DequantizeLinear"} & {node.op_type for node in float_model.graph.node}
    old, new = qdq_constants(quantized), qdq_constants(path)
    shared = [name for name in old if name.endswith("__scale") and name in new]
    assert any(not np.array_equal(old[name], new[name]) for name in shared), "the ranges were chosen again"
