"""ConvTranspose to and from TFLite's TRANSPOSE_CONV, whose weights are [O, kh, kw, I] and which has no groups.

TRANSPOSE_CONV cuts its full result SAME (the odd element at the end) or not at all. Other padding is a SLICE behind it,
a dilated kernel is one with zeros inside, and groups are a dense kernel with zeros between them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_int, get_ints
from edgert_converters.ops.conv_tflite import zero_bias
from edgert_converters.ops.spec import Array
from edgert_converters.ops.transposed_windows import crop
from edgert_converters.tflite.layout import channels_first, channels_last

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_transpose_conv", "write_conv_transpose"]

_SAME, _VALID = 0, 1
_TO_ONNX = (3, 0, 1, 2)


def read_transpose_conv(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a ConvTranspose."""
    w, x = operator.inputs[1], operator.inputs[2]
    sizes, wanted, kernel = graph.shape(x)[1:3], graph.required(operator, 0)[1:3], graph.shape(w)[1:3]
    strides = tuple(int(operator.options[name]) for name in ("stride_h", "stride_w"))  # type: ignore[arg-type]  # integers by schema
    before, after, extra = [], [], []
    for size, out, k, stride in zip(sizes, wanted, kernel, strides, strict=True):
        cut = 0 if operator.options["padding"] == _VALID else max((-(-out // stride) - 1) * stride + k - out, 0)
        rest = (size - 1) * stride + k - cut // 2 - out
        before.append(cut // 2)
        after.append(max(rest, 0))
        extra.append(max(-rest, 0))
    inputs = [graph.channels_first(x), graph.weight(w, _TO_ONNX)]
    if len(operator.inputs) > 3 and operator.inputs[3] != -1:
        inputs.append(graph.plain(operator.inputs[3]))
    attributes = {"strides": strides, "pads": (*before, *after), "output_padding": tuple(extra), "kernel_shape": kernel}
    graph.finish(operator, graph.add("ConvTranspose", inputs, attributes), channels_first(4))


def write_conv_transpose(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a TRANSPOSE_CONV, and a SLICE or PAD where its cut is another one; a line as a row of a plane."""
    shape = graph.shape(node.inputs[0])
    if len(shape) not in {3, 4} or graph.constant(node.inputs[1]) is None:
        raise graph.unsupported(node, f"a transposed convolution over {len(shape) - 2} axes, or with computed weights")
    spec = graph.describe(node)
    is_line = len(shape) == 3
    rank = len(shape) - 2
    strides = get_ints(spec, "strides", (1,) * rank)
    weight, kernel = _weights(node, graph)
    full = tuple((n - 1) * s + k for n, s, k in zip(shape[2:], strides, kernel[-rank:], strict=True))
    before, sizes = crop(spec, shape[2:], strides, full)
    if is_line:
        strides, full, before, sizes = (1, *strides), (1, *full), (0, *before), (1, *sizes)
    x = graph.channels_last(node)
    x = graph.reshaped(x, (shape[0], 1, shape[2], shape[1])) if is_line else x
    channels = graph.shape(node.outputs[0])[1]
    bias = graph.plain(node, 2) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    bias = zero_bias(node, graph, channels) if bias is None else bias
    same = [max((-(-n // s) - 1) * s + k - n, 0) // 2 for n, s, k in zip(sizes, strides, kernel, strict=True)]
    fits = before == tuple(same) and tuple(-(-n // s) for n, s in zip(sizes, strides, strict=True)) == (
        (1, shape[2]) if is_line else shape[2:]
    )
    number, value = graph.activation(node)
    y = graph.tensor(value, channels_last(len(shape)))
    plane = graph.as_plane(y) if is_line else y
    made = graph.made(plane)
    target = plane
    written = sizes if fits or sizes == full else full
    if written != sizes:
        whole = (made.shape[0], *full, channels)
        target = graph.scratch(f"{made.name}_whole", whole, made.dtype or DType.FLOAT, made.quant)
    out_shape = graph.constant_tensor("shape", np.asarray((made.shape[0], *written, channels), np.int32))
    graph.emit(
        "TRANSPOSE_CONV",
        [out_shape, weight, x, bias],
        [target],
        version=3,
        padding=_SAME if fits else _VALID,
        stride_h=strides[0],
        stride_w=strides[1],
        fused_activation_function=number,
    )
    if target != plane:
        _cut(graph, target, plane, before, sizes)
    if is_line:
        graph.reshape(plane, y)


def _cut(graph: ExportGraph, whole: int, target: int, before: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    """Takes `sizes` elements from `before` on; what would lie behind the end is padded with zeros."""
    made = graph.made(whole)
    missing = [max(b + n - f, 0) for b, n, f in zip(before, sizes, made.shape[1:3], strict=True)]
    if any(missing):
        whole = graph.padded(whole, ((0, 0), *((0, m) for m in missing), (0, 0)))
    begin = graph.constant_tensor("begin", np.asarray((0, *before, 0), np.int32))
    size = graph.constant_tensor("size", np.asarray((made.shape[0], *sizes, made.shape[3]), np.int32))
    graph.emit("SLICE", [whole, begin, size], [target])


def _weights(node: ir.Node, graph: ExportGraph) -> tuple[int, tuple[int, int]]:
    """Adds the weights as [O, kh, kw, I], dense and without dilation; returns them and their kernel."""
    spec = graph.describe(node)
    integers = graph.quantized_constant(node.inputs[1]) if graph.is_integer(node) else None
    array = integers[0] if integers is not None else graph.constant(node.inputs[1])
    params = integers[1] if integers is not None else None
    if array is None:
        raise AssertionError("weights were found to be constant")
    groups = get_int(spec, "group", 1)
    array = _dilated(array, get_ints(spec, "dilations", (1,) * (array.ndim - 2)))
    if groups > 1:
        array, params = _dense(array, groups), _repeated(params, groups)
    if array.ndim == 3:
        array = np.expand_dims(array, 2)
    kernel = (int(array.shape[2]), int(array.shape[3]))
    return graph.constant_tensor(str(node.inputs[1].name), array, (1, 2, 3, 0), params), kernel  # type: ignore[union-attr]  # checked by the caller


def _dilated(array: Array, dilations: tuple[int, ...]) -> Array:
    if set(dilations) <= {1}:
        return array
    spread = tuple((k - 1) * d + 1 for k, d in zip(array.shape[2:], dilations, strict=True))
    result = np.zeros((*array.shape[:2], *spread), array.dtype)
    result[(slice(None), slice(None), *(slice(None, None, d) for d in dilations))] = array
    return result


def _dense(array: Array, groups: int) -> Array:
    """Returns [C, M] weights for all pairs of channels, zero between groups, of [C, M / groups] ones."""
    inputs, outputs = array.shape[0] // groups, array.shape[1]
    result: NDArray[np.generic] = np.zeros((array.shape[0], outputs * groups, *array.shape[2:]), array.dtype)
    for group in range(groups):
        rows = slice(group * inputs, (group + 1) * inputs)
        result[rows, group * outputs : (group + 1) * outputs] = array[rows]
    return result


def _repeated(params: QuantParams | None, groups: int) -> QuantParams | None:
    if params is None or params.axis is None:
        return params
    return replace(params, scale=params.scale * groups, zero_point=params.zero_point * groups)
