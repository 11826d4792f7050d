"""The steps of the chain that insert a dense transform and fold its inverse, each where its operators gain by it."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgert.recipe import Algorithm
from edgert_converters.quantize.draft import Calibration, Change, Draft, Settings
from edgert_converters.quantize.plan import integer_nodes
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.refusals import KEEP_FLOAT
from edgert_converters.quantize.transforms.change import Floats, change_model
from edgert_converters.quantize.transforms.error import maker_losses_db, output_sqnr_db
from edgert_converters.quantize.transforms.growth import find_region
from edgert_converters.quantize.transforms.hadamard import random_rotation
from edgert_converters.quantize.transforms.klt import klt_rotation
from edgert_converters.quantize.transforms.kronecker import learn_kronecker
from edgert_converters.quantize.transforms.kronecker_product import Kronecker, can_be_inserted
from edgert_converters.quantize.transforms.probe import Probe, probe
from edgert_converters.quantize.transforms.reader import Reader, find_readers, matrices
from edgert_converters.quantize.transforms.region import Region
from edgert_converters.quantize.weighted import read_weighted

__all__ = ["LEAST_GAIN_DB", "hadamard", "klt", "kronecker"]

LEAST_GAIN_DB = 3.0
"""Of the mean over the operators' outputs; times (1 + cost) where T has to be computed, at a cost in shares of the
operators' own multiply-accumulates."""
_GOOD_ENOUGH_DB = 40.0
"""Outputs with more are left as they are: the rest of the network loses more than a transform could win."""
_MOST_LOSS_DB = 0.5
_DRAWS = 3
"""Random signs tried at each place."""


class _Maker(Protocol):
    """Makes the transform of a region from what was seen of it."""

    def __call__(self, region: Region, seen: Probe, rng: np.random.Generator) -> Kronecker | None:
        """Returns None where there is none for the width."""
        ...


@dataclass(frozen=True, slots=True)
class _Choice:
    """The best transform of a region; `cost` is its share of the operators' multiply-accumulates, 0: all folded."""

    change: Kronecker
    gain_db: float
    before_db: float
    cost: float


def hadamard(draft: Draft, calibration: Calibration, settings: Settings) -> Draft:
    """Returns the draft with Hadamard rotations; see hadamard.py."""
    return _transform(draft, calibration, settings, Algorithm.HADAMARD, _hadamard)


def klt(draft: Draft, calibration: Calibration, settings: Settings) -> Draft:
    """Returns the draft with KLT-enhanced rotations; see klt.py."""
    return _transform(draft, calibration, settings, Algorithm.KLT, _klt)


def kronecker(draft: Draft, calibration: Calibration, settings: Settings) -> Draft:
    """Returns the draft with learned Kronecker transforms; see kronecker.py."""
    return _transform(draft, calibration, settings, Algorithm.KRONECKER, _kronecker)


def _hadamard(region: Region, seen: Probe, rng: np.random.Generator) -> Kronecker | None:
    return random_rotation(region.size, rng)


def _klt(region: Region, seen: Probe, rng: np.random.Generator) -> Kronecker | None:
    return klt_rotation(_moments(region, seen), rng)


def _kronecker(region: Region, seen: Probe, rng: np.random.Generator) -> Kronecker | None:
    gram = np.zeros((region.size, region.size))
    for place in region.columns:
        w = matrices(place.reader, read_weighted(place.reader.node).weight).astype(np.float64)[0]
        gram += np.einsum("mik,mjk->ij", w, w)
    return learn_kronecker(_moments(region, seen), gram, rng)


def _moments(region: Region, seen: Probe) -> Floats:
    found = [seen.statistics[place.reader.name].moments() for place in region.columns]
    mean: Floats = np.mean(found, axis=0)
    return mean


