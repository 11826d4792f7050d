"""The largest magnitudes that calibration shows, per tensor or per index along the axis that blocks lie on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert.errors import DataError
from edgert_converters.engine import load_runner
from edgert_converters.fixed_point.formats import Format, build_format
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import expose_values

__all__ = ["Magnitudes", "block_format", "channel_axis", "collect_magnitudes"]

_SPATIAL: Final = frozenset({"AveragePool", "Conv", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"})

_KEEPS_CHANNELS: Final = frozenset(
    {"Add", "Clip", "Concat", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mul", "Pad", "Relu", "Sigmoid", "Sub"}
)


@dataclass(frozen=True, slots=True, eq=False)
class Magnitudes:
    """Of one tensor: its shape in the first sample and max |x|, with size 1 along every axis without blocks."""

    shape: tuple[int, ...]
    largest: NDArray[np.float64]


def channel_axis(value: ir.Value, rank: int) -> int:
    """Returns the axis that a tensor's blocks lie on: 1 beside spatial operators, else the last.

    Where exponents change along the axis that a product sums over, a chain of int32 sums ends.
    """
    node = value.producer()
    spatial = node is not None and node.op_type in _SPATIAL
    if rank < 3 or not (spatial or _feeds_spatial(value)):
        return rank - 1
    return 1


def _feeds_spatial(value: ir.Value) -> bool:
    """True if a spatial operator reads the value, perhaps behind operators that leave channels where they are."""
    seen: set[ir.Value] = set()
    waiting = [value]
    while waiting:
        current = waiting.pop()
        for node in current.consumers():
            if node.op_type in _SPATIAL:
                return True
            if node.op_type in _KEEPS_CHANNELS and node.outputs[0] not in seen:
                seen.add(node.outputs[0])
                waiting.append(node.outputs[0])
    return False


def collect_magnitudes(
    model: ir.Model, samples: Iterable[Mapping[str, Array]], *, per_channel: bool
) -> dict[str, Magnitudes]:
    """Returns the magnitudes of every float value of a graph over all samples; one sample is in memory at a time.

    Args:
        model: the float graph; not changed.
        samples: inputs by name, each with a leading batch axis.
        per_channel: keep the channel axis; otherwise one magnitude per tensor.

    Raises:
        DataError: there are no samples, or a tensor holds NaN or an infinity.
    """
    names = [v.name for node in model.graph for v in node.outputs if v.name]
    values = {v.name or "": v for v in (*model.graph.inputs, *(v for node in model.graph for v in node.outputs))}
    inputs = [v.name or "" for v in model.graph.inputs if v.name not in model.graph.initializers]
    run = load_runner(expose_values(model, names))
    found: dict[str, Magnitudes] = {}
    for sample in samples:
        arrays = {**run(sample), **{name: sample[name] for name in inputs}}
        for name, array in arrays.items():
            if np.issubdtype(array.dtype, np.floating):
                axes = _kept_axes(values[name], array.ndim) if per_channel else ()
                found[name] = _merge(found.get(name), np.asarray(array), axes, name)
    if not found:
        raise DataError("the calibration set is empty; give at least one sample (100 or more are usual)")
    return found


def _kept_axes(value: ir.Value, rank: int) -> tuple[int, ...]:
    return (channel_axis(value, rank),) if rank > 1 else ()


def _merge(old: Magnitudes | None, x: Array, axes: Sequence[int], name: str) -> Magnitudes:
    over = tuple(a for a in range(x.ndim) if a not in axes)
    largest = np.asarray(np.abs(x.astype(np.float64)).max(axis=over, keepdims=True, initial=0.0))
    if not np.isfinite(largest).all():
        raise DataError(f"calibration gives NaN or infinity in tensor {name!r}; check the data and its pre-processing")
    if old is None:
        return Magnitudes(x.shape, largest)
    return Magnitudes(old.shape, np.maximum(old.largest, largest))


def block_format(largest: NDArray[np.float64], block: int | tuple[int, ...], bits: int, headroom: int = 0) -> Format:
    """Returns the format for the magnitudes `largest`, which have size 1 along every axis without blocks.

    `block` neighbours share an exponent, along every axis alike or as given per axis.
    """
    wanted = block if isinstance(block, tuple) else (block,) * largest.ndim
    blocks = tuple(length if size > 1 else 0 for size, length in zip(largest.shape, wanted, strict=True))
    for axis, length in enumerate(blocks):
        if length:
            largest = np.maximum.reduceat(largest, range(0, largest.shape[axis], length), axis=axis)
    return build_format(largest, blocks, bits, headroom)
