"""Replaces a mean over all spatial axes by GlobalAveragePool, the form that engines and kernels know."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgert_converters.passes.graph_edits import add_initializer, constant_array, is_onnx_op, replace_node

__all__ = ["replace_reduce_mean"]


def replace_reduce_mean(model: ir.Model) -> int:
    """Returns how many ReduceMean nodes became GlobalAveragePool (+ Reshape [0, C] where the axes were dropped).

    A chain of means over the last axis and then the new last axis is one mean over both: ProxylessNAS is exported so.
    Left alone: a mean that takes in batch or channel axes or leaves a spatial axis, unknown rank, and rank below 3.
    """
    merged = sum(_merge_chain(model.graph, node) for node in list(model.graph) if is_onnx_op(node, "ReduceMean"))
    return merged + sum(_replace(model.graph, node) for node in list(model.graph) if is_onnx_op(node, "ReduceMean"))


def _axes(node: ir.Node) -> tuple[int, ...] | None:
    """Returns the reduced axes counted from the front, or None where they or the rank are unknown."""
    source = node.inputs[0]
    if source is None or source.shape is None:
        return None
    rank = len(source.shape)
    if "axes" in node.attributes:
        axes = list(node.attributes.get_ints("axes", ()))
    elif len(node.inputs) > 1 and node.inputs[1] is not None:
        array = constant_array(node.inputs[1])
        if array is None:
            return None
        axes = [int(axis) for axis in array.reshape(-1)]
    else:
        axes = []
    if not axes:
        return None if node.attributes.get_int("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(axis % rank for axis in axes))


def _merge_chain(graph: ir.Graph, second: ir.Node) -> bool:
    inner = second.inputs[0]
    first = inner.producer() if inner is not None else None
    if inner is None or first is None or not is_onnx_op(first, "ReduceMean") or len(inner.uses()) != 1:
        return False
    keeps = [node.attributes.get_int("keepdims", 1) for node in (first, second)]
    outer_axes, inner_axes = _axes(second), _axes(first)
    source = first.inputs[0]
    if inner.is_graph_output() or keeps[0] != keeps[1] or None in (outer_axes, inner_axes) or source is None:
        return False
    assert outer_axes is not None and inner_axes is not None and source.shape is not None
    left = [axis for axis in range(len(source.shape)) if keeps[0] or axis not in inner_axes]
    axes = sorted({*inner_axes, *(left[axis] for axis in outer_axes)})
    constant = add_initializer(graph, f"{second.outputs[0].name}/axes", np.asarray(axes, np.int64))
    replace_node(graph, second, "ReduceMean", [source, constant], {"keepdims": keeps[0]})
    graph.remove(first, safe=True)
    return True


def _replace(graph: ir.Graph, node: ir.Node) -> bool:
    source, axes = node.inputs[0], _axes(node)
    if source is None or source.shape is None or axes is None or len(source.shape) < 3:
        return False
    if axes != tuple(range(2, len(source.shape))) or source.dtype not in {ir.DataType.FLOAT, ir.DataType.FLOAT16}:
        return False
    channels = source.shape[1]
    if node.attributes.get_int("keepdims", 1):
        replace_node(graph, node, "GlobalAveragePool", [source])
        return True
    if not isinstance(channels, int):
        return False
    pool = ir.node("GlobalAveragePool", [source], name=node.name)
    pool.outputs[0].name = f"{node.outputs[0].name}/pooled"
    pool.outputs[0].type = source.type
    pool.outputs[0].shape = ir.Shape([source.shape[0], channels, *[1] * (len(source.shape) - 2)])
    graph.insert_before(node, pool)
    shape = add_initializer(graph, f"{node.outputs[0].name}/shape", np.asarray([0, channels], np.int64))
    reshape = replace_node(graph, node, "Reshape", [pool.outputs[0], shape])
    reshape.name = f"{pool.name}/reshape"
    return True
