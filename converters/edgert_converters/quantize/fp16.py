"""Turns a float32 graph into float16, with float32 inputs and outputs, and names the layer where that goes wrong.

Half the bytes; faster only where the engine computes in float16 (a target fact).
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgert.errors import ModelError

if TYPE_CHECKING:
    import onnx_ir

    from edgert_converters.ops.spec import Array

__all__ = ["FLOAT16_TOLERANCE", "MAX_FLOAT16", "LayerError", "first_layer_beyond", "to_float16"]

FLOAT16_TOLERANCE = 1e-2
"""Share of an output's largest magnitude; with 11 significant bits a hundred layers stay within it."""

MAX_FLOAT16 = 65504.0
"""Largest finite float16."""

# a bound beyond the range of float16 means "none" in these, so it may become the largest float16
_BOUNDED = {"Clip", "Max", "Min", "Pad"}
_HALF_SUFFIX = "/float16"


@dataclass(frozen=True, slots=True)
class LayerError:
    """One layer's difference, as a share of the largest magnitude of its output."""

    layer: str
    op: str
    relative_error: float


def to_float16(model: onnx_ir.Model, keep_float: Collection[str] = ()) -> onnx_ir.Model:
    """Returns a copy that stores weights and computes in float16; its inputs and outputs stay float32 behind Casts.

    Inputs that ONNX defines as float32 only (Resize scales, boxes of NonMaxSuppression) and the nodes in `keep_float`
    stay float32 between Casts. Numbers are rounded to nearest even.

    Args:
        model: a float32 graph; not changed.
        keep_float: names of nodes that stay float32.

    Raises:
        ModelError: a weight lies outside the range of float16 (its layer is named), the graph is quantized, has control
            flow, or holds a tensor whose type is not known.
    """
    from onnx_ir.passes import common

    copy = model.clone()
    common.ShapeInferencePass(check_type=False, strict_mode=False)(copy)
    _check_supported(copy)
    conversion = _Conversion(copy, frozenset(keep_float))
    for node in list(copy.graph):
        conversion.convert(node)
    conversion.restore_outputs()
    common.RemoveUnusedNodesPass()(copy)
    return copy


def first_layer_beyond(
    model: onnx_ir.Model, other: onnx_ir.Model, feed: Mapping[str, Array], tolerance: float
) -> LayerError | None:
    """Returns the first layer in graph order whose output in `other` differs from `model` by more than `tolerance`.

    Args:
        model: the float32 graph.
        other: a graph with the same value names, as `to_float16` returns it.
        feed: one input by name; both graphs run end to end on it in ONNX Runtime, graph optimizations off.
        tolerance: share of the largest magnitude of each layer's output.

    Raises:
        ModelError: one of the graphs does not run.
    """
    from edgert_converters.passes.output_check import relative_error

    expected, found = _all_outputs(model, feed), _all_outputs(other, feed)
    for node in model.graph:
        for value in node.outputs:
            name = value.name or ""
            twin = found.get(f"{name}{_HALF_SUFFIX}", found.get(name))
            if name not in expected or twin is None:
                continue
            error = relative_error([expected[name]], [twin.astype(expected[name].dtype)])
            if not error <= tolerance:
                return LayerError(node.name or name, node.op_type, error)
    return None


def _check_supported(model: onnx_ir.Model) -> None:
    for node in model.graph:
        if any(attribute.type.name in {"GRAPH", "GRAPHS"} for attribute in node.attributes.values()):
            raise ModelError(f"float16 is not supported for the control flow of {node.op_type!r}", node=node.name)
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            raise ModelError("float16 starts from the float model; this one is quantized already", node=node.name)
        for value in (*node.inputs, *node.outputs):
            if value is not None and value.name and value.dtype is None and value.const_value is None:
                raise ModelError(f"the element type of {value.name!r} is not known", node=node.name)


