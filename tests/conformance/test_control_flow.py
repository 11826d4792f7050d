"""If, Loop and Scan: run in the interpreter as in ONNX Runtime, and left alone by clean-up and quantization."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.recipe import RangeMethod
from edgert_converters.control_flow import captured_values, is_control_flow
from edgert_converters.engine import load_runner
from edgert_converters.interpreter import Interpreter
from edgert_converters.layers import build_layers, peak_activation_bytes
from edgert_converters.ops.spec import Array
from edgert_converters.passes.output_check import OutputCheck, run_model
from edgert_converters.passes.pipeline import infer_shapes, run_pipeline
from edgert_converters.quantize.calibrate import collect_statistics
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.plan import make_plan, values_to_watch
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.rounding import round_weights

# one float32 rounding per operation on both sides
FLOAT_NOISE = 1e-5

HEAD = '<ir_version: 8, opset_import: ["" : 18]>\n'

# `r` is made in integers and read inside both branches and inside the loop; `shift` and `half` only inside
NET = (
    HEAD
    + """
net (float[1,3,8,8] x, float[4,3,3,3] w1, float[4] b1, float[4,4,3,3] w2, float[4,1,1] shift)
    => (float[1,4,6,6] y, float[3,1,4,8,8] trace)
<float half = {0.5}, float zero = {0.0}, int64 n = {3}, bool yes = {1}>
{
  [conv1] c = Conv<pads=[1,1,1,1]>(x, w1, b1)
  [relu] r = Relu(c)
  [mean] m = ReduceMean<keepdims=0>(x)
  [greater] positive = Greater(m, zero)
  [if] z = If (positive) <
    then_branch = yes_graph () => (float[1,4,8,8] a) { a = Add(r, shift) },
    else_branch = no_graph () => (float[1,4,8,8] b) { rr = Mul(r, r) b = Sub(rr, half) }>
  [loop] f, trace = Loop (n, yes, z) <
    body = body (int64 i, bool ci, float[1,4,8,8] v) => (bool co, float[1,4,8,8] vo, float[1,4,8,8] so)
    { co = Identity(ci) vh = Mul(v, half) vo = Add(vh, r) so = Relu(vo) }>
  [conv2] y = Conv(f, w2)
}"""
)

LOOPS = {
    "trip count": ("{4}", "{1}", "yes = Identity(ci)"),
    "condition": ("{100}", "{1}", "k = Constant<value = int64 {2}>() yes = Less(i, k)"),
    "never": ("{0}", "{1}", "yes = Identity(ci)"),
    "condition false at the start": ("{5}", "{0}", "yes = Identity(ci)"),
}
LOOP = (
    HEAD
    + """
loop (float[2,3] x) => (float[2,3] y, float[n,2,3] steps)
<int64 count = TRIPS, bool go = START>
{
  y, steps = Loop (count, go, x) <
    body = body (int64 i, bool ci, float[2,3] v) => (bool yes, float[2,3] vo, float[2,3] so)
    { CONDITION vo = Add(v, x) so = Neg(vo) }>
}"""
)

SCAN = (
    HEAD
    + """
