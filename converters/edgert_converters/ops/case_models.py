"""ONNX models made from the operators' test cases, in float and in QDQ form: the conformance suite runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx_ir as ir

from edgert.dtypes import DType
from edgert.quant import QuantParams, quantize
from edgert_converters.ops.attributes import get_int
from edgert_converters.ops.spec import Array, AttributeValue, Case, Node, Operator, QTensor, QuantRule

__all__ = ["LATEST_OPSET", "build_float_model", "build_qdq_model", "case_node", "params_of_range"]

LATEST_OPSET: Final = 20
_LAST_OPSET: Final = {"Upsample": 9}
_IR_VERSION: Final = 9


def case_node(spec: Operator, case: Case) -> Node:
    """Returns the table's node for one case; output shapes come from the float reference."""
    shapes = tuple(None if x is None else x.shape for x in case.inputs)
    constants = {i: array for i in case.constant_inputs if (array := case.inputs[i]) is not None}
    opset = _LAST_OPSET.get(spec.op_type, LATEST_OPSET)
    draft = Node(spec.op_type, case.name, case.attributes, shapes, ((),) * case.outputs, constants, opset)
    outputs = tuple(y.shape for y in spec.reference(draft, case.inputs))
    return Node(spec.op_type, case.name, case.attributes, shapes, outputs, constants, opset)


def build_float_model(spec: Operator, case: Case) -> ir.Model:
    """Returns a model of one node; inputs are called x0, x1, ..., outputs y0, y1, ..."""
    results = spec.reference(case_node(spec, case), case.inputs)
    inputs, constants = [], []
    values: list[ir.Value | None] = []
    for index, array in enumerate(case.inputs):
        if array is None:
            values.append(None)
        elif index in case.constant_inputs:
            values.append(_constant(f"x{index}", array))
            constants.append(values[-1])
        else:
            values.append(_typed(f"x{index}", array))
            inputs.append(values[-1])
    outputs = [_typed(f"y{k}", y) for k, y in enumerate(results)]
    node = ir.Node(spec.domain, spec.op_type, values, _attributes(case), outputs=outputs, name=case.name)
    return _model(spec, [v for v in inputs if v], outputs, [node], [v for v in constants if v])


def build_qdq_model(spec: Operator, case: Case, encoding: DType) -> tuple[ir.Model, dict[str, Array]] | None:
    """Returns the QDQ model of a case by the numerics contract and its integer inputs, or None where it has none.

    Activations are `encoding` with their own ranges, weights int8 per output channel, biases int32, further float
    constants int8 or uint8 per tensor. Operators without an integer rule and cases with index types have no QDQ form.
    """
    first = case.inputs[0] if case.inputs else None
    if spec.integer is None or first is None or first.dtype != np.float32 or spec.op_type in _LAST_OPSET:
        return None
    results = spec.reference(case_node(spec, case), case.inputs)
    if any(y.dtype != np.float32 for y in results):
        return None
    builder = _Builder()
    values: list[ir.Value | None] = []
    integers: list[QTensor | None] = []
    for index, array in enumerate(case.inputs):
        quantized = None if array is None else _quantize_input(spec, case, index, integers, encoding)
        integers.append(quantized)
        if array is None:
            values.append(None)
        elif quantized is None:
            values.append(builder.constant(f"x{index}", array))
        else:
            values.append(builder.dequantized(f"x{index}", quantized, index in case.constant_inputs))
    outputs = [ir.Value(name=f"y{k}_float") for k in range(len(results))]
    builder.nodes.append(ir.Node("", spec.op_type, values, _attributes(case), outputs=outputs, name=case.name))
    source = integers[0]
    for k, y in enumerate(results):
        shared = spec.quantization is QuantRule.SHARED and source is not None
        params = source.params if shared and source is not None else _output_params(spec, y, encoding)
        builder.quantize(outputs[k], f"y{k}", params, y.shape)
    return _model(spec, builder.inputs, builder.outputs, builder.nodes, builder.constants), builder.feeds


def params_of_range(x: Array, dtype: DType) -> QuantParams:
    """Returns the affine parameters whose integers cover [min(x, 0), max(x, 0)]."""
    low, high = min(float(x.min(initial=0)), 0.0), max(float(x.max(initial=0)), 0.0)
    smallest, largest = dtype.integer_range
    scale = float(np.float32((high - low) / (largest - smallest))) or 1.0
    return QuantParams((scale,), (int(np.clip(np.rint(smallest - low / scale), smallest, largest)),), dtype)


def _output_params(spec: Operator, y: Array, encoding: DType) -> QuantParams:
    if spec.fixed_output is None:
        return params_of_range(y, encoding)
    scale, zero_point = spec.fixed_output
    return QuantParams((scale,), (zero_point,), DType.INT8).shifted(encoding)


