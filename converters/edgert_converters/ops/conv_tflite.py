"""Conv to and from TFLite's CONV_2D and DEPTHWISE_CONV_2D.

Weights: CONV_2D has [O, kh, kw, I / groups], DEPTHWISE_CONV_2D [1, kh, kw, O] with O = I * multiplier; ONNX has
[O, I / groups, kh, kw]. TFLite pads SAME (odd element at the end) or not at all; other padding is a PAD in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_int
from edgert_converters.ops.conv_3d_tflite import write_conv_3d
from edgert_converters.ops.windows import Windows, as_row, resolve_windows
from edgert_converters.tflite.layout import channels_first, channels_last

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_conv_2d", "read_depthwise_conv_2d", "same_pads", "window_attributes", "write_conv", "zero_bias"]

_SAME, _VALID = 0, 1
_O_KH_KW_I_TO_ONNX = (0, 3, 1, 2)
_ONE_KH_KW_O_TO_ONNX = (3, 0, 1, 2)


def same_pads(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Returns TFLite's SAME padding before and after one axis: the odd element goes to the end."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def window_attributes(operator: TfOperator, sizes: Sequence[int], kernel: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Returns strides, dilations and explicit pads of a TFLite convolution or pool over height and width."""
    options = operator.options
    strides = tuple(int(options[name]) for name in ("stride_h", "stride_w"))  # type: ignore[arg-type]  # integers by schema
    dilations = tuple(int(options.get(name, 1)) for name in ("dilation_h_factor", "dilation_w_factor"))  # type: ignore[arg-type]
    pads = [(0, 0), (0, 0)]
    if options["padding"] == _SAME:
        pads = [same_pads(*axis) for axis in zip(sizes, kernel, strides, dilations, strict=True)]
    before, after = zip(*pads, strict=True)
    return {"strides": strides, "dilations": dilations, "pads": (*before, *after)}


def read_conv_2d(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Conv; groups follow from the channels of input and weights."""
    x, w = operator.inputs[0], operator.inputs[1]
    weight_shape = graph.shape(w)
    group = graph.shape(x)[3] // max(weight_shape[3], 1)
    _read(operator, graph, graph.weight(w, _O_KH_KW_I_TO_ONNX), weight_shape[1:3], group)


def read_depthwise_conv_2d(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Conv with one group per input channel."""
    x, w = operator.inputs[0], operator.inputs[1]
    _read(operator, graph, graph.weight(w, _ONE_KH_KW_O_TO_ONNX), graph.shape(w)[1:3], graph.shape(x)[3])


def _read(operator: TfOperator, graph: ImportGraph, weight: ir.Value, kernel: Sequence[int], group: int) -> None:
    x = operator.inputs[0]
    attributes = window_attributes(operator, graph.shape(x)[1:3], kernel)
    inputs = [graph.channels_first(x), weight]
    if len(operator.inputs) > 2 and operator.inputs[2] != -1:
        inputs.append(graph.weight(operator.inputs[2], (0,)))
    y = graph.add("Conv", inputs, {**attributes, "kernel_shape": tuple(kernel), "group": group})
    graph.finish(operator, y, channels_first(4))


def write_conv(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a convolution; a depthwise one where every input channel has its own group, a line as a row of a plane."""
    rank = len(graph.shape(node.inputs[0]))
    if rank == 5:
        write_conv_3d(node, graph)
        return
    if rank not in {3, 4} or graph.constant(node.inputs[1]) is None:
        raise graph.unsupported(node, f"a convolution over {rank - 2} axes, or with computed weights")
    spec, w_shape = graph.describe(node), graph.shape(node.inputs[1])
    channels, group = graph.shape(node.inputs[0])[1], get_int(spec, "group", 1)
    depthwise = 1 < group == channels
    windows = resolve_windows(spec, graph.shape(node.inputs[0])[2:], w_shape[2:])
    x, weight = graph.channels_last(node), _weights(node, graph, depthwise=depthwise)
    if rank == 3:
        n, length, _ = graph.made(x).shape
        x = graph.reshaped(x, (n, 1, length, channels))
        windows = as_row(windows)
    x, padding = _padded_input(x, windows, graph)
    bias = graph.plain(node, 2) if len(node.inputs) > 2 and node.inputs[2] is not None else zero_bias(node, graph)
    options: dict[str, int] = {
        "padding": padding,
        "stride_h": windows.strides[0],
        "stride_w": windows.strides[1],
        "dilation_h_factor": windows.dilations[0],
        "dilation_w_factor": windows.dilations[1],
    }
    if depthwise:
        options["depth_multiplier"] = w_shape[0] // channels
    number, value = graph.activation(node)
    y = graph.tensor(value, channels_last(rank))
    plane = graph.as_plane(y) if rank == 3 else y
    name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    graph.emit(name, [x, weight, bias], [plane], fused_activation_function=number, **options)
    if rank == 3:
        graph.reshape(plane, y)


def _weights(node: ir.Node, graph: ExportGraph, *, depthwise: bool) -> int:
    """Adds the weights as [O, kh, kw, I / groups], of a depthwise convolution as [1, kh, kw, O]."""
    rank = len(graph.shape(node.inputs[1]))
    order = (1, *range(2, rank), 0) if depthwise else channels_last(rank)
    weight = graph.ordered(node, 1, order)
    if rank == 4:
        return weight
    made = graph.made(weight)
    if made.data is None:
        raise AssertionError("weights without numbers")
    params = made.quant
    if params is not None and params.axis:
        params = replace(params, axis=params.axis + 1)  # behind the new axis
    return graph.constant_tensor(f"{made.name}_2d", np.expand_dims(made.data, 1), params=params)


def _padded_input(x: int, windows: Windows, graph: ExportGraph) -> tuple[int, int]:
    """Returns the input [N, H, W, C], behind a PAD where the padding is neither SAME nor VALID, and the padding."""
    pads = list(zip(windows.pads_before, windows.declared_after, strict=True))
    if not any(a or b for a, b in pads):
        return x, _VALID
    sizes = graph.made(x).shape[1:3]
    axes = zip(sizes, windows.kernel, windows.strides, windows.dilations, strict=True)
    if pads == [same_pads(*axis) for axis in axes]:
        return x, _SAME
    return graph.padded(x, ((0, 0), *pads, (0, 0))), _VALID


def zero_bias(node: ir.Node, graph: ExportGraph, channels: int | None = None) -> int:
    """Adds the bias that TFLite's kernels want: int32 with scale s_x * s_w[c] for integer operators, float32 else."""
    count = channels if channels is not None else graph.shape(node.inputs[1])[0]
    x, w = graph.input_params(node, 0), graph.input_params(node, 1)
    if x is None or w is None:
        return graph.constant_tensor(f"{node.name}_bias", np.zeros(count, np.float32))
    scale = tuple(float(np.float32(x.scale[0]) * np.float32(s)) for s in w.scale)
    params = QuantParams(scale, (0,) * len(scale), DType.INT32, None if len(scale) == 1 else 0)
    return graph.constant_tensor(f"{node.name}_bias", np.zeros(count, np.int32), params=params)
