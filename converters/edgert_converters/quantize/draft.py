"""A quantization on its way through the chain, and what a step of the chain may look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from edgert.plugins import ProgressReporter
from edgert.recipe import Algorithm
from edgert_converters.quantize.calibrate import Samples, collect_statistics
from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.statistics import TensorStatistics

__all__ = ["Calibration", "Change", "Draft", "Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the recipe says about the chain; `time_limit_s` bounds each step that optimises until told to stop.

    `float_layers` are names or patterns of layers that stay float. `coarse_stays_float` is for measurements of what the
    rule of resolution.py gains.
    """

    ranges: RangeRule = field(default_factory=RangeRule)
    algorithms: frozenset[Algorithm] = frozenset()
    time_limit_s: float = 300.0
    seed: int = 0
    coarse_stays_float: bool = True
    float_layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibration data: `count` samples, given from the start by each call of `samples`.

    `is_made_up`: nobody gave them, so how far real values reach is not known from them.
    """

    samples: Samples
    count: int
    progress: ProgressReporter
    is_made_up: bool = False

    def collect(self, model: ir.Model, names: tuple[str, ...]) -> dict[str, TensorStatistics]:
        """Returns statistics of the named values of a float graph over all samples.

        Raises:
            DataError: there are no samples, or a tensor holds NaN or an infinity.
        """
        return collect_statistics(model, names, self.samples(), self.progress, self.count)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a step did: `where` is a node or value, `what` and `why` are words for the report."""

    step: str
    where: str
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What the chain has made so far.

    `model` is the float graph as the steps left it: it computes what the source computes, its inner values may be
    scaled or rotated. `statistics` are of its values once they are collected, `plan` is there once one is made.
    """

    model: ir.Model
    statistics: Mapping[str, TensorStatistics] = field(default_factory=dict)
    plan: Plan | None = None
    changes: tuple[Change, ...] = ()

    def changed(self, *changes: Change, model: ir.Model | None = None, plan: Plan | None = None) -> Draft:
        """Returns the draft with another graph or plan and what was done on the way."""
        return replace(self, model=model or self.model, plan=plan or self.plan, changes=(*self.changes, *changes))

    @property
    def final(self) -> Plan:
        """The plan; asked for only after it was made."""
        if self.plan is None:
            raise AssertionError("the chain has made no plan yet")
        return self.plan
