from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgert.bundle import Bundle
from edgert.commands.report import report as write_report
from edgert.errors import BundleError, InputFileError
from edgert.profiler.report import build_report
from edgert.profiler.report_html import element, join
from edgert.profiler.report_plots import Bar, Row, plot, scale_over
from edgert.profiler.report_style import SCRIPT
from edgert.profiler.report_values import format_number, number_at, pair_at, png_at, text_at
from edgert.profiler.report_view import ReportView, format_metric, format_points
from tests import report_example as example

VOID = {"meta", "img", "rect", "line", "circle", "br"}


class Page(HTMLParser):
    """Checks nesting and collects tags, attributes and visible text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in {"style", "script"}:
            self.text += data + "\n"


@pytest.fixture
def bundle_path(tmp_path: Path) -> Path:
    return example.write_example(tmp_path / "digits.edge")


def page_of(path: Path, records: list[dict[str, Any]] | None = None) -> str:
    with Bundle.open(path) as bundle:
        return build_report(bundle, records or [])


def test_page_holds_every_section_and_figure(bundle_path: Path) -> None:
    page = Page(page_of(bundle_path, example.records()))
    for title in ("Accuracy", "Size", "Latency", "Cost of each layer", "Error of each layer", "Worst samples"):
        assert f"\n{title}\n" in page.text
    for figure in ("98.00 %", "98.11 %", "\u22120.11", "\u22120.42 to 0.20", "449 kB", "5.31 M", "top1", "9c3f" * 16):
        assert figure in page.text
    for word in ("reference", "passed", "undecided", "failed"):
        assert f"\n{word}\n" in page.text


def test_page_loads_nothing_and_allows_only_its_own_script(bundle_path: Path) -> None:
    text = page_of(bundle_path, example.records())
    page = Page(text)
    links = [attrs[key] for _, attrs in page.tags for key in ("src", "href", "action", "data") if key in attrs]
    assert links
    assert all(link and link.startswith("data:image/png;base64,") for link in links)
    assert not re.search(r"url\(|@import", text)
    assert text.count("<script>") == 1
    assert SCRIPT in text
    policy = next(attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_every_worst_sample_shows_what_the_model_saw(bundle_path: Path) -> None:
    text = page_of(bundle_path)
    page = Page(text)
    pictures = [attrs["alt"] for tag, attrs in page.tags if tag == "img"]
    assert "heat map of input mfcc of sample clip 0" in pictures
    assert "picture of input image of sample clip 3" in pictures
    lines = [attrs["points"] for tag, attrs in page.tags if tag == "polyline"]
    assert [len(str(points).split()) for points in lines] == [256]
    for words in ("0.25, \u22121.5, 3e-05", "22, 23 \u2026 (16 more)", "ids [1 x 40], 0 to 39", "same answer 0 %"):
        assert words in page.text


def test_repairs_and_sensitivity_are_shown_where_there_are_any(bundle_path: Path, tmp_path: Path) -> None:
    page = Page(page_of(bundle_path))
    for words in ("Repairs", "cost, ms", "ranges=octav", "no better", "1.07", "the gate passed", "98.30 %"):
        assert f"\n{words}\n" in page.text
    assert "Conv, weights, channels 0 to 7" in page.text
    described = [attrs.get("aria-label") or "" for _, attrs in page.tags]
    assert any(label.startswith("stage1.conv1: 12.5") for label in described)
    assert "Repairs" not in Page(page_of(example.write_example(tmp_path / "bare.edge", data={}))).text


def test_changes_name_the_step_where_one_is_known(bundle_path: Path, tmp_path: Path) -> None:
    assert "\nstep\nwhere\nwhat\nwhy\n" in Page(page_of(bundle_path)).text
    data = example.report()
    del data["changes"][1]
    text = Page(page_of(example.write_example(tmp_path / "old.edge", data=data))).text
    assert "\nwhere\nwhat\nwhy\n\u2013" not in text
    assert "left float" in text


def test_same_input_gives_the_same_bytes(bundle_path: Path) -> None:
    assert page_of(bundle_path, example.records()) == page_of(bundle_path, example.records())


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    path = example.write_example(
        tmp_path / "bad.edge", example.HOSTILE, name=example.HOSTILE, labels=(example.HOSTILE,) * 10
    )
    text = page_of(path, example.records(example.HOSTILE))
    page = Page(text)
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "\u202e" not in text
    assert page.text.count("window.owned=1") > 50


def test_empty_report_says_what_is_missing(tmp_path: Path) -> None:
    page = Page(page_of(example.write_example(tmp_path / "bare.edge", data={})))
    assert "No accuracy was measured" in page.text
    assert "no profile record was given" in page.text
    assert "No layer errors were measured" in page.text


def test_variant_without_gate_is_called_unverified(tmp_path: Path) -> None:
    data = example.report()
    data["reference"]["variant"] = "another"
    page = Page(page_of(example.write_example(tmp_path / "x.edge", data=data)))
    assert "\nunverified\n" in page.text


def damaged(value: Any) -> st.SearchStrategy[Any]:
    """The example's report with any part of it missing, null or of another kind."""
    other = st.sampled_from([None, "text", -1, 1e308, [], {}, [None], True, [1, 2], {"a": []}])
    if isinstance(value, dict):
        kept = {key: damaged(item) for key, item in value.items()}
        return st.one_of(st.fixed_dictionaries({}, optional=kept), other)
    if isinstance(value, list):
        return st.one_of(st.tuples(*(damaged(item) for item in value[:3])).map(list), other)
    return st.one_of(st.just(value), other)


