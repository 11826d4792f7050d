"""What a candidate costs on the target: measured on this computer where it is the target, else MACs times bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import onnx_ir as ir

from edgert.bundle import TensorSpec
from edgert.target import Target
from edgert_converters.layers import build_layers
from edgert_converters.payoff.child import measure_pair
from edgert_converters.payoff.place import Site, find_sites

__all__ = ["Cost", "CostMeter", "MeasuredCost", "WorkCost", "choose_meter", "work_of"]


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one run in `unit`.

    `ratio` is that to the float model; `is_slower` holds where it is above 1 beyond the doubt of the measurement.
    """

    value: float
    unit: str
    ratio: float
    is_slower: bool


class CostMeter(Protocol):
    """Gives the cost of candidates of one model on one target."""

    def __call__(self, candidate: ir.Model) -> Cost:
        """Returns the cost of a graph with the model's own inputs and outputs."""
        ...


class MeasuredCost:
    """Milliseconds on this computer, float and candidate run in turns in a child process, one thread."""

    def __init__(
        self, site: Site, reference: ir.Model, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
    ) -> None:
        self._site, self._reference = site, reference
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        self._work = WorkCost(reference)

    def __call__(self, candidate: ir.Model) -> Cost:
        """Returns measured milliseconds; the work where the engine gives no time."""
        timed = measure_pair(self._site, (self._reference, candidate), self._inputs, self._outputs)
        if isinstance(timed, str):
            return self._work(candidate)
        ratio = timed.int8_ms / timed.float_ms
        return Cost(timed.int8_ms, f"ms in {self._site.engine} here", ratio, timed.low > 1.0)


class WorkCost:
    """MACs times the bytes of the type they are computed in: a stand-in where nothing was measured."""

    def __init__(self, reference: ir.Model) -> None:
        self._reference = sum(work_of(reference).values())

    def __call__(self, candidate: ir.Model) -> Cost:
        """Returns the work; it never says slower, because it is no time."""
        value = float(sum(work_of(candidate).values()))
        return Cost(value, "MACs x bytes", value / self._reference if self._reference else 1.0, is_slower=False)


def choose_meter(
    targets: Sequence[Target], reference: ir.Model, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> CostMeter:
    """Returns the measured cost where one of the targets is this computer and has an engine that reads ONNX."""
    for target in targets:
        sites = [site for site in find_sites(target) if site.format == "onnx"] if target.is_this_computer else []
        if sites:
            return MeasuredCost(sites[0], reference, inputs, outputs)
    return WorkCost(reference)


def work_of(model: ir.Model) -> dict[str, float]:
    """Returns MACs times bytes per layer name: what an operator computes times the size of the type it computes in."""
    return {layer.name: float(layer.macs * layer.dtype.numpy.itemsize) for layer in build_layers(model)}
