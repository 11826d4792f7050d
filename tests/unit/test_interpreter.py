from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.errors import DataError, ModelError
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.case_models import build_qdq_model
from edgert_converters.ops.spec import Array

_CLAMPED = """
<ir_version: 9, opset_import: ["" : 18]>
clamped (uint8[1, 4] x) => (uint8[1, 3] y)
<float s = {0.1}, uint8 zx = {100}, float sw = {0.02}, int8 zw = {0}, uint8 zy = {30}, float low = {0.0},
 float high = {6.0}, int8[4, 3] w = {1, -2, 3, 4, 5, -6, 7, 8, 9, -100, 110, 120}>
{
  xf = DequantizeLinear(x, s, zx)
  wf = DequantizeLinear(w, sw, zw)
  product = MatMul(xf, wf)
  positive = Relu(product)
  limited = Clip(positive, low, high)
  y = QuantizeLinear(limited, s, zy)
}
"""
_MIXED = """
<ir_version: 9, opset_import: ["" : 18]>
mixed (float[1, 4] x) => (float[1, 4] y, float[1, 4] z)
<float s = {0.1}, uint8 zp = {100}, float t = {0.05}, uint8 zy = {10}>
{
  q = QuantizeLinear(x, s, zp)
  xf = DequantizeLinear(q, s, zp)
  a = Sigmoid(xf)
  qa = QuantizeLinear(a, t, zy)
  y = DequantizeLinear(qa, t, zy)
  z = Exp(xf)
}
"""


def _load(text: str) -> ir.Model:
    return ir.from_onnx_text(text)


def _integers(*shape: int) -> Array:
    return np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)


def test_relu_and_clip_behind_an_operator_belong_to_its_unit() -> None:
    interpreter = Interpreter(_load(_CLAMPED))
    assert [(unit.op, [c.op_type for c in unit.clamps[0]]) for unit in interpreter.units] == [
        ("MatMul", ["Relu", "Clip"])
    ]


def test_a_clamped_unit_equals_the_contract_by_hand() -> None:
    model = _load(_CLAMPED)
    x = _integers(1, 4)
    weights = model.graph.initializers["w"].const_value
    assert weights is not None
    acc = (x.astype(np.int64) - 100) @ weights.numpy().astype(np.int64)
    scale = np.float32(0.1)
    steps = np.rint(acc.astype(np.float32) * (scale * np.float32(0.02) / scale)) + 30
    expected = np.clip(np.clip(steps, 0, 255), 30, 30 + 60).astype(np.uint8)
    assert np.array_equal(Interpreter(model).run({"x": x}).outputs["y"], expected)


def test_float_nodes_run_between_real_dequantize_and_quantize() -> None:
    model = _load(_MIXED)
    x = np.asarray([[-3.0, -0.5, 0.26, 2.0]], np.float32)
    result = Interpreter(model).run({"x": x}, keep_quantized=True)
    assert len(result.units) == 1
    assert set(result.quantized) == {"q", "qa"}
    rounded = (np.rint(x / np.float32(0.1)) * np.float32(0.1)).astype(np.float32)
    np.testing.assert_allclose(result.outputs["z"], np.exp(rounded), rtol=1e-6)
    assert result.quantized["qa"].params.zero_point == (10,)


def test_integers_are_dropped_unless_asked_for() -> None:
    assert Interpreter(_load(_MIXED)).run({"x": np.zeros((1, 4), np.float32)}).quantized == {}


def test_both_encodings_hold_the_same_values() -> None:
    spec = OPERATORS["Conv"]
    runs = {}
    for encoding in (DType.UINT8, DType.INT8):
        built = build_qdq_model(spec, spec.cases[0], encoding)
        assert built is not None
        model, feeds = built
        runs[encoding] = Interpreter(model).run(feeds).outputs["y0"].astype(np.int64)
    assert np.array_equal(runs[DType.UINT8] - 128, runs[DType.INT8])


def test_a_runs_result_does_not_depend_on_the_one_before() -> None:
    interpreter = Interpreter(_load(_CLAMPED))
    first = interpreter.run({"x": _integers(1, 4)}).outputs["y"]
    interpreter.run({"x": np.zeros((1, 4), np.uint8)})
    assert np.array_equal(interpreter.run({"x": _integers(1, 4)}).outputs["y"], first)


def test_an_unknown_operator_is_named_with_its_node() -> None:
    model = _load(_MIXED.replace("a = Sigmoid(xf)", "a = Det(xf)"))
    for node in model.graph:
        node.name = f"node_{node.op_type}"
    with pytest.raises(ModelError, match="node 'node_Det': operator 'Det' is not supported"):
        Interpreter(model)


def test_a_missing_input_is_named() -> None:
    with pytest.raises(DataError, match="input 'x' is missing"):
        Interpreter(_load(_MIXED)).run({})


def test_an_unknown_input_is_named() -> None:
    with pytest.raises(DataError, match="no input 'extra'"):
        Interpreter(_load(_MIXED)).run({"x": np.zeros((1, 4), np.float32), "extra": np.zeros(1, np.float32)})


def test_shapes_that_do_not_fit_name_the_node() -> None:
    with pytest.raises(ModelError, match="MatMul cannot be executed"):
        Interpreter(_load(_CLAMPED)).run({"x": _integers(1, 5)})


def test_float_models_run_too(zoo: Path) -> None:
    """The ResNet20 in float equals ONNX Runtime; quantization is tested in tests/conformance."""
    onnxruntime = pytest.importorskip("onnxruntime")
    path = zoo / "models" / "resnet20_cifar10.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    expected = session.run(None, {name: x})[0]
    (found,) = Interpreter(ir.load(path)).run({name: x}).outputs.values()
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
