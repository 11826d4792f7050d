"""What 8 bits hold too coarsely stays float, and nothing else does."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import parser

from edgert.quant import dequantize, quantize
from edgert_converters.passes.pipeline import infer_shapes
from edgert_converters.quantize.calibrate import collect_statistics
from edgert_converters.quantize.plan import Plan, make_plan, values_to_watch
from edgert_converters.quantize.ranges import RangeRule, params_for_range
from edgert_converters.quantize.resolution import expected_sqnr_db
from edgert_converters.quantize.scheme import INT8, INT16X8, Scheme
from edgert_converters.quantize.statistics import RunningHistogram

_MATRICES = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1, 1024, 16] x) => (float[1, 1024, 16] y)
{
  a = MatMul (x, w1)
  b = Relu (a)
  y = MatMul (b, w2)
}
"""
_PARTS = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1, 1024, 16] x) => (float[1, 1024, 8] y)
<int64[1] start = {0}, int64[1] middle = {8}, int64[1] end = {16}, int64[1] axis = {2}>
{
  left = Slice (x, start, middle, axis)
  right = Slice (x, middle, end, axis)
  a = MatMul (left, w1)
  b = MatMul (right, w2)
  y = Add (a, b)
}
"""


def plan_of(text: str, x: np.ndarray, size: int, scheme: Scheme = INT8, **options: bool) -> Plan:
    rng = np.random.default_rng(3)
    proto = parser.parse_model(text)
    for name in ("w1", "w2"):
        weight = rng.standard_normal((size, size)).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    model = ir.from_proto(proto)
    infer_shapes(model)
    for index, node in enumerate(model.graph):
        node.name = f"{node.op_type}{index}"
    statistics = collect_statistics(model, values_to_watch(model), [{"x": x}], lambda *_: None)
    return make_plan(model, statistics, RangeRule(), scheme, **options)


def with_channel(scale: float) -> np.ndarray:
    x = np.random.default_rng(1).standard_normal((1, 1024, 16)).astype(np.float32)
    x[..., 3] *= np.float32(scale)
    return x


def test_the_estimate_is_the_error_of_quantized_values() -> None:
    values = np.random.default_rng(0).standard_normal(100000).astype(np.float32)
    histogram = RunningHistogram()
    histogram.update(values, "x")
    params = params_for_range(-3.0, 3.5)
    restored = dequantize(quantize(values, params), params)
    measured = 10 * np.log10(np.square(values).sum() / np.square(restored - values).sum())
    assert expected_sqnr_db(histogram, params) == pytest.approx(measured, abs=0.05)


def test_ordinary_tensors_become_integers() -> None:
    plan = plan_of(_MATRICES, with_channel(1.0), 16)
    assert plan.integer_nodes == {"MatMul0", "Relu1", "MatMul2"}
    assert plan.float_layers == ()


def test_a_bulk_of_few_steps_stays_float_with_the_figure() -> None:
    x = with_channel(1.0)
    x[0, 5, 3] = 100.0  # one channel of one token, as in transformers
    plan = plan_of(_MATRICES, x, 16)
    reasons = {layer.name: layer.reason for layer in plan.float_layers}
    assert reasons["MatMul0"].startswith("8 bits keep ")
    assert "dB of a tensor it reads or makes (limit 24)" in reasons["MatMul0"]
    assert plan_of(_MATRICES, x, 16, coarse_stays_float=False).integer_nodes >= {"MatMul0"}
    assert plan_of(_MATRICES, x, 16, INT16X8).float_layers == ()


def test_parts_of_a_float_tensor_get_ranges_of_their_own() -> None:
    plan = plan_of(_PARTS, with_channel(60.0), 8)
    reasons = {layer.name: layer.reason for layer in plan.float_layers}
    assert reasons["Slice1"] == "8 bits hold its parts better when each has its own range"
    assert plan.params["left"].scale[0] > 10 * plan.params["right"].scale[0]
    assert {"MatMul2", "MatMul3"} <= plan.integer_nodes