scan (float[2,3] x, float[3,5,2] s) => (float[2,3] y, float[2,3,5] all)
{
  y, all = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_input_directions = [1], scan_output_axes = [-1],
    scan_output_directions = [1],
    body = body (float[2,3] v, float[3,2] e) => (float[2,3] vo, float[2,3] so)
    { t = Transpose(e) vo = Add(v, t) so = Mul(vo, x) }> (x, s)
}"""
)


def load(text: str) -> ir.Model:
    """A model from ONNX text; inputs of `net` after the first become seeded constants."""
    model = ir.from_onnx_text(text)
    if model.graph.name == "net":
        generator = np.random.default_rng(1)
        for value in list(model.graph.inputs)[1:]:
            shape = tuple(int(d) for d in value.shape or ())
            array = (generator.standard_normal(shape) * 0.3).astype(np.float32)
            value.const_value = ir.tensor(array, name=value.name)
            model.graph.inputs.remove(value)
            model.graph.register_initializer(value)
    infer_shapes(model)
    return model


def in_onnxruntime(model: ir.Model, feed: dict[str, Array]) -> list[Array]:
    return run_model(ir.to_proto(model).SerializeToString(), feed)


def assert_same(model: ir.Model, feed: dict[str, Array], tolerance: float = FLOAT_NOISE) -> None:
    ours = list(Interpreter(model).run(feed).outputs.values())
    for mine, theirs in zip(ours, in_onnxruntime(model, feed), strict=True):
        assert mine.shape == theirs.shape
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)


def samples(count: int = 6) -> list[dict[str, Array]]:
    generator = np.random.default_rng(3)
    # both signs of the mean, so that both branches run
    return [{"x": (generator.standard_normal((1, 3, 8, 8)) + (-1) ** i * 0.3).astype(np.float32)} for i in range(count)]


def node_of(model: ir.Model, name: str) -> ir.Node:
    return next(node for node in model.graph if node.name == name)


def inner_operators(model: ir.Model) -> list[str]:
    nodes = [node for node in model.graph.all_nodes() if node.graph is not model.graph]
    return sorted(node.op_type for node in nodes)


@pytest.mark.parametrize(("count", "start", "condition"), LOOPS.values(), ids=LOOPS)
def test_loops_run_as_in_onnxruntime(count: str, start: str, condition: str) -> None:
    text = LOOP.replace("TRIPS", count).replace("START", start).replace("CONDITION", condition)
    assert_same(load(text), {"x": np.arange(6, dtype=np.float32).reshape(2, 3)})


def test_scan_runs_as_in_onnxruntime() -> None:
    generator = np.random.default_rng(2)
    feed: dict[str, Array] = {
        "x": generator.standard_normal((2, 3)).astype(np.float32),
        "s": generator.standard_normal((3, 5, 2)).astype(np.float32),
    }
    assert_same(load(SCAN), feed)


@pytest.mark.parametrize("name", ["if", "loop11", "scan9_sum", "scan9_multi_state", "scan9_scalar"])
def test_the_cases_of_onnx_itself(name: str) -> None:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other operators' cases
        (case,) = (case for case in collect_testcases(None) if case.name == f"test_{name}")
    interpreter = Interpreter(ir.from_proto(case.model))
    names = [value.name for value in case.model.graph.input]
    for inputs, expected in case.data_sets:
        found = interpreter.run(dict(zip(names, map(np.asarray, inputs), strict=True))).outputs
        for mine, wanted in zip(found.values(), expected, strict=True):
            assert mine.shape == np.shape(wanted)
            np.testing.assert_allclose(mine, wanted, rtol=case.rtol, atol=case.atol)


def test_both_branches_and_values_from_outside() -> None:
    model = load(NET)
    for feed in samples(2):
        assert_same(model, feed)


def test_captured_values_are_those_of_the_graph_around() -> None:
    model = load(NET)
    assert [v.name for v in captured_values(node_of(model, "if"))] == ["r", "shift", "half"]
    assert [v.name for v in captured_values(node_of(model, "loop"))] == ["half", "r"]
    assert captured_values(node_of(model, "conv1")) == ()


def _quantize(model: ir.Model, feeds: Sequence[dict[str, Array]], encoding: DType) -> ir.Model:
    statistics = collect_statistics(model, values_to_watch(model), feeds, lambda *_: None)
    plan = make_plan(model, statistics, RangeRule(RangeMethod.MIN_MAX))
    return apply_plan(model, round_weights(model, plan), encoding)


@pytest.mark.parametrize("encoding", [DType.UINT8, DType.INT8])
def test_quantization_stops_at_the_bodies(encoding: DType) -> None:
    model, feeds = load(NET), samples()
    quantized = _quantize(model, feeds, encoding)
    assert inner_operators(quantized) == inner_operators(model)
    interpreter = Interpreter(quantized)
    assert [unit.name for unit in interpreter.units] == ["conv1", "conv2"]
    for feed in feeds:
        expected = load_runner(model)(feed)["y"]
        found = interpreter.run(feed).outputs["y"]
        assert np.abs(found - expected).max() <= 0.05 * np.abs(expected).max()
        assert_same(quantized, feed)


def test_the_plan_says_why_control_flow_stays_float() -> None:
    model = load(NET)
    statistics = collect_statistics(model, values_to_watch(model), samples(), lambda *_: None)
    plan = make_plan(model, statistics, RangeRule(RangeMethod.MIN_MAX))
    reasons = {layer.op: layer.reason for layer in plan.float_layers}
    assert reasons["If"] == reasons["Loop"] == "what is inside of control flow is never quantized"


def test_layers_count_what_only_a_body_reads() -> None:
    model = load(NET)
    layers = {layer.name: layer for layer in build_layers(model)}
    assert layers["if"].weight_bytes == 4 * 4 + 4
    assert "r" in layers["loop"].inputs
    # x is gone; r, what the loop carries, its result and three kept steps are alive together
    assert peak_activation_bytes(model) >= 6 * 4 * 8 * 8 * 4


def test_clean_up_leaves_bodies_and_what_they_read() -> None:
    text = NET.replace("[relu] r = Relu(c)", "[relu] r0 = Relu(c)\n [no_op] r = Identity(r0)")
    model = load(text)
    feed = samples(1)[0]
    check = OutputCheck((feed,), (tuple(in_onnxruntime(model, feed)),))
    cleaned, records = run_pipeline(model, check)
    assert all(record.undone is None for record in records)
    assert check.error(cleaned) <= FLOAT_NOISE
    assert [n.op_type for n in cleaned.graph] == ["Conv", "Relu", "ReduceMean", "Greater", "If", "Loop", "Conv"]
    assert inner_operators(cleaned) == inner_operators(load(NET))


def test_a_reader_inside_a_body_is_not_merged_with() -> None:
    # the only reader of the convolution is a batch normalization in another graph
    text = (
        HEAD
        + """
