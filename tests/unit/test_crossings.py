"""Operators without weights go over to float where fewer values then cross between integers and float."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import parser

from edgert_converters.passes.pipeline import infer_shapes
from edgert_converters.quantize.calibrate import collect_statistics
from edgert_converters.quantize.crossings import needless_integers
from edgert_converters.quantize.plan import integer_nodes, make_plan, values_to_watch
from edgert_converters.quantize.ranges import RangeRule

_HEAD = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1, 32, 16] x, float[1, 32, 16] r) => (float[1, 32, 16] y)
<float[16] ones = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}, float[1] half = {0.5}>
"""
_RESIDUAL = """{
  kept = LayerNormalization <axis=-1> (r, ones)
  made = MatMul (x, w)
  biased = Add (made, ones)
  sum = Add (biased, kept)
  normal = LayerNormalization <axis=-1> (sum, ones)
  y = MatMul (normal, w)
}"""
_READ_IN_INTEGERS = _RESIDUAL.replace("y = MatMul (normal, w)", "p = MatMul (sum, w)  y = Add (p, normal)")
_BEFORE_FLOAT = """{
  made = MatMul (x, w)
  biased = Add (made, ones)
  parts = Transpose <perm=[0, 1, 2]> (biased)
  y = LayerNormalization <axis=-1> (parts, ones)
}"""
_TABLE = _BEFORE_FLOAT.replace("Add (made, ones)", "Sigmoid (made)")
_ALSO_READ = _BEFORE_FLOAT.replace("y = Layer", "y = MatMul (parts, w)  z = Layer")
_GATED = """{
  made = MatMul (x, w)
  scaled = Mul (made, half)
  gate = Erf (scaled)
  power = Pow (made, half)
  normal = LayerNormalization <axis=-1> (scaled, ones)
  scaled_normal = LayerNormalization <axis=-1> (gate, ones)
  both = Add (normal, power)
  y = Add (both, scaled_normal)
}"""
_OUTPUTS = """{
  made = MatMul (x, w)
  y = Add (made, r)
}"""
_CLAMPED = """{
  made = Conv (x, c)
  low = Relu (made)
  power = Pow (low, half)
  bounded = Sigmoid (low)
  squared = Pow (bounded, half)
  y = Pow (power, squared)
}"""


def model_of(body: str) -> ir.Model:
    proto = parser.parse_model(_HEAD + body)
    rng = np.random.default_rng(3)
    for name, shape in (("w", (16, 16)), ("c", (32, 32, 1))):
        weight = rng.standard_normal(shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    model: ir.Model = ir.from_proto(proto)
    infer_shapes(model)
    for node in model.graph:
        node.name = str(node.outputs[0].name)
    return model


def needless(body: str) -> dict[str, str]:
    model = model_of(body)
    return needless_integers(model, integer_nodes(model))


def test_a_sum_between_float_operators_is_float_with_the_count_as_the_reason() -> None:
    found = needless(_RESIDUAL)
    assert found.keys() == {"biased", "sum"}
    assert found["sum"] == "values that cross between integers and float: 1 with it in float, else 2"


@pytest.mark.parametrize("body", [_READ_IN_INTEGERS, _TABLE, _ALSO_READ, _OUTPUTS])
def test_nothing_moves_where_as_many_values_cross_in_float(body: str) -> None:
    assert needless(body) == {}


def test_a_bias_that_float_operators_read_is_not_rounded_once_more() -> None:
    reason = "float operators read it: integers would only round it once more"
    assert needless(_BEFORE_FLOAT) == dict.fromkeys(("biased", "parts"), reason)


def test_a_run_goes_over_as_one_and_a_value_counts_once() -> None:
    # made is read in float already: in float nothing crosses but it; in integers scaled and gate cross as well
    assert needless(_GATED).keys() == {"scaled", "gate"}


def test_a_clamp_stays_with_the_operator_whose_range_does_its_work() -> None:
    assert needless(_CLAMPED).keys() == {"bounded"}


def test_a_plan_leaves_them_in_float_and_says_why() -> None:
    model = model_of(_RESIDUAL)
    rng = np.random.default_rng(4)
    samples = [{name: rng.standard_normal((1, 32, 16)).astype(np.float32) for name in ("x", "r")}]
    statistics = collect_statistics(model, values_to_watch(model), samples, lambda *_: None)
    plan = make_plan(model, statistics, RangeRule())
    assert plan.integer_nodes == {"made", "y"}
    reasons = {layer.name: layer.reason for layer in plan.float_layers}
    assert "cross between integers and float" in reasons["sum"]
    every = make_plan(model, statistics, RangeRule(), coarse_stays_float=False)
    assert every.integer_nodes == {"made", "biased", "sum", "y"}
