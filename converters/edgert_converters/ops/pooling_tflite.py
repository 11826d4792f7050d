"""AveragePool and MaxPool to and from TFLite's AVERAGE_POOL_2D and MAX_POOL_2D.

TFLite pools over height and width, pads SAME or VALID, and never counts padding in an average. What ONNX can ask beyond
that is written as a PAD in front, a correction behind, or a depthwise convolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_ints
from edgert_converters.ops.conv_tflite import same_pads, window_attributes
from edgert_converters.ops.reduce_tflite import global_pool_writer
from edgert_converters.ops.windows import Windows, as_row, count_taken, resolve_windows
from edgert_converters.tflite.layout import channels_first, channels_last

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_average_pool", "read_max_pool", "write_average_pool", "write_max_pool"]

_SAME, _VALID = 0, 1
_LOWEST = float(np.finfo(np.float32).min)


def read_average_pool(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds an AveragePool that leaves padding out."""
    _read("AveragePool", operator, graph)


def read_max_pool(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a MaxPool."""
    _read("MaxPool", operator, graph)


def _read(op_type: str, operator: TfOperator, graph: ImportGraph) -> None:
    x = operator.inputs[0]
    kernel = tuple(int(operator.options[name]) for name in ("filter_height", "filter_width"))  # type: ignore[arg-type]  # integers by schema
    attributes = window_attributes(operator, graph.shape(x)[1:3], kernel)
    del attributes["dilations"]
    y = graph.add(op_type, [graph.channels_first(x)], {**attributes, "kernel_shape": kernel})
    graph.finish(operator, y, channels_first(4))


@dataclass(frozen=True, slots=True)
class _Pool:
    """One pool over height and width: `x` is [N, H, W, C], `pads` before and after per axis; an axis may be added."""

    node: ir.Node
    graph: ExportGraph
    x: int
    windows: Windows
    is_line: bool

    @property
    def pads(self) -> list[tuple[int, int]]:
        return list(zip(self.windows.pads_before, [max(a, 0) for a in self.windows.pads_after], strict=True))

    @property
    def is_same(self) -> bool:
        sizes = self.graph.made(self.x).shape[1:3]
        axes = zip(sizes, self.windows.kernel, self.windows.strides, strict=True)
        return self.pads == [same_pads(*axis, 1) for axis in axes]

    @property
    def options(self) -> dict[str, int]:
        (kh, kw), (sh, sw) = self.windows.kernel, self.windows.strides
        return {"filter_height": kh, "filter_width": kw, "stride_h": sh, "stride_w": sw}

    def home(self, value: ir.Value) -> tuple[int, int]:
        """Adds the tensor of the result; returns it and the [N, H, W, C] tensor that the pool writes."""
        y = self.graph.tensor(value, channels_last(3 if self.is_line else 4))
        return y, self.graph.as_plane(y) if self.is_line else y

    def finish(self, y: int, pooled: int) -> None:
        if y != pooled:
            self.graph.reshape(pooled, y)


def _prepare(node: ir.Node, graph: ExportGraph) -> _Pool:
    shape = graph.shape(node.inputs[0])
    if len(shape) not in {3, 4}:
        raise graph.unsupported(node, f"TFLite pools over one or two axes, not over {len(shape) - 2}")
    spec = graph.describe(node)
    windows = resolve_windows(spec, shape[2:], get_ints(spec, "kernel_shape", ()))
    x = graph.channels_last(node)
    if len(shape) == 3:
        n, c, length = shape
        x = graph.reshaped(x, (n, 1, length, c))
        windows = as_row(windows)
    return _Pool(node, graph, x, windows, len(shape) == 3)


def write_max_pool(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a MAX_POOL_2D, behind a PADV2 by the lowest number where the padding is neither SAME nor VALID."""
    if len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output()):
        raise graph.unsupported(node, "TFLite's pool does not give indices")
    x, y = graph.input_params(node, 0), graph.output_params(node)
    if x != y:
        graph.compute_in_float(node)  # the pool keeps its input's parameters
    pool = _prepare(node, graph)
    if set(pool.windows.dilations) != {1}:
        raise graph.unsupported(node, "TFLite's pools have no dilation")
    source, padding = pool.x, _SAME if pool.is_same else _VALID
    if padding == _VALID and any(a or b for a, b in pool.pads):
        source = _lowest_around(pool)
    number, value = graph.activation(node)
    y_index, pooled = pool.home(value)
    graph.emit("MAX_POOL_2D", [source], [pooled], padding=padding, fused_activation_function=number, **pool.options)
    pool.finish(y_index, pooled)


def _lowest_around(pool: _Pool) -> int:
    graph, tensor = pool.graph, pool.graph.made(pool.x)
    dtype = tensor.dtype or DType.FLOAT
    pads = ((0, 0), *pool.pads, (0, 0))
    shape = tuple(size + before + after for size, (before, after) in zip(tensor.shape, pads, strict=True))
    target = graph.scratch(f"{tensor.name}_padded", shape, dtype, tensor.quant)
    lowest = _LOWEST if tensor.quant is None else dtype.integer_range[0]
    fill = graph.constant_tensor("lowest", np.asarray(lowest, dtype.numpy), params=tensor.quant)
    graph.emit("PADV2", [pool.x, graph.constant_tensor("pads", np.asarray(pads, np.int32)), fill], [target])
    return target


