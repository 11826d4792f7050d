"""Which layers to give back to float: runs of neighbours, by the noise that leaves per unit of cost.

A lone float layer between integer ones still reads and writes rounded activations: only its weights' noise leaves. In a
run of neighbours the activations between them stay float too, so runs are compared and not single layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import onnx_ir as ir

from edgert_converters.quantize.draft import Draft
from edgert_converters.quantize.plan import Plan, restrict_plan
from edgert_converters.repair.cost import work_of
from edgert_converters.repair.sensitivity import Sensitivity
from edgert_converters.repair.sources import list_sources

__all__ = ["Window", "WindowSearch", "keep_float"]

_LENGTHS = (1, 2, 3, 4, 6, 8, 12)
"""In operators with their clamps; a residual block has about four."""
_LEAST_SHARE = 0.03
"""A run must take away this share of the noise: smaller ones are dozens of steps that nobody sees."""
_CROSSING_WORK = 8.0
"""MACs x bytes that one element costs between float and integer: read four bytes, multiply, round, write one."""
_INTEGER_SHARE = 0.25
"""One byte for four."""

REASON = "its rounding costs the outputs more than float costs the target"


@dataclass(frozen=True, slots=True)
class Window:
    """Operators that go to float together: `noise` leaves the outputs, `work` is added (MACs x bytes)."""

    nodes: tuple[str, ...]
    noise: float
    work: float


def keep_float(draft: Draft, kept: Set[str]) -> Draft:
    """Returns the draft with some of its integer nodes put back to float; everything else keeps its integers."""
    plan = restrict_plan(draft.model, draft.final, dict.fromkeys(kept, REASON), draft.statistics)
    return draft.changed(plan=plan)


class WindowSearch:
    """Looks for runs of integer operators in one draft."""

    def __init__(self, draft: Draft, sensitivity: Sequence[Sensitivity], elements: Mapping[str, int]) -> None:
        """Prepares the search.

        Args:
            draft: with a plan for everything that can be integer.
            sensitivity: of that plan.
            elements: number of elements of every value, for batch 1.
        """
        self._draft = draft
        self._noise = {(row.source.kind, row.source.name): row.noise for row in sensitivity if row.group is None}
        self._work = work_of(draft.model)
        self._elements = elements
        self._units = tuple(_units(draft.model, draft.final))

    def best(self, kept: Set[str], refused: Set[tuple[str, ...]]) -> Window | None:
        """Returns the run whose noise per added work is largest; None where no run takes enough noise away.

        Args:
            kept: nodes that are float already.
            refused: runs that were tried and did not help.
        """
        before = self._weigh(kept)
        found: Window | None = None
        for nodes in self._runs(kept):
            if nodes in refused:
                continue
            after = self._weigh(kept | set(nodes))
            window = Window(nodes, before[0] - after[0], max(after[1] - before[1], 1.0))
            enough = window.noise >= _LEAST_SHARE * before[0] and window.noise > 0
            if enough and (found is None or window.noise / window.work > found.noise / found.work):
                found = window
        return found

    def _runs(self, kept: Set[str]) -> Iterator[tuple[str, ...]]:
        open_units = [unit for unit in self._units if not kept >= set(unit)]
        for length in _LENGTHS:
            for start in range(len(open_units) - length + 1):
                yield tuple(name for unit in open_units[start : start + length] for name in unit)

    def _weigh(self, kept: Set[str]) -> tuple[float, float]:
        """Noise at the outputs and MACs x bytes with these nodes in float."""
        plan = keep_float(self._draft, kept).final
        noise = sum(self._noise.get((s.kind, s.name), 0.0) for s in list_sources(self._draft.model, plan))
        work = sum(
            value * (_INTEGER_SHARE if name in plan.integer_nodes else 1.0) for name, value in self._work.items()
        )
        crossings = sum(self._elements.get(name, 0) for name in _crossings(self._draft.model, plan))
        return noise, work + _CROSSING_WORK * crossings


def _units(model: ir.Model, plan: Plan) -> Iterator[tuple[str, ...]]:
    """Integer operators in graph order, each with the clamps that are fused into it."""
    clamps: dict[str, list[str]] = {}
    for clamp, producer in plan.fused_clamps.items():
        clamps.setdefault(producer, []).append(clamp)
    for node in model.graph:
        name = str(node.name)
        if name in plan.integer_nodes and name not in plan.fused_clamps:
            yield (name, *clamps.get(name, ()))


def _crossings(model: ir.Model, plan: Plan) -> Iterator[str]:
    """Values that are made on one side and read on the other."""
    for value in (*model.graph.inputs, *(value for node in model.graph for value in node.outputs)):
        producer = value.producer()
        made_in_integers = producer is not None and producer.name in plan.integer_nodes
        if any((reader.name in plan.integer_nodes) is not made_in_integers for reader in value.consumers()):
            yield str(value.name)