@settings(max_examples=60, deadline=None)
@given(data=damaged(example.report()), record=damaged(example.records()[1]))
def test_any_part_may_be_missing_or_of_another_kind(data: Any, record: Any, tmp_path_factory: Any) -> None:
    path = example.write_example(tmp_path_factory.mktemp("r") / "x.edge", data=data if isinstance(data, dict) else {})
    Page(page_of(path, [record] if isinstance(record, dict) else []))


def test_records_of_other_files_are_left_out_with_a_remark(bundle_path: Path) -> None:
    records = example.records()
    records[0]["model"]["variant_sha256"] = "0" * 64
    records[1]["variant"] = "onnx-fp16"
    page = Page(page_of(bundle_path, records))
    assert "Left out: 2 records of files that are not in this bundle." in page.text
    assert "0.263" not in page.text


def test_measurement_says_where_how_and_how_far_to_believe_it(bundle_path: Path) -> None:
    page = Page(page_of(bundle_path, example.records()))
    for words in (
        "0.263 ms", "(0.50x)", "competing-load", "degraded", "governor performance", "2395 to 2400 MHz", "51 \u00b0C",
        "dot product avx512-vnni", "50 runs, 5 windows, steady after 50 warm-up runs", "peak 68 MB",
        "not measured: powercap is not readable here", "2026-11-21T03:50:00Z",
    ):  # fmt: skip
        assert words in page.text


def test_verb_writes_the_page_with_records(bundle_path: Path, tmp_path: Path) -> None:
    files = []
    for i, record in enumerate(example.records()):
        files.append(tmp_path / f"{i}.json")
        files[-1].write_text(json.dumps(record))
    path = write_report(bundle_path, files, tmp_path / "page.html")
    assert path == tmp_path / "page.html"
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("content", "words"),
    [("[1]", "schema None"), ("{", "not valid JSON"), ('{"schema": 1}', "not a complete"), (None, "cannot be read")],
)
def test_unreadable_record_is_refused_and_no_page_is_left(
    bundle_path: Path, tmp_path: Path, content: str | None, words: str
) -> None:
    record = tmp_path / "r.json"
    if content is not None:
        record.write_text(content)
    with pytest.raises(InputFileError, match=words):
        write_report(bundle_path, [record], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_missing_bundle_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"none\.edge: no such file"):
        write_report(tmp_path / "none.edge", [], tmp_path / "page.html")


@given(st.text())
def test_text_survives_escaping_and_never_becomes_markup(text: str) -> None:
    written = element("p", text, title=text)
    assert re.fullmatch(r'<p title="[^"<>]*">[^<>]*</p>', written)
    kept = "".join(c for c in text if c.isascii() and c.isprintable())
    shown = "".join(c for c in html.unescape(str(join([text]))) if c.isascii() and c.isprintable())
    assert shown == kept


@given(st.lists(st.integers(-(10**9), 10**9).map(lambda i: i / 1024), min_size=1, max_size=8))
def test_scale_covers_all_values_with_few_ticks_in_order(values: list[float]) -> None:
    scale = scale_over(values)
    assert scale.low <= min(*values, 0.0) + 1e-9 * abs(scale.low)
    assert scale.high >= max(*values, 0.0) - 1e-9 * abs(scale.high)
    assert 2 <= len(scale.ticks) <= 7
    assert list(scale.ticks) == sorted(set(scale.ticks))


def test_bar_ends_where_its_value_lies_on_the_axis() -> None:
    scale = scale_over([50.0, 100.0])
    drawn = str(plot([Row("a", "50", Bar(50.0))], scale, "size, kB"))
    start, width = (float(re.search(rf'<rect[^>]* {key}="([\d.]+)%"', drawn)[1]) for key in ("x", "width"))
    assert start + width == pytest.approx(scale.percent(50.0), abs=0.01)
    assert 'aria-label="a: 50"' in drawn


@pytest.mark.parametrize(
    ("value", "expected"), [(-0.5, "\u22120.5"), (123456.0, "123456"), (0.00012, "0.00012"), (1e-9, "1e-09")]
)
def test_numbers_are_written_plainly(value: float, expected: str) -> None:
    assert format_number(value) == expected


def test_values_of_the_wrong_kind_read_as_missing() -> None:
    data = {"t": True, "n": float("nan"), "big": 10**400, "s": "  ", "p": [1, "x"], "r": [3, 1]}
    assert [number_at(data, key) for key in ("t", "n", "big", "gone")] == [None] * 4
    assert text_at(data, "s") is None
    assert pair_at(data, "p") is None
    assert pair_at(data, "r") == (1.0, 3.0)


@pytest.mark.parametrize("text", ["", "no base64!", "AAAA", "PHN2Zy8+" * 20])
def test_only_png_pictures_are_shown(text: str) -> None:
    assert png_at({"p": text}, "p") is None


@pytest.mark.parametrize(
    ("unit", "value", "expected"), [("%", 98.0, "98.00 %"), ("", 31.25, "31.25"), ("%", None, "not evaluated")]
)
def test_metric_has_the_unit_the_report_gives(unit: str, value: float | None, expected: str) -> None:
    view = ReportView(example.manifest(), "0" * 64, {"reference": {"unit": unit}}, ())
    assert format_metric(view, value) == expected


def test_drops_have_a_sign_and_no_negative_zero() -> None:
    assert [format_points({"d": d}, "d") for d in (0.5, -0.25, 0.0, -0.001)] == ["+0.50", "\u22120.25", "0.00", "0.00"]
