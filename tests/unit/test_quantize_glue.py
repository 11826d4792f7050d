"""The quantizer on operators around a network: which run in integers, which stay float and are named."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.recipe import RangeMethod
from edgert_converters.engine import load_runner
from edgert_converters.interpreter import Interpreter
from edgert_converters.passes.pipeline import infer_shapes
from edgert_converters.quantize.calibrate import collect_statistics
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.plan import Plan, make_plan, values_to_watch
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.rounding import round_weights

pytest.importorskip("onnxruntime")

_TEXT = """
<ir_version: 8, opset_import: ["" : 18]>
glue (float[1, 3, 6, 6] x, float[4, 3, 3, 3] w) => (float[1, 4, 4, 4] y, int64[1, 1, 4, 4] best, float[1, 4, 4, 4] p)
<float[1, 4, 1, 1] floor = {-0.5, 0.0, 0.5, 1.0}, int64 axis = {3}, float cube = {3.0}>
{
  [conv] c = Conv (x, w)
  [max] m = Max (c, floor)
  [mish] a = Mish (m)
  [cumsum] s = CumSum (a, axis)
  [sum] t = Sum (s, a)
  [log] y = LogSoftmax <axis = 1> (t)
  [argmax] best = ArgMax <axis = 1> (t)
  [pow] p = Pow (t, cube)
}
"""


def _quantize() -> tuple[ir.Model, Plan, list[dict[str, np.ndarray]]]:
    rng = np.random.default_rng(0)
    model = ir.from_onnx_text(_TEXT)
    weight = model.graph.inputs[1]
    weight.const_value = ir.tensor((rng.standard_normal((4, 3, 3, 3)) / 5).astype(np.float32), name="w")
    model.graph.inputs.remove(weight)
    model.graph.register_initializer(weight)
    infer_shapes(model)
    samples = [{"x": rng.standard_normal((1, 3, 6, 6)).astype(np.float32)} for _ in range(8)]
    statistics = collect_statistics(model, values_to_watch(model), samples, lambda *_: None)
    plan = round_weights(model, make_plan(model, statistics, RangeRule(RangeMethod.MIN_MAX)))
    return apply_plan(model, plan, DType.UINT8), plan, samples


def test_glue_with_rules_runs_in_integers_as_the_engine_does() -> None:
    model, _, samples = _quantize()
    interpreter = Interpreter(model)
    assert [unit.op for unit in interpreter.units] == ["Conv", "Max", "Mish", "CumSum", "Sum", "LogSoftmax"]
    engine = load_runner(model)
    for feed in samples:
        ours, theirs = interpreter.run(feed).outputs, engine(feed)
        assert np.array_equal(ours["best"], theirs["best"])
        assert np.array_equal(ours["y"], theirs["y"])


def test_glue_without_rules_is_named() -> None:
    _, plan, _ = _quantize()
    named = {(layer.op, layer.reason) for layer in plan.float_layers}
    assert named == {("ArgMax", "operator has no integer rule"), ("Pow", "operator has no integer rule")}
