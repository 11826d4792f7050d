"""Which tensors of a TFLite graph are images: height, width and channels of rank 4 that an image operator reads."""

from __future__ import annotations

from collections.abc import Mapping

from edgert_converters.tflite.model import TfOperator, TfSubgraph

__all__ = ["image_inputs"]

_IMAGE_OPERATORS = {
    "AVERAGE_POOL_2D",
    "BATCH_TO_SPACE_ND",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "DEPTH_TO_SPACE",
    "L2_POOL_2D",
    "MAX_POOL_2D",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
    "SPACE_TO_BATCH_ND",
    "SPACE_TO_DEPTH",
}
_PASSING = {"ADD", "CAST", "DEQUANTIZE", "DIV", "MIRROR_PAD", "MUL", "PAD", "PADV2", "QUANTIZE", "RELU", "SUB"}


def image_inputs(graph: TfSubgraph) -> frozenset[int]:
    """Returns the inputs of rank 4 that an image operator reads, directly or behind arithmetic and padding."""
    readers: dict[int, list[TfOperator]] = {}
    for operator in graph.operators:
        for index in operator.inputs:
            readers.setdefault(index, []).append(operator)
    return frozenset(
        index for index in graph.inputs if len(graph.tensors[index].shape) == 4 and _is_image(index, readers)
    )


def _is_image(index: int, readers: Mapping[int, list[TfOperator]]) -> bool:
    pending, seen = [index], {index}
    while pending:
        for operator in readers.get(pending.pop(), ()):
            if operator.name in _IMAGE_OPERATORS:
                return True
            if operator.name in _PASSING:
                fresh = [output for output in operator.outputs if output not in seen]
                pending += fresh
                seen.update(fresh)
    return False