net (float[1,3,4,4] x, float[3,3,1,1] w, float[3] s, float[3] b, float[3] m) => (float[1,3,4,4] y)
<bool go = {1}, float[3] v = {1.0, 1.0, 1.0}>
{
  [conv] c = Conv(x, w)
  flag = Identity(x)
  mean = ReduceMean<keepdims=0>(flag)
  zero = Constant<value = float {0.0}>()
  positive = Greater(mean, zero)
  y = If (positive) <
    then_branch = yes_graph () => (float[1,3,4,4] a) { a = BatchNormalization(c, s, b, m, v) },
    else_branch = no_graph () => (float[1,3,4,4] e) { k = Constant<value = float[1] {2.0}>() e = Mul(x, k) }>
}"""
    )
    model = load(text)
    feed: dict[str, Array] = {"x": np.full((1, 3, 4, 4), 0.7, np.float32)}
    check = OutputCheck((feed,), (tuple(in_onnxruntime(model, feed)),))
    cleaned, records = run_pipeline(model, check)
    assert all(record.undone is None for record in records)
    assert "BatchNormalization" in inner_operators(cleaned)
    assert check.error(cleaned) <= FLOAT_NOISE


@pytest.mark.parametrize(("condition", "operator"), [("{1}", "Add"), ("{0}", "Mul")])
def test_a_constant_condition_is_folded_to_its_branch(condition: str, operator: str) -> None:
    text = (
        HEAD
        + """
pick (float[2,3] x) => (float[2,3] y)
<bool which = CONDITION, float[3] k = {1.0, 2.0, 3.0}>
{
  y = If (which) <
    then_branch = yes_graph () => (float[2,3] a) { a = Add(x, k) },
    else_branch = no_graph () => (float[2,3] b) { b = Mul(x, k) }>
}""".replace("CONDITION", condition)
    )
    model = load(text)
    feed: dict[str, Array] = {"x": np.ones((2, 3), np.float32)}
    check = OutputCheck((feed,), (tuple(in_onnxruntime(model, feed)),))
    cleaned, _ = run_pipeline(model, check)
    assert [node.op_type for node in cleaned.graph] == [operator]
    assert [value.name for value in cleaned.graph.outputs] == ["y"]
    assert check.error(cleaned) == 0.0


def test_an_old_scan_is_refused() -> None:
    model = load(SCAN)
    model.graph.opset_imports[""] = 8
    with pytest.raises(ModelError, match="Scan of opset 8 is not supported; export with opset 18"):
        Interpreter(model)


def test_a_missing_body_is_named() -> None:
    model = load(NET)
    del node_of(model, "if").attributes["else_branch"]
    with pytest.raises(ModelError, match="node 'if': If has no else_branch"):
        Interpreter(model)


def test_an_unknown_operator_inside_a_body_is_named() -> None:
    with pytest.raises(ModelError, match="operator 'Det' is not supported"):
        Interpreter(load(NET.replace("a = Add(r, shift)", "a = Det(r)")))


def test_only_the_standard_operators_are_control_flow() -> None:
    assert is_control_flow(ir.node("If", []))
    assert not is_control_flow(ir.node("If", [], domain="com.example"))
    assert not is_control_flow(ir.node("Where", []))
