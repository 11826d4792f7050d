"""SpaceToDepth and DepthToSpace to and from TFLite, and TFLite's SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND.

The batch operators become Pad, Reshape, Transpose, Reshape and Slice on N, spatial..., C. Around a convolution they are
TFLite's old way to write a dilated one; tflite/dilated.py takes those out before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgert_converters.ops.attributes import get_int, get_str
from edgert_converters.tflite.layout import channels_first, channels_last
from edgert_converters.tflite.moves import move, read_moved

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = [
    "read_batch_to_space",
    "read_depth_to_space",
    "read_space_to_batch",
    "read_space_to_depth",
    "write_depth_to_space",
    "write_space_to_depth",
]


def read_depth_to_space(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a DepthToSpace whose block is the first part of the channels."""
    _read_block(operator, graph, "DepthToSpace", {"mode": "DCR"})


def read_space_to_depth(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a SpaceToDepth."""
    _read_block(operator, graph, "SpaceToDepth", {})


def _read_block(operator: TfOperator, graph: ImportGraph, name: str, attributes: dict[str, str]) -> None:
    block = operator.options.get("block_size", 1)
    value = graph.add(name, [graph.channels_first(operator.inputs[0])], {"blocksize": block, **attributes})
    graph.finish(operator, value, channels_first(4))


def read_space_to_batch(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds what pads x[N, spatial..., C] and puts every phase of a block into the batch: [block * N, ...]."""
    x, block, pads = operator.inputs[0], graph.required(operator, 1), graph.required(operator, 2)
    shape, spatial = graph.shape(x), len(block)
    before, after = (0, *pads[0::2]), (0, *pads[1::2])
    rest = (0,) * (len(shape) - spatial - 1)
    padded = [size + a + b for size, a, b in zip(shape, before + rest, after + rest, strict=True)]
    value = graph.plain(x)
    if any(pads):
        value = graph.kept(graph.add("Pad", [value, graph.ints((*before, *rest, *after, *rest))]), x)
    divided = [item for size, step in zip(padded[1:], block, strict=False) for item in (size // step, step)]
    tail = padded[spatial + 1 :]
    value = graph.kept(graph.add("Reshape", [value, graph.ints((-1, *divided, *tail))]), x)
    steps, kept = range(2, 2 * spatial + 1, 2), range(1, 2 * spatial, 2)
    perm = (*steps, 0, *kept, *range(2 * spatial + 1, 2 * spatial + 1 + len(tail)))
    value = graph.kept(graph.add("Transpose", [value], {"perm": perm}), x)
    graph.finish(operator, graph.add("Reshape", [value, graph.ints((-1, *divided[0::2], *tail))]))


def read_batch_to_space(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds what takes the phases of a block out of the batch and crops the borders."""
    x, block, crops = operator.inputs[0], graph.required(operator, 1), graph.required(operator, 2)
    shape, spatial = graph.shape(x), len(block)
    tail = shape[spatial + 1 :]
    value = graph.add("Reshape", [graph.plain(x), graph.ints((*block, -1, *shape[1:]))])
    pairs = [axis for k in range(spatial) for axis in (spatial + 1 + k, k)]
    perm = (spatial, *pairs, *range(2 * spatial + 1, 2 * spatial + 1 + len(tail)))
    value = graph.kept(graph.add("Transpose", [graph.kept(value, x)], {"perm": perm}), x)
    joined = [size * step for size, step in zip(shape[1:], block, strict=False)]
    value = graph.add("Reshape", [value, graph.ints((-1, *joined, *tail))])
    if any(crops):
        ends = [size - after for size, after in zip(joined, crops[1::2], strict=True)]
        bounds = (crops[0::2], ends, range(1, spatial + 1))
        value = graph.add("Slice", [graph.kept(value, x), *(graph.ints(list(item)) for item in bounds)])
    graph.finish(operator, value)


def write_depth_to_space(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a DEPTH_TO_SPACE; where the block is the last part of the channels, a GATHER reorders them before."""
    spec = graph.describe(node)
    block, mode = get_int(spec, "blocksize", 1), get_str(spec, "mode", "DCR")
    read_moved(node, graph)
    x = graph.channels_last(node)
    if mode == "CRD":
        source = graph.made(x)
        channels = np.arange(source.shape[3]).reshape(-1, block * block).T.reshape(-1)
        sorted_x = graph.like(x, f"{node.name}_channels", source.shape)
        graph.emit("GATHER", [x, graph.constant_tensor("channels", channels)], [sorted_x], axis=3, batch_dims=0)
        x = sorted_x
    move(node, graph, "DEPTH_TO_SPACE", [x], channels_last(4), block_size=block)


def write_space_to_depth(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a SPACE_TO_DEPTH."""
    read_moved(node, graph)
    block = get_int(graph.describe(node), "blocksize", 1)
    move(node, graph, "SPACE_TO_DEPTH", [graph.channels_last(node)], channels_last(4), block_size=block)
