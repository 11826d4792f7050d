"""SmoothQuant: scales channels so that activations lose their outliers and weights take them, as far as that pays.

Source: Xiao, Lin, Seznec, Wu, Demouth and Han, SmoothQuant: accurate and efficient post-training quantization for large
language models, 2023, arXiv:2211.10438, equation 4. We deviate in what a scale is folded into (any constant that makes
the channels, not only LayerNorm's, through every positively homogeneous operator and along any axis), in alpha (chosen
for every place by the SQNR of its operators' outputs), in a float Mul where the values are made in float and no
constant can take the scale, and in doing nothing where nothing is gained.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgert.recipe import RangeMethod
from edgert_converters.quantize.draft import Calibration, Change, Draft, Settings
from edgert_converters.quantize.plan import integer_nodes
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.transforms.axes import dimension
from edgert_converters.quantize.transforms.change import Diagonal, Floats, change_model
from edgert_converters.quantize.transforms.error import output_sqnr_db
from edgert_converters.quantize.transforms.growth import find_output_region, find_region
from edgert_converters.quantize.transforms.outputs import choose_output_scale
from edgert_converters.quantize.transforms.probe import Probe, probe
from edgert_converters.quantize.transforms.reader import Reader, find_readers, matrices
from edgert_converters.quantize.transforms.region import Region
from edgert_converters.quantize.weighted import read_weighted

__all__ = ["ALPHAS", "smooth"]

ALPHAS = (0.25, 0.5, 0.7, 0.85, 1.0)
"""Shares of the outliers that move from activations to weights, each tried at each place."""

_LEAST_GAIN_DB, _LEAST_GAIN_INSERTED_DB, _MOST_LOSS_DB = 0.5, 3.0, 0.5
"""Of the mean over a place's operators, without and with a float Mul; no operator may lose more than the last."""
_MOST_ROUNDS = 2
"""Where a MatMul's input can be scaled along more axes than one: the second looks at what the first left."""
_ENOUGH_OUTPUT_DB = 30.0
"""Outputs of which 8 bits keep more in every row are left as they are."""
_ENOUGH_DB = 45.0
"""Operators of which 8 bits keep more have nothing that is worth scaling."""
_ENOUGH_WEIGHTS_DB = 39.0
"""SQNR that weights alone must leave: outliers moved into them stay there when activations get 16 bits."""
_STANDS_OUT = 4.0
"""Places where no channel is larger than the median one by this are not looked at: they have little to gain."""
_NEGLIGIBLE = 1.0 / 256.0
"""Channels below this share of the largest are scaled as if they had it: other data may hold more of them."""
_TRIED_WITH = RangeRule(RangeMethod.MIN_MAX)
"""Alphas are compared with it, which takes no search; what the best of them gains is told by the recipe's rule."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """The best scaling of a region."""

    alpha: float
    change: Diagonal
    gain_db: float
    before_db: float


def smooth(draft: Draft, calibration: Calibration, settings: Settings) -> Draft:
    """Returns the draft with channels scaled wherever their operators' outputs gain by it.

    The graph computes what it did but for rounding; see docs/quantize.md for the limits.
    """
    for number in range(_MOST_ROUNDS):
        before = draft
        draft = _smooth_once(draft, calibration, settings, outputs=number == 0)
        if draft is before or not any(_axes(reader)[1:] for reader in find_readers(draft.model).values()):
            break
    return draft


def _smooth_once(draft: Draft, calibration: Calibration, settings: Settings, *, outputs: bool) -> Draft:
    """One round: each operator's input is scaled along one axis at most; `outputs`: what it makes is scaled too."""
    model = draft.model.clone()
    readers = find_readers(model)
    if not readers:
        return draft
    integer = integer_nodes(model)
    seen = _look(draft.model, list(readers.values()), integer, calibration, settings.seed, outputs=outputs)
    if seen is None:
        return draft
    changes: list[Change] = []
    done: set[str] = set()
    if outputs:
        # first: what an operator makes is worked out from rows of its input and weights that still belong to them
        changes, done = _smooth_outputs(model, list(readers.values()), integer, seen, settings.ranges)
    for reader in readers.values():
        for axis in _axes(reader):
            if reader.name in done or not _stands_out(reader, axis, seen):
                continue
            region, choice = _best(reader, axis, integer, seen, settings.ranges, done)
            if region is None or choice is None:
                continue
            change_model(model, region, choice.change, "smooth")
            done |= {place.reader.name for place in region.seen}
            changes.append(_describe(reader, region, choice))
    if not changes:
        return draft
    RemoveUnusedNodesPass()(model)
    return draft.changed(*changes, model=model)


def _look(
    model: ir.Model,
    readers: list[Reader],
    integer: frozenset[str],
    calibration: Calibration,
    seed: int,
    *,
    outputs: bool,
) -> Probe | None:
    """Returns what the choice needs; None where no channel stands out and no output could be scaled."""
    look = partial(probe, model, readers, calibration, seed, moments=False)
    if outputs and any(isinstance(find_output_region(reader.node, integer), Region) for reader in readers):
        return look()
    glance = look(draws=False)
    return look() if any(_stands_out(reader, axis, glance) for reader in readers for axis in _axes(reader)) else None


