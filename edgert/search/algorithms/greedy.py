"""Greedy search in the manner of NetAdapt: one objective, brought within its limits by the cheapest change each time.

It starts from the first value of every dimension, which a space puts there as the model as it is. Every step tries each
other value of each dimension by itself. While a limit is broken, the step goes where the least of the objective is lost
for what the excess falls; then where the objective gains most, limits kept. When nothing gains, random choices follow.

Source: Yang, Howard, Chen, Zhang, Go, Sandler, Sze, Adam, NetAdapt: platform-aware neural network adaptation for mobile
applications, ECCV 2018. Deviation: measured objectives throughout, no fine-tuning, and steps back are allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgert.errors import RecipeError
from edgert.search.algorithm import Trial, random_of
from edgert.search.algorithms.pool import all_choices, draw_new, taken_keys
from edgert.search.goals import Goals
from edgert.search.space import Choice, Space, choice_key

__all__ = ["Greedy"]


class Greedy:
    """See edgert.search.algorithm.Algorithm.

    Raises:
        RecipeError: more than one objective.
    """

    def __init__(self, space: Space, goals: Goals, *, seed: int, evaluations: int) -> None:
        if len(goals.objectives) > 1:
            names = ", ".join(item.value for item in goals.objectives)
            raise RecipeError(
                f"algorithm: greedy takes one objective, this search has {names}; make limits of the others"
            )
        self.predicted: Mapping[str, float] | None = None  # it knows nothing before it is measured
        self._space, self._seed, self._listed = space, seed, all_choices(space)
        self._known_neighbours: dict[str, dict[str, Choice]] = {}

    def ask(self, number: int, finished: Sequence[Trial], running: Sequence[Choice]) -> Choice | None:
        """See Algorithm."""
        done = {choice_key(trial.choice): trial for trial in finished}
        taken = done.keys() | taken_keys((), running)
        found = self._next(done, taken)
        return draw_new(self._space, self._listed, taken, random_of(self._seed, number)) if found is None else found

    def _next(self, done: Mapping[str, Trial], taken: set[str]) -> Choice | None:
        """Walks from the start as far as trials lead; returns the first choice on the way that is not taken."""
        at = self._start()
        seen: set[str] = set()
        while True:
            key = choice_key(at)
            seen.add(key)
            if key not in taken:
                return at
            around = self._neighbours(key, at)
            missing = next((choice for name, choice in around.items() if name not in taken), None)
            if missing is not None or any(name not in done for name in (key, *around)):
                return missing  # of a step that others still measure, the end is not known
            best = _step(done[key], [done[name] for name in around if name not in seen])
            if best is None:
                return None
            at = best.choice

    def _start(self) -> Choice:
        first = {name: values[0] for name, values in self._space.dimensions.items()}
        return first if self._space.allows(first) else self._space.sample(random_of(self._seed, 0))

    def _neighbours(self, key: str, at: Choice) -> dict[str, Choice]:
        """Every choice that differs in one dimension, by its key, in the order of dimensions and values.

        Kept, for every walk passes all choices that were passed before.
        """
        if key not in self._known_neighbours:
            changes = [
                {**at, name: value}
                for name, values in self._space.dimensions.items()
                for value in values
                if value != at[name]
            ]
            allowed = [choice for choice in changes if self._space.allows(choice)]
            self._known_neighbours[key] = {choice_key(choice): choice for choice in allowed}
        return self._known_neighbours[key]


def _step(at: Trial, steps: Sequence[Trial]) -> Trial | None:
    """Returns the best step, or None where none is better than staying."""
    worked = [trial for trial in steps if trial.minimized is not None and np.isfinite(trial.minimized).all()]
    if at.minimized is None:  # anything that works is better
        return min(worked, key=_excess, default=None)
    value, excess = at.minimized[0], _excess(at)
    if excess > 0:
        nearer = [trial for trial in worked if _excess(trial) < excess]
        return min(nearer, key=lambda trial: _price(trial, value, excess), default=None)
    gains = [trial for trial in worked if trial.is_feasible and _value(trial) < value]
    return min(gains, key=_value, default=None)


def _price(trial: Trial, value: float, excess: float) -> float:
    """What is lost of the objective for what the excess falls; where nothing is lost, what is gained counts whole."""
    lost, fallen = _value(trial) - value, excess - _excess(trial)
    return lost / fallen if lost > 0 and np.isfinite(fallen) else lost


def _value(trial: Trial) -> float:
    return np.inf if trial.minimized is None else trial.minimized[0]


def _excess(trial: Trial) -> float:
    """The sum of what limits are broken by."""
    return np.inf if trial.excesses is None else sum(max(item, 0.0) for item in trial.excesses)
