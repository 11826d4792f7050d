"""What the repair loop tells: one row per thing it tried, and the outcome."""

from __future__ import annotations

from dataclasses import dataclass

from edgert.codec import JsonValue
from edgert_converters.quantize.draft import Draft
from edgert_converters.repair.cost import Cost
from edgert_converters.repair.sensitivity import Sensitivity

__all__ = ["Repair", "RepairStep"]


@dataclass(frozen=True, slots=True)
class RepairStep:
    """One thing tried. `sqnr_db` is that of the outputs on calibration data.

    `agree`, `cost` and `gate` (its sentence on the samples that decide) stand where the gate was asked.
    """

    step: str
    where: str
    why: str
    kept: bool
    sqnr_db: float | None = None
    agree: float | None = None
    cost: Cost | None = None
    gate: str = ""

    def to_json(self) -> dict[str, JsonValue]:
        """The row in report.json."""
        return {
            "step": self.step,
            "where": self.where,
            "why": self.why,
            "kept": self.kept,
            "sqnr_db": self.sqnr_db,
            "agree": self.agree,
            "cost": None if self.cost is None else self.cost.value,
            "cost_unit": None if self.cost is None else self.cost.unit,
            "cost_ratio": None if self.cost is None else self.cost.ratio,
            "gate": self.gate,
        }


@dataclass(frozen=True, slots=True)
class Repair:
    """The outcome: the best draft found, what was tried in order, and why it stopped.

    `ships` is False where the best draft is slower than float on the target; `passed`: the gate was content.
    """

    draft: Draft
    steps: tuple[RepairStep, ...]
    sensitivity: tuple[Sensitivity, ...]
    stopped: str
    passed: bool
    ships: bool

    def to_json(self) -> dict[str, JsonValue]:
        """The keys `repair` and `sensitivity` of report.json."""
        return {
            "repair": {"steps": [step.to_json() for step in self.steps], "stopped": self.stopped},
            "sensitivity": [
                {
                    "layer": row.source.layer or row.source.name,
                    "op": row.source.op,
                    "source": row.source.kind.value,
                    "group": None if row.group is None else f"channels {row.group[0]} to {row.group[1] - 1}",
                    "sqnr_db": row.sqnr_db,
                }
                for row in self.sensitivity
            ],
        }
