"""Every operator that has a TFLite form, as files of one operator: LiteRT, our importer, the integer interpreter."""

from __future__ import annotations

import re
from typing import Final

import onnx_ir as ir
import pytest

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite")

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.case_models import build_float_model, build_qdq_model, case_node
from edgert_converters.ops.spec import Array, Case, Operator
from edgert_converters.support_table import WITHOUT_TFLITE
from tests.conformance.tflite_single import check_float, check_int8, record

# What TFLite cannot express of an operator that it otherwise has, and the words that say so.
REFUSED: Final = {
    ("AveragePool", "3d"): "one or two axes",
    ("ConstantOfShape", "int64"): "depend on the model's data",
    ("ConstantOfShape", "zeros"): "depend on the model's data",
    ("ConvTranspose", "3d"): "over 3 axes",
    ("GRU", "clip"): "attribute 'clip'",
    ("GRU", "lengths_states"): "sequence lengths",
    ("GatherND", "batch_dims"): "no batch axes",
    ("LRN", "even"): "an odd size",
    ("LSTM", "activations"): "attribute 'activations'",
    ("LSTM", "clip"): "attribute 'clip'",
    ("LSTM", "lengths_states"): "sequence lengths",
    ("LSTM", "peepholes"): "peepholes",
    ("LpPool", "dilated"): "no dilation",
    ("LpPool", "same_upper"): "not explicit",
    ("MaxPool", "3d"): "one or two axes",
    ("MaxPool", "column_major"): "does not give indices",
    ("MaxPool", "dilated"): "no dilation",
    ("MaxPool", "indices"): "does not give indices",
    ("Pad", "wrap"): "mode wrap",
    ("RNN", "clip"): "attribute 'clip'",
    ("RNN", "lengths_states"): "sequence lengths",
    ("RNN", "relu"): "attribute 'activations'",
    ("Resize", "axes"): "does not place pixels",
    ("Resize", "crop"): "does not place pixels",
    ("Resize", "cubic_antialias"): "no cubic",
    ("Resize", "cubic_excludes"): "no cubic",
    ("Resize", "cubic_twice"): "no cubic",
    ("Resize", "linear_antialias"): "antialias",
    ("Resize", "linear_pytorch"): "does not place pixels",
    ("Resize", "linear_symmetric"): "does not place pixels",
    ("Resize", "nearest_sizes"): "does not place pixels",
    ("ScatterND", "max"): "by adding only",
    ("ScatterND", "min"): "by adding only",
    ("ScatterND", "mul"): "by adding only",
}
_FIXED_POINT: Final = "LiteRT multiplies by a fixed-point number where the contract divides in float32"
# Largest difference of LiteRT's default kernels from the interpreter in steps, share of values, why.
DEFAULT_STEPS: Final = {
    "Clip": (1, 0.06, _FIXED_POINT),
    "Concat": (1, 0.25, _FIXED_POINT),
    "LeakyRelu": (1, 0.10, _FIXED_POINT),
    "MatMul": (1, 0.01, "two activations: TFLite's reference kernel with its fixed-point multiplier"),
    "Relu": (1, 0.05, _FIXED_POINT),
    "Resize": (1, 0.12, "LiteRT interpolates the integers with weights of 10 bits"),
    "Upsample": (1, 0.12, "LiteRT interpolates the integers with weights of 10 bits"),
}
# The same for the file imported again, in mode q31, against TFLite's reference kernels.
IMPORTED_STEPS: Final = {
    "Concat": (1, 0.25, "LiteRT's kernel divides by the output's scale in float32 with another rounding"),
    "Resize": (1, 0.12, "integer interpolation has no rule of its own in mode q31"),
    "Upsample": (1, 0.12, "integer interpolation has no rule of its own in mode q31"),
}
# Compared with LiteRT's default kernels: its reference SUM forgets the scales of int8.
WRONG_REFERENCE: Final = {"ReduceSum"}
WRITTEN: Final = [name for name, spec in OPERATORS.items() if spec.to_tflite is not None]
UNWRITTEN: Final = [name for name, spec in OPERATORS.items() if spec.to_tflite is None]
CASES: Final = [(OPERATORS[name], case) for name in WRITTEN for case in OPERATORS[name].cases]
FLOAT_CASES: Final = [
    pytest.param(spec, case, id=f"{spec.op_type}-{case.name}")
    for spec, case in CASES
    if (spec.op_type, case.name) not in REFUSED
]
INT8_CASES: Final = [
    pytest.param(spec, case, id=f"{spec.op_type}-{case.name}")
    for spec, case in CASES
    if (spec.op_type, case.name) not in REFUSED and build_qdq_model(spec, case, DType.INT8) is not None
]