def _smooth_outputs(
    model: ir.Model, readers: list[Reader], integer: frozenset[str], seen: Probe, rule: RangeRule
) -> tuple[list[Change], set[str]]:
    """Scales what float operators read of weighted ones, where 8 bits keep too little of it; see outputs.py.

    Returns what was done, and the names of operators whose input is scaled since.
    """
    changes: list[Change] = []
    done: set[str] = set()
    scaled: set[str] = set()
    for reader in readers:
        region = find_output_region(reader.node, integer)
        if isinstance(region, str) or done & _names(region):
            continue
        choice = choose_output_scale(region, seen, rule)
        if choice is None or choice.gain_db < _LEAST_GAIN_INSERTED_DB or choice.before_db > _ENOUGH_OUTPUT_DB:
            continue
        change_model(model, region, choice.change, "smooth_output")
        done |= _names(region)
        scaled |= {place.reader.name for place in region.seen}
        back = ", ".join(repr(value.name) for value in region.sinks)
        what = (
            f"{region.size} output channels scaled up to {choice.change.factor.max():.3g}x, back in float behind {back}"
        )
        why = f"8 bits keep {choice.before_db:.1f} dB of a row, gain {choice.gain_db:.1f} dB"
        changes.append(Change("smooth", reader.name, what, why))
    return changes, scaled


def _names(region: Region) -> set[str]:
    return {place.reader.name for place in region.seen} | {str(node.name) for node in region.makers}


def _axes(reader: Reader) -> tuple[int, ...]:
    """The axis that the operator sums over, then those whose positions a MatMul treats alike."""
    if reader.node.op_type != "MatMul":
        return (reader.axis,)
    others = [axis for axis in range(1, reader.axis) if (dimension(reader.value, axis) or 1) > 1]
    return (reader.axis, *others)


def _stands_out(reader: Reader, axis: int, seen: Probe) -> bool:
    largest = seen.statistics[reader.name].largest(axis)
    alive = largest[largest > 0]
    return bool(alive.size) and float(alive.max()) >= _STANDS_OUT * float(np.median(alive))


def _best(
    reader: Reader, axis: int, integer: frozenset[str], seen: Probe, rule: RangeRule, done: Set[str]
) -> tuple[Region | None, _Choice | None]:
    """A place where constants take the scaling up, else one with a Mul behind float values; None: no gain."""
    for insert in (False, True):
        region = find_region(reader, axis, integer, linear=False, insert=insert)
        if isinstance(region, str) or any(place.reader.name in done for place in region.seen):
            continue
        choice = _choose(region, seen, rule)
        if choice.gain_db >= (_LEAST_GAIN_INSERTED_DB if region.sources else _LEAST_GAIN_DB):
            return region, choice
    return None, None


def _choose(region: Region, seen: Probe, rule: RangeRule) -> _Choice:
    """The best alpha, with what it gains; a gain of 0 where none is good for every operator."""
    before = np.asarray(output_sqnr_db(region, None, seen, rule))
    none = _Choice(0.0, Diagonal(np.ones(region.size)), 0.0, float(before.mean()))
    if before.min() >= _ENOUGH_DB:
        return none
    limit = np.minimum(_ENOUGH_WEIGHTS_DB, output_sqnr_db(region, None, seen, None)) - _MOST_LOSS_DB
    activations, weights = _magnitudes(region, seen)
    tried = [(alpha, Diagonal(1.0 / _scale(activations, weights, alpha))) for alpha in ALPHAS]
    for alpha, change in sorted(tried, key=lambda way: -_mean_db(region, way[1], seen)):
        if (np.asarray(output_sqnr_db(region, change, seen, None)) < limit).any():
            continue
        gains = np.asarray(output_sqnr_db(region, change, seen, rule)) - before
        return none if gains.min() < -_MOST_LOSS_DB else _Choice(alpha, change, float(gains.mean()), none.before_db)
    return none


def _mean_db(region: Region, change: Diagonal, seen: Probe) -> float:
    return float(np.mean(output_sqnr_db(region, change, seen, _TRIED_WITH)))


def _magnitudes(region: Region, seen: Probe) -> tuple[Floats, Floats]:
    """The largest activation and the largest weight of every channel, over all operators that see it."""
    activations, weights = np.zeros(region.size), np.zeros(region.size)
    for place in region.seen:
        channels, used = place.member.channels, place.member.channels >= 0
        largest = seen.statistics[place.reader.name].largest(place.member.axis)
        np.maximum.at(activations, channels[used], largest[used])
        if not place.along_rows:
            w = matrices(place.reader, read_weighted(place.reader.node).weight)
            np.maximum.at(weights, channels[used], np.abs(w).max(axis=(1, 3)).reshape(-1)[used])
    return np.where(activations > 0, np.maximum(activations, activations.max() * _NEGLIGIBLE), 0.0), weights


def _scale(activations: Floats, weights: Floats, alpha: float) -> Floats:
    """s_j = max|X_j|^alpha / max|W_j|^(1 - alpha), 1 for a dead channel, geometric mean 1."""
    alive = (activations > 0) & (weights > 0)
    logarithm = np.zeros(activations.size)
    logarithm[alive] = alpha * np.log(activations[alive]) - (1.0 - alpha) * np.log(weights[alive])
    if alive.any():
        logarithm[alive] -= logarithm[alive].mean()
    return np.exp(logarithm)


def _describe(reader: Reader, region: Region, choice: _Choice) -> Change:
    low, high = choice.change.factor.min(), choice.change.factor.max()
    folded = [str(edit.node.name) for edit in region.edits if not edit.inverse]
    into = ", ".join(repr(name) for name in dict.fromkeys(folded)) or "nothing"
    inserted = "".join(f"; Mul in float behind {value.name!r}" for value in region.sources)
    what = (
        f"{region.size} channels times {low:.3g} to {high:.3g} (alpha {choice.alpha:g}), folded into {into}{inserted}"
    )
    count = len(region.seen)
    why = f"SQNR of {count} operators' outputs {choice.before_db:.1f} dB, gain {choice.gain_db:.1f} dB"
    return Change("smooth", reader.name, what, why)
