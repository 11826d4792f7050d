"""What a weighted operator makes and float operators read: scaled for its quantization, scaled back in float.

A transformer's residual stream has channels that stand out by two orders of size, and the LayerNormalization that reads
it is float. With the channels scaled in the weights that make them, 8 bits hold them all, and a float Mul in front of
the LayerNormalization takes the scale back: an activation quantized per channel where nothing sums over channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.transforms.change import Diagonal, Floats
from edgert_converters.quantize.transforms.error import fake_quantize, float_outputs, output_sqnr_db
from edgert_converters.quantize.transforms.probe import Probe
from edgert_converters.quantize.transforms.reader import find_reader
from edgert_converters.quantize.transforms.region import Region

__all__ = ["OutputChoice", "choose_output_scale"]

_EXPONENTS = (0.5, 0.75, 1.0)
_NEGLIGIBLE = 1e-3
"""Channels below this share of the largest are scaled as if they had it."""
_MOST_LOSS_DB = 0.5


@dataclass(frozen=True, slots=True)
class OutputChoice:
    """The best scaling of a region's outputs, and what it gains."""

    change: Diagonal
    gain_db: float
    before_db: float


def choose_output_scale(region: Region, seen: Probe, rule: RangeRule) -> OutputChoice | None:
    """Returns the scaling 1 / max|Y_j|^a, of a few a, that lets the makers' outputs keep most.

    Args:
        region: from `find_output_region`.
        seen: rows that its makers read.
        rule: how ranges are chosen.

    Returns:
        None where operators that read the region would lose by every one.
    """
    readers = [reader for node in region.makers if (reader := find_reader(node)) is not None]
    outputs = [float_outputs(reader, seen.rows[reader.name]) for reader in readers if reader.name in seen.rows]
    outputs = [y for y in outputs if y.shape[1] == region.size]
    if not outputs:
        return None
    largest = np.max([np.abs(y).max(axis=0) for y in outputs], axis=0)
    largest = np.maximum(largest, largest.max() * _NEGLIGIBLE)
    if not largest.max() > 0:
        return None
    before = float(np.mean([_kept_db(y, np.ones(region.size), rule) for y in outputs]))
    read_before = np.asarray(output_sqnr_db(region, None, seen, rule))
    best: OutputChoice | None = None
    for exponent in _EXPONENTS:
        change = Diagonal((largest / largest.max()) ** -exponent)
        gain = float(np.mean([_kept_db(y, change.factor, rule) for y in outputs])) - before
        losses = read_before - np.asarray(output_sqnr_db(region, change, seen, rule))
        if losses.max(initial=0.0) <= _MOST_LOSS_DB and (best is None or gain > best.gain_db):
            best = OutputChoice(change, gain, before)
    return best


def _kept_db(y: Floats, factor: Floats, rule: RangeRule) -> float:
    """Mean over rows of noise to signal, in dB: a normalisation that follows gives every row the same weight."""
    noise = np.square(fake_quantize(y * factor, rule) / factor - y).sum(axis=1)
    signal = np.square(y).sum(axis=1)
    alive = signal > 0
    return -10.0 * float(np.log10(max(float((noise[alive] / signal[alive]).mean()), 1e-20))) if alive.any() else 0.0
