"""Ranges and powers of single channels, which the choice of a scale per channel needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert_converters.quantize.calibrate import load_stream
from edgert_converters.quantize.draft import Calibration

__all__ = ["ChannelRanges", "measure_channels"]

Floats = NDArray[np.float64]

_KEPT_SAMPLES, _KEPT_VALUES = 64, 32
"""So that a channel of any size keeps at most 8 kB."""


@dataclass(frozen=True, slots=True)
class ChannelRanges:
    """Smallest and largest number and mean square of each channel (axis 1) over all samples, float64[C].

    `values` float32[C, K] are some of the numbers themselves, from the first samples.
    """

    low: Floats
    high: Floats
    square: Floats
    values: NDArray[np.float32]


def measure_channels(model: ir.Model, names: Sequence[str], calibration: Calibration) -> dict[str, ChannelRanges]:
    """Returns the ranges of the named values; empty where there are no samples or no names.

    Args:
        model: not changed.
        names: outputs of nodes, of rank 2 or more.
        calibration: gives the samples.
    """
    found: dict[str, ChannelRanges] = {}
    counts: dict[str, int] = {}
    kept: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    stream = None
    for sample in calibration.samples() if names else ():
        stream = stream or load_stream(model, names, sample)
        for name, values in stream(sample):
            here = _ranges(np.asarray(values, np.float32), counts.get(name, 0))
            if len(kept[name]) < _KEPT_SAMPLES:
                kept[name].append(here.values)
            found[name] = here if name not in found else _merged(found[name], here)
            counts[name] = counts.get(name, 0) + 1
    return {  # taking each list out keeps one value's parts beside their copy, not all of them
        name: ChannelRanges(r.low, r.high, r.square / counts[name], np.concatenate(kept.pop(name), axis=1))
        for name, r in found.items()
    }


def _ranges(x: NDArray[np.float32], turn: int) -> ChannelRanges:
    rows = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
    step = max(1, rows.shape[1] // _KEPT_VALUES)
    low, high = rows.min(axis=1).astype(np.float64), rows.max(axis=1).astype(np.float64)
    square = np.square(rows, dtype=np.float64).mean(axis=1)
    return ChannelRanges(low, high, square, rows[:, turn % step :: step][:, :_KEPT_VALUES].copy())


def _merged(a: ChannelRanges, b: ChannelRanges) -> ChannelRanges:
    return ChannelRanges(np.minimum(a.low, b.low), np.maximum(a.high, b.high), a.square + b.square, a.values)
