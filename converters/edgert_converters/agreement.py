"""How far a variant gives the float model's own answers; what decides where there are no labels."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgert.bundle import Gate
from edgert.runtime.nms import box_iou
from edgert.runtime.postprocess import Classification, Detections, Result, as_classification
from edgert_converters.gate import GateDecision
from edgert_converters.intervals import Z_ONE_SIDED_95, exact_zero_upper, wilson
from edgert_converters.sqnr import OutputError

__all__ = [
    "AgreementKind",
    "AgreementMeter",
    "AgreementValue",
    "decide_by_agreement",
    "decide_by_sqnr",
    "match_detections",
]

AGREEMENT_SCORE = 0.3
_MATCH_IOU = 0.5
_SCORE_SHARE = 0.75


class AgreementKind(enum.Enum):
    """What is compared."""

    TOP1 = "same top-1"
    DETECTIONS = "same detections"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class AgreementValue:
    """Share of same answers 0..1 with its 95 % Wilson interval; `n` samples took part (for boxes: samples with any)."""

    kind: AgreementKind
    value: float
    ci95: tuple[float, float]
    n: int
    items: int


class AgreementMeter:
    """Counts same answers sample by sample.

    Boxes with a score of at least `score` count, on either side. A box agrees when the other side has one of the same
    class with IoU of at least 0.5 and at least three quarters of its score, matched one to one; the share is over the
    counted boxes of both sides. The partner's score is compared with the box's own and not with `score`: a box at
    0.301 whose partner stands at 0.299 is the same answer.
    """

    def __init__(self, score: float = AGREEMENT_SCORE, *, has_classes: bool = True) -> None:
        self._score = score
        self._has_classes = has_classes
        self._kind = AgreementKind.NONE
        self._same = 0
        self._items = 0
        self._samples = 0

    def add(self, reference: Result, variant: Result) -> float | None:
        """Takes one sample; returns its share of same answers, None where results have no comparable form."""
        if isinstance(reference, Detections) and isinstance(variant, Detections):
            self._kind = AgreementKind.DETECTIONS
            pairs = [(reference.above(self._score), variant), (variant.above(self._score), reference)]
            same = sum(match_detections(counted, others) for counted, others in pairs)
            items = sum(len(counted.scores) for counted, _ in pairs)
        else:
            one = as_classification(reference) if self._has_classes else None
            two = as_classification(variant) if self._has_classes else None
            if one is None or two is None:
                return None
            self._kind = AgreementKind.TOP1
            same, items = int(_is_same_class(one, two)), 1
        self._same += same
        self._items += items
        self._samples += items > 0
        return same / items if items else 1.0

    def value(self) -> AgreementValue | None:
        """The share so far; None where nothing could be compared."""
        if self._kind is AgreementKind.NONE:
            return None
        share = self._same / self._items if self._items else 1.0
        interval = wilson(share * self._samples, self._samples)
        return AgreementValue(self._kind, share, interval, self._samples, self._items)


def match_detections(counted: Detections, others: Detections) -> int:
    """Returns how many of `counted` find a partner: same class, IoU >= 0.5, score >= 3/4 of theirs.

    Partners are taken one to one, greedily from the highest IoU.
    """
    if not len(counted.scores) or not len(others.scores):
        return 0
    overlap = box_iou(counted.boxes, others.boxes)
    same_class = counted.class_ids[:, None] == others.class_ids[None, :]
    as_sure = others.scores[None, :] >= _SCORE_SHARE * counted.scores[:, None]
    overlap = np.where(same_class & as_sure, overlap, 0)
    matches = 0
    while overlap.max() >= _MATCH_IOU:
        row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
        overlap[row, :] = 0
        overlap[:, column] = 0
        matches += 1
    return matches


def decide_by_agreement(agreement: AgreementValue, max_drop_points: float) -> GateDecision:
    """Decides without labels: where answers are the same nothing is lost, so the drop is at most the disagreement.

    passed: the one-sided 95 % upper bound of the disagreement is at most the allowed drop. failed: at least half of the
    answers differ, even by the lower bound. Else undecided: differing answers may be as good, only labels tell.
    """
    n = agreement.n
    drop = 100 * (1 - agreement.value)
    low, high = (100 * (1 - bound) for bound in reversed(agreement.ci95))
    if n == 0:
        sentence = "no labels and no answers to compare; give labelled data to --eval"
        return GateDecision(Gate.UNDECIDED, 0.0, (0.0, 100.0), 0.0, 100.0, 0, None, sentence)
    lower, upper = (100 * bound for bound in wilson(n * (1 - agreement.value), n, Z_ONE_SIDED_95))
    upper = max(upper, 100 * exact_zero_upper(n)) if drop == 0 else upper
    facts = f"no labels, n={n}: {agreement.kind.value} in {100 * agreement.value:.1f} %"
    if upper <= max_drop_points:
        gate, needed, sentence = Gate.PASSED, None, f"{facts}; the drop is at most {upper:.2g} points"
    elif lower >= 50:
        gate, needed, sentence = Gate.FAILED, None, f"{facts}; it answers like another model"
    else:
        gate, needed = Gate.UNDECIDED, _needed(drop, max_drop_points)
        advice = f"about {needed} samples would, or labels" if needed else "labels would"
        sentence = f"{facts}; cannot exclude a drop of {upper:.1f} points; {advice}"
    return GateDecision(gate, drop, (low, max(high, upper)), lower, upper, n, needed, sentence)


def decide_by_sqnr(outputs: Sequence[OutputError], n: int, max_drop_points: float) -> GateDecision:
    """Decides where there are neither labels nor answers: by the error relative to the signal, in percent as points.

    passed: no sample of any output, and no channel group, has a larger relative error than allowed. failed: somewhere
    the error is larger than the signal. The figures are maxima over the samples seen: no interval can be given.
    """
    worst = min(min(output.sqnr_db_worst, output.worst_group.sqnr_db) for output in outputs)
    drop = min(100.0, 100 * 10 ** (-worst / 20))
    if drop <= max_drop_points:
        gate = Gate.PASSED
    elif min(min(output.sqnr_db_mean, output.worst_group.sqnr_db) for output in outputs) < 0:
        gate = Gate.FAILED
    else:
        gate = Gate.UNDECIDED
    verdict = {Gate.PASSED: "within", Gate.FAILED: "more than the signal, not", Gate.UNDECIDED: "not within"}[gate]
    sentence = (
        f"no labels, n={n}: the worst output error is {drop:.2g} % of the signal ({worst:.1f} dB), "
        f"{verdict} {max_drop_points:g} %"
    )
    if gate is Gate.UNDECIDED:
        sentence += "; whether that costs accuracy only labels tell"
    return GateDecision(gate, drop, (0.0, drop), 0.0, drop, n, None, sentence)


def _needed(drop: float, max_drop_points: float) -> int | None:
    """How many samples would bring the bound under the allowed drop if the same share went on differing."""
    if drop >= max_drop_points:
        return None
    n = 1
    while n < 10_000_000:
        upper = 100 * wilson(n * drop / 100, n, Z_ONE_SIDED_95)[1]
        if max(upper, 100 * exact_zero_upper(n) if drop == 0 else 0.0) <= max_drop_points:
            return n
        n = math.ceil(n * 1.05)
    return None


def _is_same_class(first: Classification, second: Classification) -> bool:
    return bool(np.isfinite(second.scores).all()) and int(first.top[0]) == int(second.top[0])
