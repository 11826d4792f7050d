"""The report of a search: one self-contained HTML page (docs/search.md).

No network, no fonts, no scripts but the one that sorts tables; the page forbids anything else to itself by a content
security policy. Same result, same bytes.
"""

from __future__ import annotations

import base64
import hashlib

import edgert
from edgert.profiler.report_html import Html, element, join, raw
from edgert.profiler.report_style import SCRIPT, STYLE
from edgert.profiler.report_view import absent, card, chip, table
from edgert.search.report_chart import CHART_STYLE
from edgert.search.report_figures import (
    agreement_section,
    importance_section,
    pareto_section,
    progress_section,
)
from edgert.search.report_parallel import parallel_section
from edgert.search.result import SearchResult
from edgert.search.standing import Point
from edgert.search.words import format_choice, format_quantity

__all__ = ["build_search_report"]

_MOST_ROWS = 100


def build_search_report(result: SearchResult) -> str:
    """Returns the report as one HTML page."""
    sections = [
        _header(result),
        _chosen(result),
        _front(result),
        pareto_section(result),
        progress_section(result),
        parallel_section(result),
        importance_section(result),
        agreement_section(result),
        _dropped(result),
        _failures(result),
        element("footer", f"edgert {edgert.__version__}; study {result.settings.study!r} in {result.storage}"),
    ]
    body = element("body", element("main", *sections), element("script", raw(SCRIPT)))
    return f"<!DOCTYPE html>\n{element('html', _head(result), body, lang='en')}\n"


def _head(result: SearchResult) -> Html:
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        raw('<meta http-equiv="Content-Security-Policy" content="' + policy + '"/>'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{result.settings.study}: edgert search"),
        element("style", raw(STYLE + CHART_STYLE)),
    )


def _header(result: SearchResult) -> Html:
    settings, standing = result.settings, result.standing
    known = sum(bool(entry.source) for entry in standing.finished)
    counts = f"{len(standing.finished)} trials: {len(standing.failed)} failed, "
    counts += f"{len(standing.beyond_limits)} beyond a limit"
    facts = [
        ("recipe", str(settings.recipe.name)),
        ("searched", settings.kind),
        ("measured on", ", ".join(settings.devices)),
        ("objectives", ", ".join(item.value for item in settings.goals.objectives)),
        ("limits", ", ".join(str(limit) for limit in settings.goals.limits) or "none"),
        ("algorithm", f"{settings.algorithm}, seed {settings.seed}"),
        ("evaluated", f"{counts}, {known} known from before" if known else counts),
    ]
    if settings.rate_hz is not None:
        facts.append(("energy", f"gross, at {settings.rate_hz:g} inferences per second"))
    rows = [part for title, text in facts for part in (element("dt", title), element("dd", text))]
    return element("header", element("h1", f"Search: {settings.study}"), _verdict(result), element("dl", *rows))


def _verdict(result: SearchResult) -> Html:
    if result.chosen is None:
        return element("p", chip("nothing found", "bad"), " No candidate keeps every limit.")
    count = len(result.standing.front)
    words = f" {count} point{'s' if count > 1 else ''} on the front, each measured again after the search."
    return element("p", chip("found", "good"), words)


def _chosen(result: SearchResult) -> Html:
    goals, chosen = result.settings.goals, result.chosen
    if chosen is None:
        return card("Chosen", None, absent("nothing: no candidate keeps every limit"))
    facts = [(name, str(value)) for name, value in chosen.choice.items()]
    facts += [(item.value, format_quantity(item, chosen.measured)) for item in goals.quantities]
    facts += [
        (name, _fact(value))
        for name, value in chosen.facts.items()
        if name != "recipe" and isinstance(value, (str, int, float, list)) and value != []
    ]
    rows = [part for title, text in facts for part in (element("dt", title), element("dd", text))]
    rule = "the best" if len(goals.objectives) == 1 else f"rule: {result.settings.choose}"
    recipe = chosen.facts.get("recipe")
    parts: list[Html] = []
    if isinstance(recipe, str):
        parts = [element("h3", "The recipe that rebuilds it"), element("pre", element("code", recipe))]
    return card("Chosen", f"Trial {chosen.number} ({rule}).", element("dl", *rows), *parts)


def _fact(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _front(result: SearchResult) -> Html:
    goals, standing = result.settings.goals, result.standing
    if not standing.front:
        return card("Front", None, absent("empty"))
    heads = [
        ("trial", ""),
        *((item.value, "") for item in goals.quantities),
        *((name, "text") for name in result.dimensions),
    ]
    lead = (
        "No candidate that keeps the limits is better in everything. Large figures: measured again after the search, "
        "which is what counts; small ones: in the search."
    )
    return card("Front", lead, table(heads, [_row(result, point) for point in standing.front], sortable=True))


def _row(result: SearchResult, point: Point) -> Html:
    cells = [element("td", str(point.number), data_sort=str(point.number))]
    for quantity in result.settings.goals.quantities:
        first = None if point.again is None else element("small", format_quantity(quantity, point.first))
        value = format_quantity(quantity, point.measured)
        shown = [value] if first is None else [value, element("br"), first]
        cells.append(element("td", join(shown), data_sort=f"{point.measured[quantity]:.9g}"))
    cells += [element("td", str(point.choice.get(name, "")), class_="text") for name in result.dimensions]
    return element("tr", *cells)


def _dropped(result: SearchResult) -> Html | None:
    dropped = result.standing.dropped
    if not dropped:
        return None
    rows = [
        element(
            "tr",
            element("td", str(point.number)),
            element("td", point.reason, class_="wide"),
            element("td", format_choice(point.choice), class_="wide"),
        )
        for point in dropped
    ]
    lead = "These were on the front until they were measured again."
    return card("Left the front", lead, table((("trial", ""), ("reason", "text"), ("choice", "text")), rows))


def _failures(result: SearchResult) -> Html | None:
    failed = [entry for entry in result.standing.failed if entry.evaluation is not None]
    if not failed:
        return None
    rows = [
        element(
            "tr",
            element("td", str(entry.number)),
            element("td", entry.evaluation.failure if entry.evaluation else "", class_="wide"),
            element("td", format_choice(entry.choice), class_="wide"),
        )
        for entry in failed[:_MOST_ROWS]
    ]
    more = len(failed) - _MOST_ROWS
    lead = "Candidates that do not work." + (f" {more} more are in result.json." if more > 0 else "")
    return card("Failed", lead, table((("trial", ""), ("reason", "text"), ("choice", "text")), rows))