def _feed(case: Case) -> dict[str, Array]:
    return {f"x{i}": x for i, x in enumerate(case.inputs) if x is not None and i not in case.constant_inputs}


def test_every_operator_is_written_or_has_a_reason() -> None:
    assert set(UNWRITTEN) <= set(WITHOUT_TFLITE)


@pytest.mark.parametrize(("spec", "case"), FLOAT_CASES)
def test_float_file_equals_reference_and_comes_back(spec: Operator, case: Case) -> None:
    results = spec.reference(case_node(spec, case), case.inputs)
    check_float(build_float_model(spec, case), _feed(case), {f"y{k}": y for k, y in enumerate(results)})
    record("float cases")


@pytest.mark.parametrize(("spec", "case"), INT8_CASES)
def test_int8_file_equals_interpreter_and_comes_back(spec: Operator, case: Case) -> None:
    built = build_qdq_model(spec, case, DType.INT8)
    assert built is not None
    ours, imported = check_int8(*built, reference=spec.op_type not in WRONG_REFERENCE)
    record("int8 cases", spec.op_type, ours)
    assert ours.within(*DEFAULT_STEPS.get(spec.op_type, (0, 0.0))[:2]), ours
    assert imported.within(*IMPORTED_STEPS.get(spec.op_type, (0, 0.0))[:2]), imported


@pytest.mark.parametrize(("name", "case"), REFUSED, ids=str)
def test_what_tflite_cannot_express_is_refused(name: str, case: str) -> None:
    spec = OPERATORS[name]
    model = build_float_model(spec, next(item for item in spec.cases if item.name == case))
    with pytest.raises(ModelError, match=re.escape(REFUSED[name, case])):
        export_tflite(model)
    record("refusals")


@pytest.mark.parametrize("name", UNWRITTEN)
def test_an_operator_without_tflite_form_names_its_node(name: str) -> None:
    spec = OPERATORS[name]
    model = build_float_model(spec, spec.cases[0])
    if name in {"QuantizeLinear", "DequantizeLinear"}:
        assert export_tflite(model).data
        return
    with pytest.raises(ModelError, match=f"{spec.cases[0].name}.*{name} has no TFLite counterpart"):
        export_tflite(model)


def test_int64_results_stay_int64() -> None:
    spec = OPERATORS["ArgMax"]
    file = export_tflite(build_float_model(spec, spec.cases[0]))
    assert file.outputs[0].dtype is DType.INT64


def test_control_flow_stays_in_onnx() -> None:
    condition = ir.Value(name="c", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.BOOL))
    bodies = [_constant_body(name, value) for name, value in (("then_branch", 1.0), ("else_branch", 2.0))]
    y = ir.Value(name="y", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.FLOAT))
    node = ir.Node("", "If", [condition], bodies, outputs=[y], name="choice")
    graph = ir.Graph([condition], [y], nodes=[node], opset_imports={"": 20}, name="main")
    with pytest.raises(ModelError, match="choice.*If has no TFLite counterpart; control flow stays in ONNX"):
        export_tflite(ir.Model(graph, ir_version=9))


def _constant_body(name: str, value: float) -> ir.Attr:
    result = ir.Value(name=f"{name}_y", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.FLOAT))
    node = ir.Node("", "Constant", [], [ir.AttrFloat32("value_float", value)], outputs=[result], name=name)
    return ir.AttrGraph(name, ir.Graph([], [result], nodes=[node], name=name))


@pytest.mark.parametrize("name", ["GRU", "LSTM", "RNN"])
def test_recurrent_steps_need_a_fixed_batch(name: str) -> None:
    spec = OPERATORS[name]
    model = build_float_model(spec, spec.cases[0])
    model.graph.inputs[0].shape = ir.Shape(["steps", *spec.cases[0].inputs[0].shape[1:]])  # type: ignore[union-attr]
    with pytest.raises(ModelError, match=f"{spec.cases[0].name}.*fix the batch first"):
        export_tflite(model)
