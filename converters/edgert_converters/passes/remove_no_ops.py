"""Removes nodes that hand their input on unchanged: Identity, Dropout, Pad by 0, Transpose to the same order, ..."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from edgert_converters.passes.graph_edits import Array, bypass, constant_array, is_onnx_op, static_dims

__all__ = ["remove_no_ops"]


def remove_no_ops(model: ir.Model) -> int:
    """Returns how many nodes were removed. A node between a graph input and a graph output stays."""
    count = 0
    for node in list(model.graph):
        source = node.inputs[0] if node.inputs else None
        claim = _CLAIMS.get(node.op_type)
        if source is None or claim is None or not is_onnx_op(node, node.op_type):
            continue
        if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
            continue
        if claim(node, source) and not _requantizes(node, source) and bypass(model.graph, node, source):
            count += 1
    return count


def _requantizes(node: ir.Node, source: ir.Value) -> bool:
    """True between a DequantizeLinear and a QuantizeLinear of other parameters: what moves integers to another scale.

    With the node it is one integer operator; without it, an engine and the interpreter would go through float.
    """
    before = source.producer()
    readers = [use.node for use in node.outputs[0].uses()]
    if before is None or not is_onnx_op(before, "DequantizeLinear") or not readers:
        return False
    given = [constant_array(value) for value in before.inputs[1:3]]
    for reader in readers:
        if not is_onnx_op(reader, "QuantizeLinear"):
            return False
        if not all(map(_same, given, [constant_array(value) for value in reader.inputs[1:3]])):
            return True
    return False


def _same(a: Array | None, b: Array | None) -> bool:
    return a is not None and b is not None and a.dtype == b.dtype and np.array_equal(a, b)


def _always(_node: ir.Node, _source: ir.Value) -> bool:
    return True


def _is_inference_dropout(node: ir.Node, _source: ir.Value) -> bool:
    mode = node.inputs[2] if len(node.inputs) > 2 else None
    array = constant_array(mode)
    return mode is None or (array is not None and not array.any())


def _pads_nothing(node: ir.Node, _source: ir.Value) -> bool:
    pads = constant_array(node.inputs[1]) if len(node.inputs) > 1 else None
    return pads is not None and not pads.any()


def _keeps_order(node: ir.Node, source: ir.Value) -> bool:
    perm = list(node.attributes.get_ints("perm", ()))
    if perm:
        return perm == sorted(perm)
    return source.shape is not None and len(source.shape) < 2


def _keeps_type(node: ir.Node, source: ir.Value) -> bool:
    return source.dtype is not None and source.dtype == node.attributes.get_int("to", -1)


def _has_one_input(node: ir.Node, _source: ir.Value) -> bool:
    return len(node.inputs) == 1


def _keeps_shape(node: ir.Node, source: ir.Value) -> bool:
    """Same static shape in and out; for a Reshape also [0, -1] and the like, which keep a dynamic axis."""
    before, after = static_dims(source), static_dims(node.outputs[0])
    if before is not None:
        return before == after
    wanted = constant_array(node.inputs[1]) if node.op_type == "Reshape" and len(node.inputs) > 1 else None
    if wanted is None or source.shape is None or wanted.size != len(source.shape):
        return False
    if node.attributes.get_int("allowzero", 0):
        return False
    free = [i for i, dim in enumerate(wanted) if dim == -1]
    fixed = [i for i, dim in enumerate(wanted) if dim > 0]
    # every fixed size equals the input's, at most one axis is left to be inferred, the rest are copied
    return len(free) <= 1 and all(source.shape[i] == int(wanted[i]) for i in fixed)


def _slices_everything(node: ir.Node, source: ir.Value) -> bool:
    arrays = [constant_array(value) for value in node.inputs[1:5]]
    if len(arrays) < 2 or any(a is None and v is not None for a, v in zip(arrays, node.inputs[1:5], strict=True)):
        return False
    starts, ends = arrays[0], arrays[1]
    steps = arrays[3] if len(arrays) > 3 else None
    if starts is None or ends is None or (steps is not None and not np.all(steps == 1)):
        return False
    before, after = static_dims(source), static_dims(node.outputs[0])
    whole = bool(np.all(starts == 0) and np.all(ends >= np.iinfo(np.int32).max))
    return whole or (before is not None and before == after)


_CLAIMS: dict[str, Callable[[ir.Node, ir.Value], bool]] = {
    "Cast": _keeps_type,
    "Concat": _has_one_input,
    "Dropout": _is_inference_dropout,
    "Expand": _keeps_shape,
    "Flatten": _keeps_shape,
    "Identity": _always,
    "Max": _has_one_input,
    "Min": _has_one_input,
    "Pad": _pads_nothing,
    "Reshape": _keeps_shape,
    "Slice": _slices_everything,
    "Sum": _has_one_input,
    "Tile": _keeps_shape,
    "Transpose": _keeps_order,
}
