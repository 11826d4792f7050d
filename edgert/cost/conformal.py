"""Intervals that hold what they promise: as wide as the errors on models that were held out.

Source: normalized inductive conformal prediction (Papadopoulos et al. 2002; Lei et al. 2018): each error counts in
units of the deviation that the predictor stated for that very model, so that what is hard to predict gets more room.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgert.cost.prediction import Prediction

__all__ = ["around", "conformal_score", "conformal_scores", "held_out_parts"]

_WIDEST = 50.0
_PARTS = 5


def held_out_parts(groups: Sequence[str]) -> list[list[int]]:
    """Returns the places of the networks of each of five parts; what is of one group is in one part."""
    names = sorted(set(groups))
    order = np.random.default_rng(0).permutation(len(names))
    part_of = {names[place]: index % _PARTS for index, place in enumerate(order)}
    return [[place for place, group in enumerate(groups) if part_of[group] == part] for part in range(_PARTS)]


def conformal_scores(
    measured: Sequence[float], predicted: Sequence[float], deviation: Sequence[float]
) -> tuple[float, ...]:
    """Returns how far off the predictions were, ascending.

    Args:
        measured: what was measured of the models that were held out.
        predicted: what was said of them, all positive.
        deviation: the standard deviation of the logarithm that was stated.
    """
    errors = np.abs(np.log(np.asarray(measured) / np.asarray(predicted))) / np.asarray(deviation)
    return tuple(np.sort(errors).tolist())


def conformal_score(scores: Sequence[float], level: float) -> float:
    """Returns by how many stated deviations a new model is off at most, with probability `level`; may be infinite."""
    rank = math.ceil((len(scores) + 1) * level)
    return scores[rank - 1] if rank <= len(scores) else math.inf


def around(value: float, width: float, level: float) -> Prediction:
    """Returns a prediction from value / exp(width) to value * exp(width)."""
    high = value * math.exp(width) if width < _WIDEST else math.inf
    return Prediction(np.array([value]), np.array([value * math.exp(-min(width, _WIDEST))]), np.array([high]), level)
