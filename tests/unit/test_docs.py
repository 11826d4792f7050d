"""What the documentation claims: figures say where they come from, commands exist, examples run, links lead somewhere.

Write the generated parts anew with `EDGERT_UPDATE_GOLDEN=1 pytest tests/unit/test_docs.py`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgert.bundle import Bundle, LayerRecord, Manifest, TensorSpec, Variant
from edgert.cli import build_parser
from edgert.commands import VERBS
from edgert_converters.support_table import render_readme_block

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "apps").glob("*/README.md"),
        *(ROOT / "profiles").rglob("*.md"),
    ]
)
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))
HELP = ROOT / "tests/golden/help"
UPDATE = bool(os.environ.get("EDGERT_UPDATE_GOLDEN"))
BEGIN, END = "<!-- support table: begin -->\n", "<!-- support table: end -->"

MEASURED_ON = {"real board", "emulator, instructions", "this x86", "published data set"}
UNIT = r"(?:ms|us|s|kB|MB|GB|%|x|dB|points?|mJ|mW|inf/s|steps)"
FIGURE = re.compile(rf"^[-+~<>≤≥]?\s*\d[\d.,]*\s*{UNIT}(?![a-z])")
NUMBER = re.compile(r"^[-+~<>≤≥]?\s*\d[\d.,]*(?:\s|$)")
UNIT_IN_HEADER = re.compile(rf"[,(]\s*{UNIT}\b|%")


@dataclass(frozen=True)
class Table:
    page: str
    line: int
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def holds_figures(self) -> bool:
        """A cell that starts with a number and a unit, or a number in a column whose title names the unit."""
        cells = [(title, cell) for row in self.rows for title, cell in zip(self.header, row, strict=False)]
        return any(FIGURE.match(cell) or (UNIT_IN_HEADER.search(title) and NUMBER.match(cell)) for title, cell in cells)

    def problem(self) -> str | None:
        if not self.holds_figures():
            return None
        if "measured on" not in self.header:
            return f"{self.page}:{self.line}: figures without a column 'measured on'"
        column = self.header.index("measured on")
        wrong = [row[column] if len(row) > column else "" for row in self.rows]
        wrong = [cell for cell in wrong if cell not in MEASURED_ON]
        return f"{self.page}:{self.line}: measured on {wrong}, allowed {sorted(MEASURED_ON)}" if wrong else None


def cells_of(line: str) -> tuple[str, ...]:
    return tuple(cell.strip().replace("`", "") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|")))


def tables(page: str, text: str) -> Iterator[Table]:
    lines = text.splitlines()
    for index, line in enumerate(lines[1:], 1):
        if not re.fullmatch(r"\s*\|(?:\s*:?-+:?\s*\|)+\s*", line) or "|" not in lines[index - 1]:
            continue
        body = []
        for row in lines[index + 1 :]:
            if not row.lstrip().startswith("|"):
                break
            body.append(cells_of(row))
        yield Table(page, index, cells_of(lines[index - 1]), tuple(body))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_table_of_figures_says_where_they_were_measured(path: Path) -> None:
    problems = [table.problem() for table in tables(name_of(path), path.read_text())]
    assert [problem for problem in problems if problem] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("| a | time |\n|---|---|\n| b | 1.5 ms |", "without a column"),
        ("| a | time, ms |\n| --- | ---: |\n| b | 1.5 |", "without a column"),
        ("| a | size | measured on |\n|---|---|---|\n| b | 10 MB | somewhere |", "somewhere"),
        ("| a | drop | measured on |\n|---|---|---|\n| b | 3 % |", "measured on"),
        ("| a | drop | measured on |\n|---|---|---|\n| b | 0.45x | this x86 |", None),
        ("| a | drop | measured on |\n|---|---|---|\n| b | 3 % (n=4) | real board |", None),
        ("| code | means |\n|---|---|\n| c | the clock moved by more than 5 % |", None),
        ("| key | default |\n|---|---|\n| seed | 0 |", None),
    ],
)
def test_the_check_of_tables_itself(text: str, found: str | None) -> None:
    (table,) = tables("page", text)
    problem = table.problem()
    assert problem is None if found is None else found in (problem or "")


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) < 150


def test_the_support_block_of_the_readme_is_the_generated_one() -> None:
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    made = before + BEGIN + render_readme_block() + END + after
    if UPDATE:
        README.write_text(made)
    assert README.read_text() == made


def test_the_ten_lines_of_the_readme_work(tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    roots = os.pathsep.join(str(ROOT / folder) for folder in (".", "converters", "targets"))
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\d\n", done.stdout)
    assert_documented(tmp_path / "digits.edge")


def assert_documented(path: Path) -> None:
    """Every key of a bundle that was really written stands in docs/bundle.md."""
    page = (ROOT / "docs/bundle.md").read_text()
    keys = {field.name for kind in (Manifest, Variant, TensorSpec, LayerRecord) for field in dataclasses.fields(kind)}
    with Bundle.open(path) as bundle:
        report = bundle.report()
        assert set(report["variants"][0]) <= set(report["variants"][1])
        for part in (report, *(report[name][-1] for name in ("variants", "layers", "worst_samples", "passes"))):
            keys |= set(part)
        keys |= set(report["reference"]) | set(report["calibration"]) | set(report["changes"][0])
        variants = {variant.id for variant in bundle.manifest.variants}
        assert variants == {"onnx-fp32", "onnx-int8", "tflite-fp32", "tflite-int8"}
        assert {name.split("/")[0] for name in bundle.golden()} == {"input", *variants}
    assert sorted(key for key in keys if f"`{key}`" not in page) == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), f"{name_of(path)} links to {target}"
        if anchor:
            assert anchor in anchors(linked.read_text()), f"{name_of(path)} links to {target}"


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def verb_parser(verb: str) -> argparse.ArgumentParser:
    (verbs,) = (action for action in build_parser(verb)._actions if isinstance(action, argparse._SubParsersAction))
    parser = verbs.choices[verb]
    assert isinstance(parser, argparse.ArgumentParser)
    return parser


def commands_in(text: str) -> list[str]:
    """Command lines of edgert, in code blocks and between backquotes, without the word edgert and comments."""
    blocks = re.findall(r"^ {4,}(?:\$ |\.venv/bin/)?edgert ([a-z].*)$", text, re.MULTILINE)
    inline = re.findall(r"`(?:\.venv/bin/)?edgert ([a-z][^`\n]*)`", text)
    return [line.split("#")[0].strip() for line in (*blocks, *inline)]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_verb_and_flag_that_a_page_shows_exists(path: Path) -> None:
    for line in commands_in(path.read_text()):
        verb, _, rest = line.partition(" ")
        assert verb in VERBS, line
        known = verb_parser(verb)._option_string_actions
        flags = re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", rest)
        assert [flag for flag in flags if flag not in known] == [], line


def test_commands_are_found_wherever_they_stand() -> None:
    assert commands_in(
        "    edgert run a # b\n\n    $ edgert demo\n see `edgert doctor`, `.venv/bin/edgert x --y`."
    ) == [
        "run a",
        "demo",
        "doctor",
        "x --y",
    ]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_page_that_is_listed(verb: str) -> None:
    page = ROOT / f"docs/{verb}.md"
    assert page.read_text().startswith(f"# edgert {verb}")
    assert f"({verb}.md)" in (ROOT / "docs/README.md").read_text()


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="argparse prints options differently from Python 3.13 on")
@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_is_the_golden_one(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = (verb_parser(verb) if verb else build_parser()).format_help()
    golden = HELP / f"{verb or 'edgert'}.txt"
    if UPDATE:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("path", DECISIONS, ids=name_of)
def test_decisions_are_short_and_say_what_was_given_up(path: Path) -> None:
    text = path.read_text()
    assert re.match(rf"# {path.name[:4]}: ", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Choice", "What we gave up", "How to undo"]
    assert len(text.splitlines()) < 40


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))
