"""How much of the space a front dominates, trial by trial."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.search.front import hypervolume
from edgert.search.goals import Goals
from edgert.search.study import Entry

__all__ = ["hypervolumes"]


def hypervolumes(goals: Goals, entries: Sequence[Entry]) -> list[float]:
    """Returns the hypervolume after each of the finished trials, by what each measured in the search.

    The reference point is the worst value of every objective among candidates that keep the limits, a tenth of the
    range further out, so that the ends of the front count; each objective is counted in units of its range.
    """
    trials = [entry.trial(goals) for entry in entries]
    kept = [trial.minimized for trial in trials if trial.is_feasible]
    if not kept:
        return []
    values = np.array(kept, np.float64)
    low, span = values.min(axis=0), np.ptp(values, axis=0)
    scale = np.where(span > 0, span, 1)
    grown: list[float] = []
    front = np.empty((0, values.shape[1]))
    for trial in trials:
        if trial.is_feasible:
            point = (np.array(trial.minimized, np.float64) - low) / scale
            if not (front <= point).all(axis=1).any():
                front = np.vstack([front[~(front >= point).all(axis=1)], point])
                grown.append(hypervolume(front, np.full(values.shape[1], 1.1)))
                continue
        grown.append(grown[-1] if grown else 0.0)
    return grown
