"""The page of a search: whole, offline, within its own policy, and as it is seen in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgert.search.evaluator import Evaluation
from edgert.search.goals import Goals, Quantity, parse_limit
from edgert.search.growth import hypervolumes
from edgert.search.report import build_search_report
from edgert.search.result import SearchResult
from edgert.search.settings import load_search
from edgert.search.standing import standing_of
from edgert.search.study import Entry
from tests.apps.browsing import browser  # noqa: F401  # a fixture

WriteRecipe = Callable[..., Path]
REASON = "neighbours: the computer was 40 % busy"
NASTY = "</script><img src=x onerror=alert(1)>"
DIMENSIONS = {"precision": ("fp32", "int8"), "size": (96, 128, 160), "only": (1,)}


def measured(accuracy: float, latency_ms: float) -> Evaluation:
    values = {Quantity.ACCURACY: accuracy, Quantity.LATENCY_MS: latency_ms}
    return Evaluation(values, facts={"recipe": f"# {NASTY}\nschema = 1\n", "record": "r.json", "reasons": [REASON]})


def entries() -> list[Entry]:
    found = [measured(0.9, 9), measured(0.8, 3), measured(0.95, 14), Evaluation({}, NASTY), measured(0.7, 6)]
    predicted = {"accuracy": 0.85, "latency_ms": 8.0}
    choices = [{"precision": p, "size": s, "only": 1} for p in ("fp32", "int8") for s in (96, 128, 160)]
    return [
        Entry(number, choice, evaluation, True, predicted=predicted if number == 0 else None)
        for number, (choice, evaluation) in enumerate(zip(choices, found, strict=False))
    ]


@pytest.fixture
def result(recipe: WriteRecipe) -> SearchResult:
    settings = load_search(recipe('limits = ["latency_ms <= 10"]', f'study = "{NASTY}"'), {})
    first = entries()
    again = [Entry(0, first[0].choice, measured(0.9, 9.5), True, first=0)]
    again += [Entry(1, first[1].choice, measured(0.79, 3.1), True, first=1)]
    importances = {"accuracy": {"precision": 0.7, "size": 0.3}}
    return SearchResult(settings, "study.db", standing_of(settings.goals, first, again), DIMENSIONS, importances)


def test_the_same_result_gives_the_same_bytes(result: SearchResult) -> None:
    assert build_search_report(result) == build_search_report(result)


def test_nothing_from_outside_and_nothing_that_runs(result: SearchResult) -> None:
    page = build_search_report(result)
    assert "<img" not in page
    assert not re.search(r"<[a-z][^>]*\s(?:src|href)=|https?://|url\(", page)
    assert page.count("<script>") == 1
    assert "&lt;/script&gt;&lt;img" in page


@pytest.mark.parametrize(
    "words",
    [
        "2 points on the front",
        "5 trials: 1 failed, 1 beyond a limit",
        "Trial 0 (rule: knee).",
        "The recipe that rebuilds it",
        REASON,
        "on the front, measured again",
        "Hypervolume against evaluations",
        "Choices side by side",
        "What mattered",
        "1 predictions: median difference",
        "2 first measurements: median difference 4.",
        "Failed",
    ],
)
def test_what_the_page_says(result: SearchResult, words: str) -> None:
    assert words in build_search_report(result)


def test_one_objective_and_nothing_found(recipe: WriteRecipe) -> None:
    settings = load_search(recipe('objectives = ["latency_ms"]', 'limits = ["latency_ms <= 4"]'), {})
    page = build_search_report(
        SearchResult(settings, "study.db", standing_of(settings.goals, entries(), []), DIMENSIONS, {})
    )
    assert "Trial 1 (the best)." in page
    nothing = standing_of(settings.goals, [], [])
    page = build_search_report(SearchResult(settings, "study.db", nothing, DIMENSIONS, {}))
    assert "No candidate keeps every limit." in page
    assert "no candidate worked" in page


def test_the_hypervolume_grows_to_that_of_the_front() -> None:
    goals = Goals((Quantity.ACCURACY, Quantity.LATENCY_MS), (parse_limit("latency_ms <= 10"),))
    grown = hypervolumes(goals, entries())
    # in units of the range of those that keep the limit (accuracy 0.7 to 0.9, latency 3 to 9), from 1.1 of it
    assert grown == pytest.approx([1.1 * 0.1, 1.1 * 0.1 + 0.6 * 1.0, 0.71, 0.71, 0.71])
    three = Goals((Quantity.ACCURACY, Quantity.LATENCY_MS, Quantity.RAM_BYTES))
    points = [
        Evaluation({Quantity.ACCURACY: -x, Quantity.LATENCY_MS: y, Quantity.RAM_BYTES: z})
        for x, y, z in ((0, 1, 1), (1, 0, 1), (1, 1, 0))
    ]
    volumes = hypervolumes(three, [Entry(n, {"a": n}, point, True) for n, point in enumerate(points)])
    assert volumes == pytest.approx([1.1 * 0.01, 0.011 * 2 - 0.001, 0.011 * 3 - 0.002])


@pytest.fixture
def page(browser: Any, result: SearchResult, tmp_path: Path) -> Iterator[Any]:  # noqa: F811
    path = tmp_path / "report.html"
    path.write_text(build_search_report(result))
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("request", lambda request: page.said.append(request.url) if "report.html" not in request.url else None)
    page.goto(path.as_uri())
    yield page
    page.close()


@pytest.mark.browser
def test_in_a_browser(page: Any) -> None:
    assert page.said == []
    sizes = page.evaluate("[...document.querySelectorAll('svg.chart')].map(s => s.getBoundingClientRect().width)")
    assert len(sizes) == 5
    assert min(sizes) > 500
    for width in (1000, 380):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width
    dots = page.evaluate(
        "[...document.querySelector('svg.chart').querySelectorAll('circle.good')].map(c => c.getBoundingClientRect().x)"
    )
    assert len(dots) == 2
    assert dots[0] > dots[1]  # 9.5 ms is right of 3.1 ms
    boxes = page.evaluate(
        "[...document.querySelectorAll('.framed')].map(f => [f.querySelector('svg.axis'), f.querySelector('svg.chart')]"
        ".map(s => [...s.querySelectorAll('text, circle')].map(e => e.getBoundingClientRect())))"
    )
    for figures, dots in boxes:  # the axis's figures are never below a dot
        assert figures
        assert max(box["right"] for box in figures) < min((box["left"] for box in dots), default=1000)
    page.evaluate("document.querySelectorAll('th button')[2].click()")
    first = page.evaluate("document.querySelector('tbody tr td').textContent")
    page.evaluate("document.querySelectorAll('th button')[2].click()")
    assert page.evaluate("document.querySelector('tbody tr td').textContent") != first
