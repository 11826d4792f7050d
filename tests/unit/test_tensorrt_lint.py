"""The rules of TensorRT's explicit quantization, on a graph that keeps them and on one that breaks each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgert.bundle import Bundle
from edgert.dtypes import DType
from edgert.errors import InternalError
from edgert.plugins import load_converter
from edgert.recipe import Recipe
from edgert_converters.quantize import tensorrt_form
from edgert_converters.quantize.chain import plan_draft, prepare
from edgert_converters.quantize.draft import Calibration, Draft, Settings
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.scheme import INT8, INT8_PER_TENSOR, INT8_SYMMETRIC
from edgert_converters.quantize.tensorrt_form import apply_for_tensorrt, notes_for_tensorrt
from edgert_converters.quantize.tensorrt_lint import Rule, lint_for_tensorrt

RESIDUAL = """<ir_version: 8, opset_import: ["": 18]>
residual (float[1,4,8,8] x) => (float[1,3] y) <
    float[4,4,3,3] w1, float[4] b1, float[4,4,3,3] w2, float[4] b2, float[4,3] w3, float[3] b3
> {
    [first] c1 = Conv <pads = [1,1,1,1]> (x, w1, b1)
    [relu1] r1 = Relu (c1)
    [second] c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2)
    [join] s = Add (c2, r1)
    [relu2] r2 = Relu (s)
    [pool] p = GlobalAveragePool (r2)
    [flat] f = Flatten (p)
    [last] y = Gemm (f, w3, b3)
}"""


def build_residual() -> ir.Model:
    model = ir.from_onnx_text(RESIDUAL)
    rng = np.random.default_rng(7)
    shapes = {"w1": (4, 4, 3, 3), "b1": (4,), "w2": (4, 4, 3, 3), "b2": (4,), "w3": (4, 3), "b3": (3,)}
    values = {value.name: value for node in model.graph for value in node.inputs if value is not None}
    for name, shape in shapes.items():
        values[name].const_value = ir.tensor(rng.normal(0, 0.3, shape).astype(np.float32), name=name)
        model.graph.register_initializer(values[name])
    return model


@pytest.fixture(scope="module")
def prepared() -> Draft:
    rng = np.random.default_rng(8)
    samples = [{"x": rng.normal(0, 1, (1, 4, 8, 8)).astype(np.float32)} for _ in range(8)]
    return prepare(build_residual(), Calibration(lambda: samples, 8, lambda *_: None), Settings())


@pytest.fixture(scope="module")
def symmetric(prepared: Draft) -> Draft:
    return plan_draft(prepared, INT8_SYMMETRIC, Calibration(list, 0, lambda *_: None), Settings())


@pytest.fixture
def good(symmetric: Draft) -> ir.Model:
    return apply_for_tensorrt(symmetric.model, symmetric.final)


def node_of(model: ir.Model, name: str) -> ir.Node:
    return next(node for node in model.graph if node.name == name)


def constant(model: ir.Model, array: np.ndarray, name: str) -> ir.Value:
    value = ir.Value(name=name, shape=ir.Shape(array.shape), const_value=ir.tensor(array, name=name))
    value.dtype = ir.DataType.from_numpy(array.dtype)
    model.graph.register_initializer(value)
    return value


def producer(node: ir.Node, index: int) -> ir.Node:
    value = node.inputs[index]
    assert value is not None
    found = value.producer()
    assert found is not None
    return found


def test_what_edgert_makes_keeps_every_rule(good: ir.Model) -> None:
    assert lint_for_tensorrt(good) == ()
    join = node_of(good, "join")
    assert [producer(join, index).op_type for index in (0, 1)] == ["DequantizeLinear", "DequantizeLinear"]


def test_a_float_graph_has_nothing_to_check() -> None:
    assert lint_for_tensorrt(build_residual()) == ()


def break_zero_point(model: ir.Model) -> None:
    node_of(model, "x.quantize").replace_input_with(2, constant(model, np.int8(3), "three"))


def break_signedness(model: ir.Model) -> None:
    node_of(model, "x.quantize").replace_input_with(2, constant(model, np.uint8(0), "unsigned"))


def break_scale(model: ir.Model) -> None:
    node_of(model, "x.quantize").replace_input_with(1, constant(model, np.float32(0), "no_scale"))


def break_activation(model: ir.Model) -> None:
    node_of(model, "x.quantize").replace_input_with(1, constant(model, np.ones(4, np.float32), "four_scales"))


def break_weights(model: ir.Model) -> None:
    source = producer(node_of(model, "second"), 1)
    source.replace_input_with(1, constant(model, np.ones(1, np.float32), "one_scale"))


def break_weight_axis(model: ir.Model) -> None:
    source = producer(node_of(model, "second"), 1)
    source.attributes["axis"] = ir.AttrInt64("axis", 1)


def break_float_weights(model: ir.Model) -> None:
    weights = constant(model, np.ones((4, 4, 3, 3), np.float32), "float_weights")
    node_of(model, "second").replace_input_with(1, weights)


def break_bias(model: ir.Model) -> None:
    node = node_of(model, "first")
    bias = constant(model, np.zeros(4, np.int32), "integers")
    scale = constant(model, np.ones(4, np.float32), "bias_scale")
    restored = ir.node("DequantizeLinear", [bias, scale], {"axis": 0}, name="bias_dq")
    restored.outputs[0].name = "bias_real"
    model.graph.insert_before(node, restored)
    node.replace_input_with(2, restored.outputs[0])


def break_skip(model: ir.Model) -> None:
    join = node_of(model, "join")
    quantizer = producer(producer(join, 1), 0)
    join.replace_input_with(1, quantizer.inputs[0])


def break_integers(model: ir.Model) -> None:
    quantizer = node_of(model, "x.quantize")
    node_of(model, "first").replace_input_with(0, quantizer.outputs[0])


BREAKS: list[tuple[Callable[[ir.Model], None], Rule, str, str]] = [
    (break_zero_point, Rule.ZERO_POINT, "x.quantize", "its zero point is 3, int8"),
    (break_signedness, Rule.ZERO_POINT, "x.quantize", "its zero point is 0, uint8"),
    (break_scale, Rule.SCALE, "x.quantize", "a scale is not positive"),
    (break_activation, Rule.ACTIVATION, "x.quantize", "it has 4 scales"),
    (break_weights, Rule.WEIGHT, "second", "its weights have 1 scales for 4 channels"),
    (break_weight_axis, Rule.WEIGHT, "second", "its weights have 4 scales along axis 1 for 4 channels"),
    (break_float_weights, Rule.WEIGHT, "second", "its weights are no int8 constant behind DequantizeLinear"),
    (break_bias, Rule.BIAS, "first", "its bias comes out of DequantizeLinear"),
    (break_skip, Rule.SKIP, "join", "is not quantized"),
    (break_integers, Rule.INTEGERS, "first", "it reads the integers of 'x.quantize'"),
]


@pytest.mark.parametrize(("damage", "rule", "node", "words"), BREAKS, ids=lambda case: getattr(case, "__name__", ""))
def test_a_broken_rule_is_named_with_its_node(
    damage: Callable[[ir.Model], None], rule: Rule, node: str, words: str, good: ir.Model
) -> None:
    damage(good)
    found = [finding for finding in lint_for_tensorrt(good) if finding.rule is rule]
    assert [finding.node for finding in found] == [node]
    assert words in found[0].found
    assert f"{words}; for TensorRT {rule.value}" in str(found[0])


def test_what_stays_float_on_purpose_is_no_finding(good: ir.Model) -> None:
    break_skip(good)
    assert lint_for_tensorrt(good, {"join"}) == ()


def test_the_affine_form_is_not_for_tensorrt(prepared: Draft) -> None:
    for scheme, rules in ((INT8, {Rule.ZERO_POINT, Rule.BIAS}), (INT8_PER_TENSOR, {Rule.WEIGHT})):
        draft = plan_draft(prepared, scheme, Calibration(list, 0, lambda *_: None), Settings())
        model = apply_plan(draft.model, draft.final, DType.INT8)
        assert rules <= {finding.rule for finding in lint_for_tensorrt(model)}
        (note,) = notes_for_tensorrt(model)
        assert note.startswith("not for TensorRT: ")
        assert note.endswith("more); --requantize makes onnx-int8-trt")


def test_a_graph_that_breaks_a_rule_does_not_leave_the_converter(
    symmetric: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_a_fault(*arguments: object) -> ir.Model:
        model = apply_plan(*arguments)  # type: ignore[arg-type]  # passed through
        break_zero_point(model)
        return model

    monkeypatch.setattr(tensorrt_form, "apply_plan", with_a_fault)
    with pytest.raises(InternalError, match=r"breaks \d+ rules, first: QuantizeLinear 'x\.quantize': its"):
        apply_for_tensorrt(symmetric.model, symmetric.final)


def test_a_bundle_for_a_jetson_holds_its_forms_and_what_its_cpu_needs(tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    ir.save(build_residual(), model)
    recipe = Recipe(model, output=tmp_path / "net.edge", targets=("jetson-orin-nano", "raspberry-pi-5"), data_free=True)
    load_converter().convert(recipe, lambda *_: None)
    with Bundle.open(tmp_path / "net.edge") as bundle:
        variants = {variant.id: variant for variant in bundle.manifest.variants}
        graph = ir.from_proto(onnx.load_from_string(bundle.read(variants["onnx-int8-trt"].path)))
    assert list(variants) == ["onnx-fp32", "tflite-fp32", "onnx-int8", "tflite-int8", "onnx-int8-trt", "onnx-fp16"]
    assert variants["onnx-int8-trt"].targets == ("jetson-orin-nano",)
    assert variants["onnx-int8-trt"].requantize is None
    assert variants["onnx-int8"].targets == ("jetson-orin-nano", "raspberry-pi-5")
    assert variants["onnx-fp16"].targets == ("jetson-orin-nano",)
    assert lint_for_tensorrt(graph) == ()
    for_pi = dataclasses.replace(recipe, targets=("raspberry-pi-5",))
    load_converter().convert(for_pi, lambda *_: None)
    with Bundle.open(tmp_path / "net.edge") as bundle:
        assert "onnx-int8-trt" not in {variant.id for variant in bundle.manifest.variants}
