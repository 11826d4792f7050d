"""The sensitivity table: what each source of rounding alone does to the outputs, per layer and per channel group.

Measured on calibration data against the float model, never on the samples that decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgert.plugins import ProgressReporter
from edgert_converters.engine import load_runner
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import expose_values
from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.weighted import read_weighted
from edgert_converters.repair.sources import Source, SourceKind, isolate, list_sources
from edgert_converters.sqnr import split_by_magnitude, sqnr_db

__all__ = ["Sensitivity", "measure_noise", "measure_sensitivity"]

_WORST = 8
"""Sources that are looked at channel group by channel group."""

Feeds = Sequence[Mapping[str, Array]]
Answers = Sequence[Mapping[str, Array]]


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Noise-to-signal power ratio at the outputs from one source alone.

    `group` is the run of channels (start, stop) on the source's channel axis where only that run is rounded, None: all.
    """

    source: Source
    noise: float
    group: tuple[int, int] | None = None

    @property
    def sqnr_db(self) -> float:
        """The same as SQNR of the outputs in dB."""
        return sqnr_db(1.0, self.noise)


def measure_sensitivity(
    model: ir.Model, plan: Plan, feeds: Feeds, progress: ProgressReporter
) -> tuple[Sensitivity, ...]:
    """Returns the noise of every source of a plan in graph order, then that of the channel groups of the worst ones.

    Args:
        model: the float graph the plan was made for.
        plan: its weights are rounded.
        feeds: a few calibration inputs by name, batch 1; every source costs one run over them.
        progress: told after each source.
    """
    run = load_runner(model)
    expected = [run(feed) for feed in feeds]
    sources = list(list_sources(model, plan))
    table = []
    for done, source in enumerate(sources, 1):
        table.append(Sensitivity(source, measure_noise(isolate(model, plan, source), feeds, expected)))
        progress("sensitivity", done, len(sources) + _WORST)
    worst = sorted(table, key=lambda row: row.noise, reverse=True)[:_WORST]
    for done, row in enumerate(worst, 1):
        table += _measure_groups(model, plan, row.source, feeds, expected)
        progress("sensitivity", len(sources) + done, len(sources) + len(worst))
    return tuple(table)


def measure_noise(model: ir.Model, feeds: Feeds, expected: Answers) -> float:
    """Returns noise power over signal power of the outputs over all feeds, averaged over the outputs."""
    run = load_runner(model)
    noise = dict.fromkeys(expected[0], 0.0)
    signal = dict.fromkeys(expected[0], 0.0)
    for feed, reference in zip(feeds, expected, strict=True):
        found = run(feed)
        for name, values in reference.items():
            wanted = np.asarray(values, np.float64)
            got = np.asarray(found[name], np.float64)
            signal[name] += float(np.square(wanted).sum())
            # a selection may find another number of rows: then nothing is left of the signal
            noise[name] += float(np.square(got - wanted if got.shape == wanted.shape else wanted).sum())
    ratios = [noise[name] / signal[name] for name in signal if signal[name] > 0]
    return float(np.mean(ratios)) if ratios else 0.0


def _measure_groups(model: ir.Model, plan: Plan, source: Source, feeds: Feeds, expected: Answers) -> list[Sensitivity]:
    axis, power = _channel_power(model, source, feeds)
    runs = split_by_magnitude(power) if power.size else []
    if len(runs) < 2:
        return []
    rows = []
    for start, stop in runs:
        mask = np.zeros(power.size, np.bool_)
        mask[start:stop] = True
        noise = measure_noise(isolate(model, plan, source, (axis, mask)), feeds, expected)
        rows.append(Sensitivity(source, noise, (start, stop)))
    return rows


def _channel_power(model: ir.Model, source: Source, feeds: Feeds) -> tuple[int, np.ndarray]:
    """The source's channel axis and the mean square of each channel, float64[channels]; empty without channels."""
    if source.kind is SourceKind.WEIGHTS:
        node = next(node for node in model.graph if node.name == source.name)
        weighted = read_weighted(node)
        if weighted.axis is None:
            return 0, np.zeros(0)
        others = tuple(i for i in range(weighted.weight.ndim) if i != weighted.axis)
        return weighted.axis, np.square(weighted.weight.astype(np.float64)).mean(axis=others)
    if source.layer:
        run = load_runner(expose_values(model, [source.name]))
        values = [np.asarray(run(feed)[source.name], np.float64) for feed in feeds]
    else:
        values = [np.asarray(feed[source.name], np.float64) for feed in feeds]
    if values[0].ndim < 2 or len({value.shape[1] for value in values}) > 1:
        return 1, np.zeros(0)
    others = tuple(i for i in range(values[0].ndim) if i != 1)
    return 1, np.mean([np.square(value).mean(axis=others) for value in values], axis=0)