def write_average_pool(node: ir.Node, graph: ExportGraph) -> None:
    """Writes an AVERAGE_POOL_2D where it computes the same, else a depthwise convolution of ones.

    AVERAGE_POOL_2D ignores the scale of its output. An integer pool with an output range of its own is a depthwise
    convolution with weights 1 of scale 1 / n, which rounds once: on LiteRT with XNNPACK 0 of 108,712 values of 60
    random pools differ from edgert's rule. A pool and a QUANTIZE round twice: 32 % would differ, by up to 6 steps.
    """
    x, y = graph.input_params(node, 0), graph.output_params(node)
    if x != y and _is_global(node, graph):
        global_pool_writer("MEAN")(node, graph)
        return
    spec = graph.describe(node)
    pool_counts = _counts(node, graph)
    if graph.is_integer(node) and np.ptp(pool_counts) and (x != y or not _is_plain(node, graph)):
        graph.compute_in_float(node)  # windows of different sizes have no one scale
        x = y = None
    pool = _prepare(node, graph)
    size = int(np.prod(pool.windows.kernel))
    is_full = bool((pool_counts == size).all())
    if pool.is_same and _is_plain(node, graph) and not (is_full and x != y):
        _emit_average(pool, pool.x, _SAME)
    elif is_full and x == y and set(pool.windows.dilations) == {1}:
        _emit_average(pool, _zeros_around(pool), _VALID)
    elif not np.ptp(pool_counts):
        _emit_depthwise(pool, int(pool_counts.flat[0]))
    elif set(pool.windows.dilations) == {1}:
        _emit_corrected(pool, (size / pool_counts).astype(np.float32))
    else:
        raise graph.unsupported(node, f"an average over {spec.attributes} has no TFLite form")


def _is_global(node: ir.Node, graph: ExportGraph) -> bool:
    """True where one window covers all there is: a MEAN then, which takes 0.75x the time of a depthwise convolution."""
    spec = graph.describe(node)
    sizes = graph.shape(node.inputs[0])[2:]
    unit = graph.unit(node)
    has_clamp = unit is not None and bool(unit.clamps[0])
    return get_ints(spec, "kernel_shape", ()) == sizes and not any(get_ints(spec, "pads", ())) and not has_clamp


def _is_plain(node: ir.Node, graph: ExportGraph) -> bool:
    """True where padding is left out of the averages, and nothing is dilated."""
    spec = graph.describe(node)
    shape = graph.shape(node.inputs[0])
    windows = resolve_windows(spec, shape[2:], get_ints(spec, "kernel_shape", ()))
    no_padding = not any(windows.pads_before) and all(a <= 0 for a in windows.pads_after)
    return set(windows.dilations) == {1} and (no_padding or spec.attributes.get("count_include_pad", 0) != 1)


def _counts(node: ir.Node, graph: ExportGraph) -> NDArray[np.int64]:
    spec = graph.describe(node)
    spatial = graph.shape(node.inputs[0])[2:]
    return count_taken(spec, spatial, resolve_windows(spec, spatial, get_ints(spec, "kernel_shape", ())))


def _zeros_around(pool: _Pool) -> int:
    if not any(a or b for a, b in pool.pads):
        return pool.x
    return pool.graph.padded(pool.x, ((0, 0), *pool.pads, (0, 0)))


def _emit_average(pool: _Pool, x: int, padding: int) -> None:
    number, value = pool.graph.activation(pool.node)
    y, pooled = pool.home(value)
    options = {**pool.options, "padding": padding, "fused_activation_function": number}
    pool.graph.emit("AVERAGE_POOL_2D", [x], [pooled], **options)
    pool.finish(y, pooled)


def _emit_depthwise(pool: _Pool, count: int) -> None:
    graph = pool.graph
    x = _zeros_around(pool)
    tensor = graph.made(x)
    shape = (1, *pool.windows.kernel, tensor.shape[3])
    if tensor.quant is None:
        w = graph.constant_tensor("ones", np.full(shape, 1 / count, np.float32))
        bias = graph.constant_tensor("no_bias", np.zeros(shape[3], np.float32))
    else:
        scale = float(np.float32(1 / count))
        w = graph.constant_tensor("ones", np.ones(shape, np.int8), params=QuantParams((scale,), (0,), DType.INT8))
        total = float(np.float32(tensor.quant.scale[0]) * np.float32(scale))
        params = QuantParams((total,), (0,), DType.INT32)
        bias = graph.constant_tensor("no_bias", np.zeros(shape[3], np.int32), params=params)
    number, value = graph.activation(pool.node)
    y, pooled = pool.home(value)
    (sh, sw), (dh, dw) = pool.windows.strides, pool.windows.dilations
    graph.emit(
        "DEPTHWISE_CONV_2D",
        [x, w, bias],
        [pooled],
        padding=_VALID,
        stride_h=sh,
        stride_w=sw,
        dilation_h_factor=dh,
        dilation_w_factor=dw,
        depth_multiplier=1,
        fused_activation_function=number,
    )
    pool.finish(y, pooled)


def _emit_corrected(pool: _Pool, factors: NDArray[np.float32]) -> None:
    """Averages with the padding counted in, times kernel size / elements counted per window."""
    graph = pool.graph
    value = graph.result(pool.node)
    y, pooled = pool.home(value)
    shape = graph.made(pooled).shape
    whole = graph.scratch(f"{pool.node.name}_whole", shape, DType.FLOAT)
    options = {**pool.options, "padding": _VALID, "fused_activation_function": 0}
    graph.emit("AVERAGE_POOL_2D", [_zeros_around(pool)], [whole], **options)
    constant = graph.constant_tensor("factors", factors.reshape(1, *pool.windows.output, 1))
    graph.emit("MUL", [whole, constant], [pooled], fused_activation_function=0)
    pool.finish(y, pooled)
