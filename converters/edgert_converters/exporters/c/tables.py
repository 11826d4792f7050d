"""Functions of one 8-bit number as tables, filled by the operator table's own integer rule: exact by construction.

An integer unit of the ONNX graph that computes element by element from one 8-bit tensor (with scalars besides) becomes
one operator EDGERT_TABLE, whatever operators the TFLite form writes for it; so does a change of scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import onnx_ir as ir

from edgert.dtypes import DType
from edgert.quant import QuantParams, dequantize, quantize
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.clamp import clamp_integers
from edgert_converters.ops.nodes import build_attributes, read_opset
from edgert_converters.ops.q31 import rescale_q31
from edgert_converters.ops.rules import rescale
from edgert_converters.ops.spec import Array, Node, QTensor
from edgert_converters.requantize import Requantize, read_requantize
from edgert_converters.tflite.export_graph import Stored
from edgert_converters.tflite.model import TfOperator, TfSubgraph
from edgert_converters.units import IntegerUnit, constant_inputs, dequantizer_of, find_units, static_params

__all__ = ["TABLE", "fold_tables", "unit_table"]

TABLE: Final = "EDGERT_TABLE"
_EIGHT_BITS: Final = frozenset({DType.INT8, DType.UINT8})
_RESIZES: Final = frozenset({"Resize", "Upsample"})
# fmt: off
_ELEMENT_WISE: Final = frozenset(
    {
        "Abs", "Acos", "Acosh", "Add", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Div",
        "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Max", "Mean", "Min",
        "Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin",
        "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tan", "Tanh", "ThresholdedRelu",
    }
)
# fmt: on


def fold_tables(model: ir.Model, graph: TfSubgraph, homes: Mapping[str, Stored]) -> TfSubgraph:
    """Returns the TFLite form with tables, without what nothing reads any more.

    Args:
        model: that the form was written from.
        graph: the form.
        homes: where each computed value of the model lies in it.
    """
    mode = read_requantize(model)
    made = {output: operator for operator in graph.operators for output in operator.outputs}
    found: dict[int, TfOperator] = {}
    plain = set()  # moved by operators that take other parameters in float32 whatever the mode
    for unit in find_units(model.graph):
        if OPERATORS[unit.op].integer_q31 is None or unit.op in _RESIZES:
            plain |= {home.index for q in unit.quantize if (home := homes.get(str(q.outputs[0].name))) is not None}
        ends = _ends(unit, homes)
        if ends is not None and ends[1] in made:
            found[ends[1]] = _table_operator(ends[0], ends[1], unit_table(unit, mode))
    for operator in graph.operators:
        if operator.name == "QUANTIZE" and operator.outputs[0] not in found:
            table = _rescaling(graph, operator, made, mode if operator.outputs[0] not in plain else Requantize.FP32)
            if table is not None:
                found[operator.outputs[0]] = table
    operators = tuple(
        found.get(operator.outputs[0], operator) if operator.outputs else operator for operator in graph.operators
    )
    return _without_dead(replace(graph, operators=operators))


def unit_table(unit: IntegerUnit, mode: Requantize) -> Array:
    """Returns the unit's output integers for every integer of its one 8-bit input, in ascending order."""
    inputs = [_operand(value) for value in unit.node.inputs]
    params = static_params(unit.quantize[0])
    spec = OPERATORS[unit.op]
    rule = spec.integer_q31 if mode is Requantize.Q31 and spec.integer_q31 is not None else spec.integer
    if rule is None:
        raise AssertionError(f"{unit.op} has no integer rule")
    with np.errstate(all="ignore"):
        (result,) = rule(_bind(unit.node, inputs), inputs, [params])
        for clamp in unit.clamps[0]:
            limits = constant_inputs(clamp)
            result = clamp_integers(_bind(clamp, [result, *limits]), limits, result, mode)
    table: Array = result.values.reshape(-1)
    return table


def _table_operator(x: int, y: int, table: Array) -> TfOperator:
    return TfOperator(TABLE, (x,), (y,), {"table": tuple(int(value) for value in table)})


def _ends(unit: IntegerUnit, homes: Mapping[str, Stored]) -> tuple[int, int] | None:
    """The tensors that an element-wise unit reads and makes, or None where it is no function of one 8-bit tensor."""
    if unit.op not in _ELEMENT_WISE or len(unit.quantize) != 1:
        return None
    computed, others = [], []
    for value in unit.node.inputs:
        node = None if value is None else dequantizer_of(value)
        source = value if node is None else node.inputs[0]
        if source is None or source.const_value is not None:
            others.append(1 if source is None or source.const_value is None else source.const_value.size)
        else:
            computed.append((source, node))
    source, node = computed[0] if len(computed) == 1 else (None, None)
    if source is None or node is None or any(size != 1 for size in others):
        return None
    x, y = homes.get(str(source.name)), homes.get(str(unit.quantize[0].outputs[0].name))
    if x is None or y is None or x.order != y.order or x.index == y.index:
        return None
    kinds = {static_params(node).dtype, static_params(unit.quantize[0]).dtype}
    return (x.index, y.index) if kinds <= _EIGHT_BITS else None


def _operand(value: ir.Value | None) -> QTensor | Array | None:
    """All 256 integers where the value is computed, else its constant."""
    if value is None:
        return None
    node = dequantizer_of(value)
    source = value if node is None else node.inputs[0]
    if source is not None and source.const_value is not None:
        array = np.asarray(source.const_value.numpy())
        return array if node is None else QTensor(array, static_params(node, array.ndim))
    if node is None:
        raise AssertionError(f"{value.name!r} is neither quantized nor a constant")
    params = static_params(node)
    return QTensor(_every(params), params)


def _every(params: QuantParams) -> Array:
    low, high = params.dtype.integer_range
    return np.arange(low, high + 1).astype(params.dtype.numpy)


def _bind(node: ir.Node, inputs: list[QTensor | Array | None]) -> Node:
    shapes = tuple(
        None if v is None else v.values.shape if isinstance(v, QTensor) else np.asarray(v).shape for v in inputs
    )
    return Node(node.op_type, node.name or "", build_attributes(node), shapes, ((),), {}, read_opset(node))


def _rescaling(
    graph: TfSubgraph, operator: TfOperator, made: Mapping[int, TfOperator], mode: Requantize
) -> TfOperator | None:
    """The table of a QUANTIZE of 8-bit integers, or of floats that a DEQUANTIZE made of such."""
    source = made.get(operator.inputs[0])
    is_float = source is not None and source.name == "DEQUANTIZE"
    index = source.inputs[0] if source is not None and is_float else operator.inputs[0]
    x, y = graph.tensors[index].quant, graph.tensors[operator.outputs[0]].quant
    if x is None or y is None or not {x.dtype, y.dtype} <= _EIGHT_BITS:
        return None
    integers = QTensor(_every(x), x)
    if is_float:
        return _table_operator(index, operator.outputs[0], quantize(dequantize(integers.values, x), y))
    moved = rescale_q31(integers, y) if mode is Requantize.Q31 else rescale(integers, y)
    return _table_operator(index, operator.outputs[0], moved.values)


def _without_dead(graph: TfSubgraph) -> TfSubgraph:
    read = set(graph.outputs)
    kept = []
    for operator in reversed(graph.operators):
        if read.intersection(operator.outputs):
            kept.append(operator)
            read.update(operator.inputs)
    return replace(graph, operators=tuple(reversed(kept)))
