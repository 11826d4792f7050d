"""The plots of a search: what is best against what, progress, choices side by side, what mattered, predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.profiler.report_html import Html, element, join
from edgert.profiler.report_plots import Bar, Row, plot, scale_over
from edgert.profiler.report_values import format_number
from edgert.profiler.report_view import absent, card
from edgert.search.goals import Goals, Quantity
from edgert.search.growth import hypervolumes
from edgert.search.report_chart import Dot, chart, key, line
from edgert.search.result import SearchResult
from edgert.search.standing import Point
from edgert.search.words import axis_title, format_choice, format_quantity

__all__ = ["agreement_section", "importance_section", "pareto_section", "progress_section"]

_KEYS = (
    ("good", "on the front, measured again"),
    ("chosen", "chosen"),
    ("faint", "measured"),
    ("over", "beyond a limit"),
)


def pareto_section(result: SearchResult) -> Html:
    """Returns every pair of the first objective with another; with one objective, it over the trials."""
    goals, points = result.settings.goals, result.standing.points
    if not points:
        return card("Objectives", None, absent("no candidate worked"))
    if len(goals.objectives) == 1:
        return card("Objective", None, _over_trials(result), key(_KEYS))
    first, *others = goals.objectives
    return card(
        "Objectives",
        "Every candidate that works. The line joins the front: nothing that was measured is better in everything. "
        "Dashed: a limit.",
        *(_pair(result, other, first) for other in others),
        key(_KEYS),
    )


def progress_section(result: SearchResult) -> Html | None:
    """Returns how the front grew with the evaluations."""
    values = hypervolumes(result.settings.goals, result.standing.finished)
    if not values or values[-1] <= 0:
        return None
    shares = [100 * value / values[-1] for value in values]
    across, upward = scale_over([1, len(shares)]), scale_over([0, 100])
    steps = [(index + 1 + offset, share) for index, share in enumerate(shares) for offset in (0, 1)]
    at_99 = next(index for index, share in enumerate(shares, 1) if share >= 99)
    return card(
        "Hypervolume against evaluations",
        f"Space that the front dominates, in percent of the end's; 99 % were there after {at_99} of {len(shares)} "
        "trials. Counted from the worst value of each objective among candidates that keep the limits, first "
        "measurements only.",
        chart(
            across,
            upward,
            titles=("trials", "hypervolume, percent"),
            lines=[line(steps[:-1], across, upward)],
            height=200,
            description="; ".join(f"{index}: {share:.0f} %" for index, share in enumerate(shares, 1)),
        ),
    )


def importance_section(result: SearchResult) -> Html | None:
    """Returns how much of each objective every choice explains."""
    if not result.importances:
        return None
    parts: list[Html] = []
    for objective, shares in result.importances.items():
        rows = [
            Row(name, f"{100 * share:.0f} %", Bar(100 * share))
            for name, share in sorted(shares.items(), key=lambda pair: -pair[1])
        ]
        parts += [
            element("h3", objective),
            plot(rows, scale_over([0, 100]), "share of the variance explained, percent"),
        ]
    lead = (
        "From the trials of this study (fANOVA). A choice that the search soon settled is seen in few variations, and "
        "counts for less than it matters."
    )
    return card("What mattered", lead, *parts)


def agreement_section(result: SearchResult) -> Html | None:
    """Returns what was predicted and measured at first against what was measured at last."""
    goals, points = result.settings.goals, result.standing.points
    figures = [_agreement(quantity, points) for quantity in goals.quantities]
    drawn = [figure for figure in figures if figure is not None]
    if not drawn:
        return None
    keys = (("good", "first measurement (front)"), ("doubt", "prediction"))
    lead = "Each candidate by its latest measurement; on the dashed line both are the same."
    return card("Predicted against measured", lead, *drawn, key(keys))


def _pair(result: SearchResult, across_by: Quantity, upward_by: Quantity) -> Html:
    goals, standing = result.settings.goals, result.standing
    points = standing.points
    across = scale_over([point.measured[across_by] for point in points], zero=False)
    upward = scale_over([point.measured[upward_by] for point in points], zero=False)
    dots = [
        Dot(point.measured[across_by], point.measured[upward_by], tone, _words(goals, point), radius)
        for point, tone, radius in _toned(result)
    ]
    ordered = sorted((point.measured[across_by], point.measured[upward_by]) for point in standing.front)
    limits = {limit.quantity: limit.bound for limit in goals.limits}
    return chart(
        across,
        upward,
        titles=(axis_title(across_by), axis_title(upward_by)),
        dots=dots,
        lines=[line(ordered, across, upward, "best")] if len(goals.objectives) == 2 and len(ordered) > 1 else [],
        limits=(limits.get(across_by), limits.get(upward_by)),
        description="; ".join(_words(goals, point) for point in standing.front),
    )


def _over_trials(result: SearchResult) -> Html:
    goals, standing = result.settings.goals, result.standing
    (objective,) = goals.objectives
    across = scale_over([0, max(point.number for point in standing.points)])
    upward = scale_over([point.measured[objective] for point in standing.points], zero=False)
    dots = [
        Dot(point.number, point.measured[objective], tone, _words(goals, point), radius)
        for point, tone, radius in _toned(result)
    ]
    limits = {limit.quantity: limit.bound for limit in goals.limits}
    return chart(
        across,
        upward,
        titles=("trial", axis_title(objective)),
        dots=dots,
        limits=(None, limits.get(objective)),
        description="; ".join(_words(goals, point) for point in standing.front),
    )


def _toned(result: SearchResult) -> list[tuple[Point, str, float]]:
    """Points from back to front with tone and radius; the chosen one twice, with a ring around it."""
    standing, chosen = result.standing, result.chosen
    front = {point.number for point in standing.front}
    over = {point.number for point in standing.beyond_limits}
    toned = [(point, "over" if point.number in over else "faint", 3.5) for point in standing.points]
    toned = [item for item in toned if item[0].number not in front]
    toned += [(point, "good", 4.5) for point in standing.front]
    return [*toned, (chosen, "chosen", 8.0)] if chosen is not None else toned


def _words(goals: Goals, point: Point) -> str:
    values = ", ".join(f"{item.value} {format_quantity(item, point.measured)}" for item in goals.quantities)
    return f"trial {point.number}: {values}; {format_choice(point.choice)}"


def _agreement(quantity: Quantity, points: Sequence[Point]) -> Html | None:
    predicted = [
        (point, point.predicted[quantity.value])
        for point in points
        if point.predicted is not None and quantity.value in point.predicted
    ]
    again = [(point, point.first[quantity]) for point in points if point.again is not None]
    pairs = [("doubt", point, value) for point, value in predicted] + [("good", point, value) for point, value in again]
    if not pairs:
        return None
    values = [value for _, point, found in pairs for value in (found, point.measured[quantity])]
    scale = scale_over(values, zero=False)
    dots = [
        Dot(
            found,
            point.measured[quantity],
            tone,
            f"trial {point.number}: {found:.5g}, measured {point.measured[quantity]:.5g}",
        )
        for tone, point, found in pairs
    ]
    figure = chart(
        scale,
        scale,
        titles=("prediction or first measurement", f"latest measurement of {axis_title(quantity)}"),
        dots=dots,
        lines=[line([(scale.low, scale.low), (scale.high, scale.high)], scale, scale, "same")],
        height=220,
        description="; ".join(dot.text for dot in dots),
    )
    return join([element("h3", axis_title(quantity)), element("p", _errors(quantity, predicted, again)), figure])


def _errors(quantity: Quantity, predicted: Sequence[tuple[Point, float]], again: Sequence[tuple[Point, float]]) -> str:
    """The medians of the differences, in words."""
    parts = []
    for name, pairs in (("predictions", predicted), ("first measurements", again)):
        if pairs:
            shares = [abs(value / point.measured[quantity] - 1) for point, value in pairs if point.measured[quantity]]
            median = f"{format_number(100 * float(np.median(shares)))} %" if shares else "not comparable"
            parts.append(f"{len(pairs)} {name}: median difference {median}")
    return "; ".join(parts)