class _Builder:
    """Collects the parts of a QDQ graph."""

    def __init__(self) -> None:
        self.inputs: list[ir.Value] = []
        self.outputs: list[ir.Value] = []
        self.nodes: list[ir.Node] = []
        self.constants: list[ir.Value] = []
        self.feeds: dict[str, Array] = {}

    def constant(self, name: str, array: Array) -> ir.Value:
        value = _constant(name, array)
        self.constants.append(value)
        return value

    def dequantized(self, name: str, q: QTensor, is_constant: bool) -> ir.Value:
        if is_constant:
            source = self.constant(f"{name}_q", q.values)
        else:
            source = _typed(f"{name}_q", q.values)
            self.inputs.append(source)
            self.feeds[f"{name}_q"] = q.values
        result = ir.Value(name=name)
        self.nodes.append(self._qdq("DequantizeLinear", source, result, q.params, name))
        return result

    def quantize(self, source: ir.Value, name: str, params: QuantParams, shape: Sequence[int]) -> None:
        result = _typed(name, np.empty(shape, params.dtype.numpy))
        self.nodes.append(self._qdq("QuantizeLinear", source, result, params, name))
        self.outputs.append(result)

    def _qdq(self, op_type: str, source: ir.Value, result: ir.Value, params: QuantParams, name: str) -> ir.Node:
        shape = () if params.axis is None else (-1,)
        scale = self.constant(f"{name}_scale", np.asarray(params.scale, np.float32).reshape(shape))
        zero = self.constant(f"{name}_zero", np.asarray(params.zero_point, params.dtype.numpy).reshape(shape))
        attributes = [] if params.axis is None else [ir.AttrInt64("axis", params.axis)]
        return ir.Node("", op_type, [source, scale, zero], attributes, outputs=[result], name=f"{name}_{op_type}")


def _quantize_input(
    spec: Operator, case: Case, index: int, before: Sequence[QTensor | None], encoding: DType
) -> QTensor | None:
    """Returns the integers of input `index`, or None where it stays as it is (shapes, limits, pad values)."""
    array = case.inputs[index]
    if array is None or array.dtype != np.float32:
        return None
    constant = index in case.constant_inputs
    if spec.quantization is QuantRule.COMPUTE and constant:
        x, w = before[0], before[1] if index == 2 else None
        if index == 2 and x is not None and w is not None:
            return _quantize_bias(array, x.params, w.params)
        return _quantize_weight(array, _weight_axis(spec, case, array.ndim))
    if constant and spec.quantization in {QuantRule.SHARED, QuantRule.CLAMP}:
        return None
    params = params_of_range(array, encoding)
    return QTensor(quantize(array, params), params)


def _weight_axis(spec: Operator, case: Case, rank: int) -> int:
    if spec.op_type in {"Conv", "ConvTranspose"}:
        return 0 if spec.op_type == "Conv" else 1
    transposed = get_int(Node(spec.op_type, case.name, case.attributes, (), ()), "transB", 0)
    return 0 if transposed else rank - 1


def _quantize_weight(w: Array, axis: int) -> QTensor:
    others = tuple(a for a in range(w.ndim) if a != axis)
    scale = (np.abs(w).max(axis=others) / np.float32(127)).astype(np.float32)
    params = QuantParams(tuple(float(s) for s in scale), (0,) * scale.size, DType.INT8, axis)
    return QTensor(quantize(w, params), params)


def _quantize_bias(bias: Array, x: QuantParams, w: QuantParams) -> QTensor:
    # the groups of a ConvTranspose share the weights' scales
    scale = np.resize(np.float32(x.scale[0]) * np.asarray(w.scale, np.float32), bias.shape)
    params = QuantParams(tuple(float(s) for s in scale), (0,) * scale.size, DType.INT32, 0)
    return QTensor(quantize(bias, params), params)


def _constant(name: str, array: Array) -> ir.Value:
    value = _typed(name, array)
    value.const_value = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
    return value


def _typed(name: str, array: Array) -> ir.Value:
    kind = ir.TensorType(ir.DataType.from_numpy(array.dtype))
    return ir.Value(name=name, shape=ir.Shape(array.shape), type=kind)


def _attributes(case: Case) -> list[ir.Attr]:
    return [ir.convenience.convert_attribute(name, _plain(value)) for name, value in case.attributes.items()]


def _plain(
    value: AttributeValue,
) -> int | float | str | Sequence[int] | Sequence[float] | Sequence[str] | ir.TensorProtocol:
    return ir.tensor(value) if isinstance(value, np.ndarray) else value


def _model(
    spec: Operator,
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    nodes: Sequence[ir.Node],
    constants: Sequence[ir.Value],
) -> ir.Model:
    opset = _LAST_OPSET.get(spec.op_type, LATEST_OPSET)
    imports = {"": opset, spec.domain: opset if not spec.domain else 1}
    graph = ir.Graph(inputs, outputs, nodes=nodes, initializers=constants, opset_imports=imports, name=spec.op_type)
    return ir.Model(graph, ir_version=_IR_VERSION)