def _transform(draft: Draft, calibration: Calibration, settings: Settings, algorithm: Algorithm, make: _Maker) -> Draft:
    model = draft.model.clone()
    readers = {name: reader for name, reader in find_readers(model).items() if reader.group == 1}
    if not readers:
        return draft
    moments = algorithm is not Algorithm.HADAMARD
    seen = probe(draft.model, list(readers.values()), calibration, settings.seed, moments=moments)
    integer = integer_nodes(model)
    rng = np.random.default_rng(settings.seed)
    changes: list[Change] = []
    done: set[str] = set()
    for reader in readers.values():
        for region in _regions(reader, integer, done):
            choice = _choose(region, seen, settings.ranges, rng, make)
            if choice is not None and choice.gain_db >= LEAST_GAIN_DB * (1.0 + choice.cost):
                change_model(model, region, choice.change, algorithm.value)
                done |= {place.reader.name for place in region.seen} | {str(node.name) for node in region.makers}
                changes.append(_describe(algorithm, reader, region, choice))
                break
    if not changes:
        return draft
    RemoveUnusedNodesPass()(model)
    return draft.changed(*changes, model=model)


def _regions(reader: Reader, integer: Set[str], done: Set[str]) -> Iterator[Region]:
    """Where T is folded into what makes the values, then where it is inserted."""
    if reader.name in done or _is_inserted(reader.node) or _is_inserted(reader.value.producer()):
        return
    for insert in (False, True):
        region = find_region(reader, reader.axis, integer, linear=True, insert=insert)
        if isinstance(region, str) or any(place.reader.name in done for place in region.seen):
            continue
        if all(can_be_inserted(value, region.members[value]) for value in region.sources):
            yield region


def _is_inserted(node: ir.Node | None) -> bool:
    """True for the nodes that an earlier step put in; a Mul of smooth may be followed by a rotation."""
    return node is not None and KEEP_FLOAT in node.metadata_props and node.op_type != "Mul"


def _choose(region: Region, seen: Probe, rule: RangeRule, rng: np.random.Generator, make: _Maker) -> _Choice | None:
    before = np.asarray(output_sqnr_db(region, None, seen, rule))
    if before.min() >= _GOOD_ENOUGH_DB:
        return None
    best: _Choice | None = None
    for _ in range(_DRAWS):
        change = make(region, seen, rng)
        if change is None:
            return None
        gains = np.asarray(output_sqnr_db(region, change, seen, rule)) - before
        losses = (*(-gains), *maker_losses_db(region, change, seen))
        if max(losses) <= _MOST_LOSS_DB and (best is None or gains.mean() > best.gain_db):
            best = _Choice(change, float(gains.mean()), float(before.mean()), _cost(region, change))
    return best


def _cost(region: Region, change: Kronecker) -> float:
    """Multiply-accumulates of T per one of the operators that gain."""
    added = sum(change.macs * _positions(value, region.members[value].axis) for value in region.sources)
    own = 0.0
    for place in region.columns:
        output = place.reader.node.outputs[0]
        axis = 1 if place.reader.node.op_type == "Conv" else len(output.shape or (0,)) - 1
        own += read_weighted(place.reader.node).weight.size * _positions(output, axis)
    return added / max(own, 1.0)


def _positions(value: ir.Value, axis: int) -> float:
    sizes = [size for place, size in enumerate(value.shape or ()) if place != axis]
    return float(np.prod([size if isinstance(size, int) else 1 for size in sizes]))


def _describe(algorithm: Algorithm, reader: Reader, region: Region, choice: _Choice) -> Change:
    a, b = len(choice.change.left), len(choice.change.right)
    form = f"{b} x {b}" if a == 1 else f"{a} x {a} by {b} x {b}"
    into = ", ".join(repr(str(node.name)) for node in region.makers) or "nothing"
    inserted = "".join(
        f"; in float behind {value.name!r} at {choice.cost:.2f} of the MACs of what reads it"
        for value in region.sources
    )
    what = f"{region.size} channels transformed ({form}), folded into {into}{inserted}"
    count = len(region.seen)
    why = f"SQNR of {count} operators' outputs {choice.before_db:.1f} dB, gain {choice.gain_db:.1f} dB"
    return Change(algorithm.value, reader.name, what, why)
