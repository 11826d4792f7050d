"""What each moving operator does to the places of its input: arrays of indices in, arrays of indices out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import EllipsisType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgert_converters.exporters.c.kernels.moves import lower_reshape, lower_split, lower_unpack, move_rule
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.tflite.model import TfOperator

__all__ = ["MOVE_RULES"]

Indices = NDArray[np.int64]


def transpose(operator: TfOperator, network: Lowering, places: Indices) -> Indices:
    """Axes in the order of input 1."""
    return np.transpose(places, [int(axis) for axis in network.constant(operator, 1).reshape(-1)])


def slice_from(operator: TfOperator, network: Lowering, places: Indices) -> Indices:
    """SLICE: from the begin in input 1, as much as the output holds."""
    begin = network.constant(operator, 1).reshape(-1)
    sizes = network.result(operator).shape
    return places[tuple(slice(int(b), int(b) + size) for b, size in zip(begin, sizes, strict=True))]


def strided_slice(operator: TfOperator, network: Lowering, places: Indices) -> Indices:
    """STRIDED_SLICE with its masks, by numpy's own rules."""
    begin, end, strides = (network.constant(operator, i).reshape(-1).tolist() for i in (1, 2, 3))

    def masked(name: str, position: int) -> bool:
        return bool(network.option(operator, f"{name}_mask") >> position & 1)

    keys: list[EllipsisType | int | slice | None] = []
    for p in range(len(begin)):
        if masked("ellipsis", p):
            keys.append(Ellipsis)
        elif masked("new_axis", p):
            keys.append(None)
        elif masked("shrink_axis", p):
            keys.append(begin[p])
        else:
            first = None if masked("begin", p) else begin[p]
            last = None if masked("end", p) else end[p] + (begin[p] if operator.options.get("offset") else 0)
            keys.append(slice(first, last, strides[p]))
    taken: Indices = places[tuple(keys)]
    return taken.reshape(network.result(operator).shape)


def gather(operator: TfOperator, network: Lowering, places: Indices) -> Indices:
    """GATHER with constant indices along one axis."""
    if operator.options.get("batch_dims"):
        raise network.refusal(operator, "it gathers per sample of a batch; C takes one list of indices")
    indices = network.constant(operator, 1).astype(np.int64)
    return np.take(places, indices, axis=network.option(operator, "axis"))


def gather_nd(operator: TfOperator, network: Lowering, places: Indices) -> Indices:
    """GATHER_ND with constant indices."""
    indices = network.constant(operator, 1).astype(np.int64)
    taken: Indices = places[tuple(np.moveaxis(indices, -1, 0))]
    return taken


def tile(operator: TfOperator, network: Lowering, places: Indices) -> Indices:
    """TILE by the counts in input 1."""
    return np.tile(places, network.constant(operator, 1).astype(np.int64).reshape(-1))


def broadcast_to(operator: TfOperator, network: Lowering, places: Indices) -> Indices:
    """BROADCAST_TO the shape of the output."""
    return np.broadcast_to(places, network.result(operator).shape)


def reverse(operator: TfOperator, network: Lowering, places: Indices) -> Indices:
    """REVERSE_V2 along the axes in input 1."""
    return np.flip(places, tuple(int(axis) for axis in network.constant(operator, 1).reshape(-1)))


def mirror_pad(operator: TfOperator, network: Lowering, places: Indices) -> Indices:
    """MIRROR_PAD: mode 0 leaves the border out, mode 1 repeats it."""
    pads = network.constant(operator, 1).tolist()
    return np.pad(places, pads, mode="symmetric" if network.option(operator, "mode") else "reflect")


def space_to_depth(operator: TfOperator, network: Lowering, places: Indices) -> Indices:
    """SPACE_TO_DEPTH: blocks become channels, row by row."""
    block = network.option(operator, "block_size")
    n, rows, columns, channels = places.shape
    split = places.reshape(n, rows // block, block, columns // block, block, channels)
    return np.transpose(split, (0, 1, 3, 2, 4, 5))


def depth_to_space(operator: TfOperator, network: Lowering, places: Indices) -> Indices:
    """DEPTH_TO_SPACE: channels become blocks, row by row."""
    block = network.option(operator, "block_size")
    n, rows, columns, channels = places.shape
    split = places.reshape(n, rows, columns, block, block, channels // block**2)
    return np.transpose(split, (0, 1, 3, 2, 4, 5))


def resize_nearest(operator: TfOperator, network: Lowering, places: Indices) -> Indices:
    """RESIZE_NEAREST_NEIGHBOR: the pixel below or nearest, in float32 as TensorFlow Lite computes it."""
    _, rows, columns, _ = network.result(operator).shape
    for axis, size in ((1, rows), (2, columns)):
        places = np.take(places, _nearest(operator, places.shape[axis], size), axis=axis)
    return places


def _nearest(operator: TfOperator, size: int, wanted: int) -> NDArray[np.int64]:
    align, half = bool(operator.options.get("align_corners")), bool(operator.options.get("half_pixel_centers"))
    scale = np.float32(size - 1) / np.float32(wanted - 1) if align and wanted > 1 else np.float32(size) / wanted
    position = (np.arange(wanted, dtype=np.float32) + np.float32(0.5 if half else 0)) * np.float32(scale)
    place = np.floor(position + np.float32(0.5)) if align else np.floor(position)
    index: NDArray[np.int64] = np.clip(place, 0, size - 1).astype(np.int64)
    return index


MOVE_RULES: Final[Mapping[str, Callable[[TfOperator, Lowering], None]]] = {
    "BROADCAST_TO": move_rule(broadcast_to),
    "DEPTH_TO_SPACE": move_rule(depth_to_space),
    "EXPAND_DIMS": lower_reshape,
    "GATHER": move_rule(gather),
    "GATHER_ND": move_rule(gather_nd),
    "MIRROR_PAD": move_rule(mirror_pad),
    "RESHAPE": lower_reshape,
    "RESIZE_NEAREST_NEIGHBOR": move_rule(resize_nearest),
    "REVERSE_V2": move_rule(reverse),
    "SLICE": move_rule(slice_from),
    "SPACE_TO_DEPTH": move_rule(space_to_depth),
    "SPLIT": lower_split,
    "SPLIT_V": lower_split,
    "SQUEEZE": lower_reshape,
    "STRIDED_SLICE": move_rule(strided_slice),
    "TILE": move_rule(tile),
    "TRANSPOSE": move_rule(transpose),
    "UNPACK": lower_unpack,
}
"""By TFLite operator."""
