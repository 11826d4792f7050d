"""What a search found, as JSON and for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgert.codec import JsonValue
from edgert.search.goals import Measured
from edgert.search.settings import KNEE, SearchSettings
from edgert.search.space import Dimensions
from edgert.search.standing import Point, Standing, choose

__all__ = ["SearchResult"]

SCHEMA = 1


@dataclass(frozen=True)
class SearchResult:
    """The end of a search.

    Attributes:
        settings: what was searched for.
        storage: the storage's name without a password.
        standing: all trials, the front, and what fell out of it.
        dimensions: of the space.
        importances: by objective and dimension, see `edgert.search.importance`.
    """

    settings: SearchSettings
    storage: str
    standing: Standing
    dimensions: Dimensions
    importances: Mapping[str, Mapping[str, float]]

    @property
    def chosen(self) -> Point | None:
        """The point that the rule takes; None where no point keeps the limits."""
        return choose(self.settings.goals, self.standing.front, self.settings.choose, KNEE)

    def plain(self) -> dict[str, JsonValue]:
        """Returns it as JSON: the same study gives the same bytes."""
        settings, standing, chosen = self.settings, self.standing, self.chosen
        entries = standing.finished
        return {
            "schema": SCHEMA,
            "recipe": settings.recipe.name,
            "study": settings.study,
            "storage": self.storage,
            "kind": settings.kind,
            "devices": list(settings.devices),
            "algorithm": settings.algorithm,
            "seed": settings.seed,
            "objectives": [item.value for item in settings.goals.objectives],
            "limits": [str(limit) for limit in settings.goals.limits],
            "evaluations": {
                "finished": len(entries),
                "failed": len(standing.failed),
                "beyond_limits": len(standing.beyond_limits),
                "known_before": sum(bool(entry.source) for entry in entries),
            },
            "front": [_point(point) for point in standing.front],
            "dropped": [
                {
                    "number": point.number,
                    "choice": dict(point.choice),
                    "first": _values(point.first),
                    "again": _values(point.again),
                    "reason": point.reason,
                }
                for point in standing.dropped
            ],
            "failures": [
                {"number": entry.number, "choice": dict(entry.choice), "reason": entry.evaluation.failure}
                for entry in standing.failed
                if entry.evaluation is not None
            ],
            "importances": {name: dict(shares) for name, shares in self.importances.items()},
            "choose": settings.choose,
            "chosen": None if chosen is None else _point(chosen),
        }


def _point(point: Point) -> dict[str, JsonValue]:
    return {
        "number": point.number,
        "choice": dict(point.choice),
        "predicted": None if point.predicted is None else dict(point.predicted),
        "first": _values(point.first),
        "again": None if point.again is None else _values(point.again),
        "facts": dict(point.facts),
    }


def _values(measured: Measured) -> dict[str, float]:
    return {quantity.value: value for quantity, value in measured.items()}
