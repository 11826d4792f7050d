"""Conv over volumes to and from TFLite's CONV_3D, which computes on floats and has no groups.

Weights are [kd, kh, kw, I, O]; ONNX has [O, I, kd, kh, kw].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgert_converters.ops.attributes import get_int
from edgert_converters.ops.windows import resolve_windows
from edgert_converters.tflite.layout import channels_first, channels_last

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_conv_3d", "write_conv_3d"]

_SAME, _VALID = 0, 1
_TO_ONNX, _TO_TFLITE = (4, 3, 0, 1, 2), (2, 3, 4, 1, 0)
_AXES = ("d", "h", "w")


def read_conv_3d(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Conv over three axes."""
    from edgert_converters.ops.conv_tflite import same_pads

    x, w = operator.inputs[0], operator.inputs[1]
    kernel = graph.shape(w)[:3]
    strides = tuple(int(operator.options[f"stride_{axis}"]) for axis in _AXES)  # type: ignore[arg-type]  # integers by schema
    dilations = tuple(int(operator.options.get(f"dilation_{axis}_factor", 1)) for axis in _AXES)  # type: ignore[arg-type]
    pads = [(0, 0)] * 3
    if operator.options["padding"] == _SAME:
        axes = zip(graph.shape(x)[1:4], kernel, strides, dilations, strict=True)
        pads = [same_pads(*axis) for axis in axes]
    before, after = zip(*pads, strict=True)
    inputs = [graph.channels_first(x), graph.weight(w, _TO_ONNX)]
    if len(operator.inputs) > 2 and operator.inputs[2] != -1:
        inputs.append(graph.plain(operator.inputs[2]))
    attributes = {"strides": strides, "dilations": dilations, "pads": (*before, *after), "kernel_shape": kernel}
    graph.finish(operator, graph.add("Conv", inputs, attributes), channels_first(5))


def write_conv_3d(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a CONV_3D, behind a PAD where there is padding."""
    graph.compute_in_float(node)
    spec = graph.describe(node)
    if get_int(spec, "group", 1) != 1:
        raise graph.unsupported(node, "CONV_3D has no groups")
    shape = graph.shape(node.inputs[0])
    windows = resolve_windows(spec, shape[2:], graph.shape(node.inputs[1])[2:])
    x = graph.channels_last(node)
    pads = list(zip(windows.pads_before, windows.declared_after, strict=True))
    if any(a or b for a, b in pads):
        x = graph.padded(x, ((0, 0), *pads, (0, 0)))
    inputs = [x, graph.ordered(node, 1, _TO_TFLITE)]
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        inputs.append(graph.plain(node, 2))
    options = {f"stride_{axis}": size for axis, size in zip(_AXES, windows.strides, strict=True)}
    options |= {f"dilation_{axis}_factor": size for axis, size in zip(_AXES, windows.dilations, strict=True)}
    number, value = graph.activation(node)
    y = graph.tensor(value, channels_last(5))
    graph.emit("CONV_3D", inputs, [y], padding=_VALID, fused_activation_function=number, **options)
