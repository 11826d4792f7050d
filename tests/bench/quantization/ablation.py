"""The ablation table: every step of the chain switched off and on against the default, and every range method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgert.recipe import DEFAULT_ALGORITHMS, RangeMethod
from edgert_converters.quantize.chain import CHAIN
from edgert_converters.quantize.ranges import RangeRule
from tests.bench.quantization.cells import EDGERT, Cell
from tests.bench.quantization.compare import interval_of_agree, interval_of_difference
from tests.bench.quantization.table import format_interval, markdown, name_of, seconds

DEFAULT = "default"
HEADER = (
    "model",
    "chain",
    "agree (95 % interval)",
    "against default",
    "harmful / changed",
    "SQNR, dB",
    "least seconds",
    "n, draws",
    "measured on",
)


def ablation_settings() -> tuple[str, ...]:
    """The default, no step at all, each step of the chain switched over, each other method of choosing ranges."""
    switched = [
        f"{DEFAULT},{'-' if step.algorithm in DEFAULT_ALGORITHMS else '+'}{step.algorithm.value}" for step in CHAIN
    ]
    ranges = [f"{DEFAULT},ranges={method.value}" for method in RangeMethod if method is not RangeRule().method]
    return (DEFAULT, "none", *switched, *ranges)


def ablation_table(cells: Iterable[Cell]) -> str:
    """Returns the table in Markdown: one row per model and setting of edgert that was measured."""
    groups: dict[tuple[str, str], dict[int, Cell]] = {}
    for cell in cells:
        if cell.key.tool == EDGERT:
            groups.setdefault((cell.key.model, cell.key.setting), {})[cell.key.draw] = cell
    settings = ablation_settings()
    rows = [
        _row(model, setting, draws, groups.get((model, DEFAULT), {}))
        for (model, setting), draws in sorted(groups.items(), key=lambda item: _order(item[0], settings))
        if setting in settings
    ]
    return markdown(HEADER, rows)


def _order(key: tuple[str, str], settings: Sequence[str]) -> tuple[str, int]:
    model, setting = key
    return model, settings.index(setting) if setting in settings else len(settings)


def _row(model: str, setting: str, draws: Mapping[int, Cell], default: Mapping[int, Cell]) -> tuple[str, ...]:
    found = list(draws.values())
    paired = sorted(draws.keys() & default.keys())
    against = "-"
    if setting != DEFAULT and paired:
        ours, theirs = ([group[draw].rows() for draw in paired] for group in (draws, default))
        against = format_interval(interval_of_difference(ours, theirs), signed=True)
    outcomes = [cell.outcome for cell in found]
    return (
        model,
        name_of(setting, found),
        format_interval(interval_of_agree([cell.rows() for cell in found])),
        against,
        f"{sum(len(o.harmful) for o in outcomes)} / {sum(len(o.changed) for o in outcomes)}",
        f"{np.mean([o.sqnr_db for o in outcomes]):.1f}",
        seconds(found),
        f"{sum(o.n for o in outcomes)}, {len(found)}",
        "this x86",
    )
