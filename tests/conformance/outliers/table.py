"""Writes the table of docs/quantize.md: what each block keeps with the default, and with one step more or less.

python -m tests.conformance.outliers.table            rewrite the table (minutes)
python -m tests.conformance.outliers.table mbconv     print the rows of these blocks
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgert.errors import EdgertError
from edgert.recipe import Algorithm
from edgert_converters.quantize.draft import Settings
from edgert_converters.quantize.scheme import INT8, INT16X8
from tests.conformance.outliers.block import Fixture
from tests.conformance.outliers.fixtures import ENCODER, FIXTURES
from tests.conformance.outliers.measure import BASELINE, DEFAULT, Measured, measure_draft, prepare_fixture

PAGE = Path(__file__).parents[3] / "docs" / "quantize.md"
BEGIN, END = "<!-- outlier table: begin -->\n", "<!-- outlier table: end -->"
MEASURED_ON = "this x86"
_FOR_OUTLIERS = (Algorithm.SMOOTH, Algorithm.KRONECKER, Algorithm.HADAMARD, Algorithm.KLT)
"""Each is taken out of the default where it is in it, else added to it."""


@dataclass(frozen=True, slots=True)
class Column:
    """One way through the chain."""

    title: str
    settings: Settings


def columns() -> tuple[Column, ...]:
    """Min-max without any step or rule, the default, and the default with and without steps that are for outliers."""
    return (Column("min-max", BASELINE), Column("default", DEFAULT), *(_switched(step) for step in _FOR_OUTLIERS))


def _switched(step: Algorithm) -> Column:
    sign = "-" if step in DEFAULT.algorithms else "+"
    return Column(f"{sign} {step.value}", replace(DEFAULT, algorithms=DEFAULT.algorithms ^ {step}))


def render(fixtures: Sequence[Fixture]) -> Iterator[str]:
    """Yields the lines of the table, a row as soon as it is measured."""
    ways = columns()
    titles = [f"W8A8 {way.title}" for way in ways] + [f"A16W8 {way.title}" for way in ways[:2]]
    yield "| block | input | " + " | ".join(titles) + " | measured on |"
    yield "|" + "---|" * (len(titles) + 3)
    for fixture in fixtures:
        for outlier in (False, True):
            cells = _cells(fixture, ways, outlier=outlier)
            yield f"| {fixture.name} | {'x20' if outlier else 'plain'} | " + " | ".join(cells) + f" | {MEASURED_ON} |"


def _cells(fixture: Fixture, ways: Sequence[Column], *, outlier: bool) -> list[str]:
    narrow, wide = [], []
    for index, way in enumerate(ways):
        try:
            draft, calibration = prepare_fixture(fixture, way.settings, outlier=outlier)
            schemes = (INT8, INT16X8) if index < 2 else (INT8,)
            found = [measure_draft(fixture, draft, calibration, s, way.settings, outlier=outlier) for s in schemes]
        except EdgertError as error:
            sys.stderr.write(f"{fixture.name}, {way.title}: {error}\n")
            narrow.append("-")
            continue
        narrow.append(_text(found[0]))
        wide += [_text(m) for m in found[1:]]
    return narrow + wide


def _text(measured: Measured) -> str:
    """The interpreter's and the engine's figure in dB (one where they agree), and a share of MACs below 100 %."""
    pair = f"{measured.interpreter_db:.1f}", f"{measured.engine_db:.1f}"
    both = pair[0] if abs(measured.interpreter_db - measured.engine_db) < 0.1 else " / ".join(pair)
    return f"{both} dB" if measured.integer_macs > 0.995 else f"{both} dB ({measured.integer_macs:.0%})"


def main(arguments: Sequence[str]) -> int:
    """Prints the rows of the named blocks, or rewrites the page."""
    every = (*FIXTURES, ENCODER)
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.outliers.table")
    parser.add_argument("block", nargs="*", choices=[[], *(fixture.name for fixture in every)])
    named = parser.parse_args(arguments).block
    lines = []
    for line in render([fixture for fixture in every if not named or fixture.name in named]):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        lines.append(f"{line}\n")
    if not named:
        before, rest = PAGE.read_text().split(BEGIN)
        PAGE.write_text(before + BEGIN + "".join(lines) + END + rest.split(END)[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