@dataclass(slots=True)
class _Conversion:
    """State of one conversion: which float32 values have a float16 twin and the other way round."""

    model: onnx_ir.Model
    keep_float: frozenset[str]
    halves: dict[onnx_ir.Value, onnx_ir.Value] = field(default_factory=dict)
    fulls: dict[onnx_ir.Value, onnx_ir.Value] = field(default_factory=dict)

    def convert(self, node: onnx_ir.Node) -> None:
        """Makes one node compute in float16 as far as ONNX allows, with Casts where it does not."""
        import onnx_ir

        kept = node.name in self.keep_float
        opset = self.model.opset_imports.get("", 18)
        for position, value in enumerate(node.inputs):
            if value is None or not self._is_float(value):
                continue
            wants_half = not kept and _allows_float16(node.op_type, opset, position, is_input=True)
            node.replace_input_with(position, self._half(value, node) if wants_half else self._full(value, node))
        if kept:
            return
        _convert_attributes(node)
        for position, value in enumerate(node.outputs):
            if value.dtype == onnx_ir.DataType.FLOAT and _allows_float16(node.op_type, opset, position, is_input=False):
                # a new type object: values may share one, and the setter of dtype changes it in place
                value.type = onnx_ir.TensorType(onnx_ir.DataType.FLOAT16)

    def restore_outputs(self) -> None:
        """Casts graph outputs back to float32 under their own names."""
        import onnx_ir

        graph = self.model.graph
        for position, value in enumerate(list(graph.outputs)):
            producer = value.producer()
            if producer is None or value.dtype != onnx_ir.DataType.FLOAT16:
                continue
            name = value.name
            value.name = f"{name}{_HALF_SUFFIX}"
            cast = _cast(value, onnx_ir.DataType.FLOAT, name or "")
            graph.append(cast)
            graph.outputs[position] = cast.outputs[0]

    def _is_float(self, value: onnx_ir.Value) -> bool:
        dtype = value.dtype if value.const_value is None else value.const_value.dtype
        return dtype.name in {"FLOAT", "FLOAT16"} if dtype is not None else False

    def _half(self, value: onnx_ir.Value, node: onnx_ir.Node) -> onnx_ir.Value:
        import onnx_ir

        if value.const_value is None and value.dtype == onnx_ir.DataType.FLOAT16:
            return value
        if value not in self.halves:
            if value.is_initializer() and value.const_value is not None:
                self.halves[value] = self._half_initializer(value, node)
            else:
                cast = _cast(value, onnx_ir.DataType.FLOAT16, f"{value.name}{_HALF_SUFFIX}")
                node.prepend(cast)
                self.halves[value] = cast.outputs[0]
        return self.halves[value]

    def _full(self, value: onnx_ir.Value, node: onnx_ir.Node) -> onnx_ir.Value:
        import onnx_ir

        if value.is_initializer() or value.dtype == onnx_ir.DataType.FLOAT:
            return value
        if value not in self.fulls:
            cast = _cast(value, onnx_ir.DataType.FLOAT, f"{value.name}/float32")
            node.prepend(cast)
            self.fulls[value] = cast.outputs[0]
        return self.fulls[value]

    def _half_initializer(self, value: onnx_ir.Value, node: onnx_ir.Node) -> onnx_ir.Value:
        from edgert_converters.passes.graph_edits import add_initializer

        assert value.const_value is not None
        array = np.asarray(value.const_value.numpy(), np.float32)
        beyond = np.isfinite(array) & (np.abs(array) > MAX_FLOAT16)
        if beyond.any():
            if node.op_type not in _BOUNDED:
                worst = float(np.abs(array[beyond]).max())
                raise ModelError(
                    f"weight {value.name!r} of {node.op_type} holds {worst:.6g}, beyond float16's {MAX_FLOAT16:.0f}; "
                    "keep this layer in float32",
                    node=node.name,
                )
            array = np.clip(array, -MAX_FLOAT16, MAX_FLOAT16)
        return add_initializer(self.model.graph, f"{value.name}{_HALF_SUFFIX}", array.astype(np.float16))


def _cast(value: onnx_ir.Value, dtype: onnx_ir.DataType, name: str) -> onnx_ir.Node:
    import onnx_ir

    node = onnx_ir.node("Cast", [value], {"to": int(dtype)}, name=f"{name}/cast")
    output = node.outputs[0]
    output.name, output.shape, output.type = name, value.shape, onnx_ir.TensorType(dtype)
    return node


def _convert_attributes(node: onnx_ir.Node) -> None:
    """Rewrites the attributes that say float32: Cast's target, constants, and the type of generated tensors."""
    import onnx_ir

    single = int(onnx_ir.DataType.FLOAT)
    for name in ("to", "dtype"):
        if node.attributes.get_int(name, 0) == single:
            node.attributes[name] = onnx_ir.AttrInt64(name, int(onnx_ir.DataType.FLOAT16))
    value = node.attributes.get("value")
    if value is not None and value.type.name == "TENSOR" and value.as_tensor().dtype == onnx_ir.DataType.FLOAT:
        array = np.asarray(value.as_tensor().numpy(), np.float32)
        if np.any(np.isfinite(array) & (np.abs(array) > MAX_FLOAT16)):
            raise ModelError(f"a constant lies beyond float16's {MAX_FLOAT16:.0f}", node=node.name)
        node.attributes["value"] = onnx_ir.AttrTensor("value", onnx_ir.tensor(array.astype(np.float16)))


@functools.cache
def _allows_float16(op_type: str, opset: int, position: int, *, is_input: bool) -> bool:
    """True where ONNX allows float16 for one input or output of an operator; a variadic one repeats the last."""
    import onnx.defs

    schema = onnx.defs.get_schema(op_type, opset, "")
    formals = schema.inputs if is_input else schema.outputs
    formal = formals[min(position, len(formals) - 1)]
    for constraint in schema.type_constraints:
        if constraint.type_param_str == formal.type_str:
            return "tensor(float16)" in constraint.allowed_type_strs
    return bool(formal.type_str == "tensor(float16)")


def _all_outputs(model: onnx_ir.Model, feed: Mapping[str, Array]) -> dict[str, Array]:
    import onnx_ir
    from onnx_ir.passes import common

    from edgert_converters.passes.output_check import run_model

    clone = model.clone()
    common.ShapeInferencePass(check_type=False, strict_mode=False)(clone)
    values = [value for node in clone.graph for value in node.outputs if value.name and value.dtype is not None]
    clone.graph.outputs.clear()
    clone.graph.outputs.extend(values)
    arrays = run_model(onnx_ir.to_proto(clone).SerializeToString(), dict(feed))
    return {value.name or "": array for value, array in zip(values, arrays, strict=True)}
