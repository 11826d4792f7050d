"""The report in a real browser: nothing is loaded or executed that should not be, and it fits a phone."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgert.bundle import Bundle
from edgert.profiler.report import build_report
from tests import report_example as example

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync"]  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed (apt-get install chromium)"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="playwright is not installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


class Opened:
    """A page, and everything it said or asked for while it was open."""

    def __init__(self, browser: Any, path: Path, width: int, scheme: str) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri(), wait_until="load")

    @property
    def outside_requests(self) -> list[str]:
        return [url for url in self.requests if not url.startswith(("data:", "file:"))]


@pytest.fixture
def open_report(browser: Any, tmp_path: Path) -> Iterator[Any]:
    opened: list[Opened] = []

    def open_at(width: int = 1200, scheme: str = "light", hostile: bool = False) -> Opened:
        mark = example.HOSTILE if hostile else ""
        labels = (mark,) * 10 if hostile else ()
        bundle_path = example.write_example(tmp_path / "digits.edge", mark, name=mark or "digits", labels=labels)
        with Bundle.open(bundle_path) as bundle:
            page = build_report(bundle, example.records(mark))
        path = tmp_path / "report.html"
        path.write_text(page, encoding="utf-8")
        opened.append(Opened(browser, path, width, scheme))
        return opened[-1]

    yield open_at
    for page in opened:
        page.context.close()


def test_page_loads_without_complaint_and_without_network(open_report: Any) -> None:
    opened = open_report()
    assert opened.complaints == []
    assert opened.outside_requests == []
    assert sum(url.startswith("file:") for url in opened.requests) == 1


def test_plots_and_pictures_are_drawn(open_report: Any) -> None:
    page = open_report().page
    boxes = page.eval_on_selector_all("svg.track", "all => all.map(e => [e.clientWidth, e.clientHeight])")
    assert len(boxes) > 20
    assert all(width > 200 and height > 20 for width, height in boxes)
    bars = page.eval_on_selector_all(
        "svg.track rect.fill", "all => all.filter(e => e.checkVisibility()).map(e => e.getBoundingClientRect().width)"
    )
    assert bars
    assert min(bars) > 0
    pictures = page.eval_on_selector_all(".sample img", "all => all.map(e => e.naturalWidth)")
    assert pictures == [32] * 5 + [49, 32]
    signals = page.eval_on_selector_all(
        "svg.signal", "all => all.map(e => [e.clientHeight, e.firstChild.getBoundingClientRect().width])"
    )
    assert all(height == 120 and width > 100 for height, width in signals)
    assert len(signals) == 1


@pytest.mark.parametrize("width", [320, 390, 768, 1200])
@pytest.mark.parametrize("hostile", [False, True])
def test_page_is_never_wider_than_the_screen(open_report: Any, width: int, hostile: bool) -> None:
    page = open_report(width=width, hostile=hostile).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_labels_and_figures_of_a_plot_do_not_overlap(open_report: Any) -> None:
    page = open_report(width=390).page
    overlaps = page.evaluate(
        """() => [...document.querySelectorAll(".row:not(.foot)")].filter(row => {
            const [a, b] = [".label", ".figure"].map(name => row.querySelector(name).getBoundingClientRect());
            return a.right > b.left + 0.5 && a.bottom > b.top + 0.5 && b.bottom > a.top + 0.5;
        }).length"""
    )
    assert overlaps == 0


def test_axis_labels_do_not_overlap(open_report: Any) -> None:
    for width in (390, 1200):
        gaps = open_report(width=width).page.evaluate(
            """() => [...document.querySelectorAll("svg.axis")].filter(e => e.checkVisibility()).flatMap(axis => {
                const boxes = [...axis.querySelectorAll("text")].map(e => e.getBoundingClientRect());
                return boxes.slice(1).map((box, i) => box.left - boxes[i].right);
            })"""
        )
        assert gaps
        assert min(gaps) > 2


def test_hostile_names_are_shown_and_not_executed(open_report: Any) -> None:
    opened = open_report(hostile=True)
    assert opened.page.evaluate("window.owned") is None
    assert opened.complaints == []
    assert opened.outside_requests == []
    assert "window.owned=1" in opened.page.inner_text("h1")


def test_tables_sort_by_the_clicked_column(open_report: Any) -> None:
    page = open_report().page
    table = page.locator("section:has(h2:text('Cost of each layer')) table").first

    def column(index: int) -> list[float]:
        return [float(v) for v in table.locator("tbody tr").evaluate_all(
            "(rows, i) => rows.map(row => row.cells[i].dataset.sort)", index)]  # fmt: skip

    button = table.locator("th button").nth(3)
    button.click()
    assert column(3) == sorted(column(3), reverse=True)
    button.click()
    assert column(3) == sorted(column(3))


def test_dark_scheme_is_dark_and_light_is_light(open_report: Any) -> None:
    def brightness(scheme: str) -> int:
        color = open_report(scheme=scheme).page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(","))

    assert brightness("dark") < 150
    assert brightness("light") > 600
