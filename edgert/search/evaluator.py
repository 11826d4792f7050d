"""What finds out what a candidate is worth: a device, a table of measurements, a predictor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edgert.codec import JsonValue
from edgert.search.goals import Measured
from edgert.search.space import Choice

__all__ = ["Evaluation", "Evaluator"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found of one candidate.

    Attributes:
        measured: a value for each quantity of the goals; {} where the candidate does not work.
        failure: why it does not work: it does not convert, does not fit, is refused by the engine; "" where it does.
        facts: JSON of where the figures come from (record, bundle, hashes), for the report.
    """

    measured: Measured
    failure: str = ""
    facts: dict[str, JsonValue] = field(default_factory=dict)


class Evaluator(Protocol):
    """Evaluates choices of one space on one device."""

    @property
    def identity(self) -> str:
        """SHA-256 (hex) of all that an evaluation depends on beside the choice: model, data, device, method.

        An exact measured point of the same identity and choice is taken from the cache, and wins over predictions.
        """
        ...

    def evaluate(self, choice: Choice, *, seed: int) -> Evaluation:
        """Evaluates one choice.

        Raises:
            EdgertError: for what would stop every other evaluation, too: a device that is away, a full disk.
        """
        ...
