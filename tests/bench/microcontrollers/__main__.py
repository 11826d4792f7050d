"""Builds the zoo's int8 models for emulated boards, runs them in QEMU, checks every byte and prints the tables.

    python -m tests.bench.microcontrollers
    python -m tests.bench.microcontrollers --cores m4 m55 --models kws ad
    python -m tests.bench.microcontrollers --record --write docs/microcontrollers.md README.md
    python -m tests.bench.microcontrollers --from profiles/emulated/microcontrollers-2026-11-21.json

Needs the zoo (EDGERT_ZOO), cc, arm-none-eabi-gcc and qemu-system-arm. Never part of CI. Exit status 1: a byte differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from edgert.codec import from_plain
from tests.bench.emulated_records import read_record, write_record
from tests.bench.microcontrollers.boards import CORES, MODELS, ZOO, is_wanted
from tests.bench.microcontrollers.measure import Cell, measure
from tests.bench.microcontrollers.records import describe_tools
from tests.bench.microcontrollers.tables import ratio_to_peer, render, render_headline
from tests.bench.quantization.table import replace_block

TABLES, HEADLINE = BLOCKS = ("microcontroller figures", "microcontroller headline")


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.record_file is None and not (ZOO / "MANIFEST.md").is_file():
        print(f"real models and data not found in {ZOO}; set EDGERT_ZOO", file=sys.stderr)
        return 0
    cells, environment = _cells(arguments)
    text = render(cells, environment)
    print(text)
    for page in arguments.write:
        write_page(page, cells, environment)
    wrong = [cell for cell in cells if cell.figures is not None and cell.figures.exact_samples != cell.figures.samples]
    return int(bool(wrong))


def write_page(page: Path, cells: list[Cell], environment: Mapping[str, str]) -> None:
    """Replaces the block of all tables, or that of the headline, whichever the page has.

    Raises:
        ValueError: it has neither.
    """
    text = page.read_text()
    if f"<!-- {TABLES}: begin -->" in text:
        page.write_text(replace_block(text, TABLES, render(cells, environment)))
    else:
        page.write_text(replace_block(text, HEADLINE, render_headline(cells)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", nargs="+", choices=CORES, default=list(CORES))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--samples", type=int, default=4, help="that are run and compared")
    parser.add_argument("--jobs", type=int, default=1, help="models at a time")
    parser.add_argument("--record", action="store_true", help="keep the figures under profiles/emulated/")
    parser.add_argument("--from", dest="record_file", type=Path, help="print the tables of a record; measure nothing")
    parser.add_argument("--write", type=Path, nargs="*", default=[], help=f"pages with a block of {', '.join(BLOCKS)}")
    return parser


def _cells(arguments: argparse.Namespace) -> tuple[list[Cell], Mapping[str, str]]:
    if arguments.record_file is not None:
        record = read_record(arguments.record_file)
        return [from_plain(Cell, cell) for cell in record["cells"]], record["environment"]
    cells = list(_measured(arguments))
    if arguments.record:
        print(write_record("microcontrollers", cells, describe_tools()), file=sys.stderr)
    return cells, describe_tools()


def _measured(arguments: argparse.Namespace) -> Iterator[Cell]:
    pairs = [(core, model) for core in arguments.cores for model in arguments.models if is_wanted(core, model)]
    cores, models = zip(*pairs, strict=True)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for cell in pool.map(measure, cores, models, [arguments.samples] * len(pairs)):
            print(_line(cell), file=sys.stderr, flush=True)
            yield cell


def _line(cell: Cell) -> str:
    if cell.figures is None:
        return f"{cell.core} {cell.model}: {cell.refused}"
    ratio = ratio_to_peer(cell.core, cell.model, cell.figures)
    beside = "" if ratio is None else f" ({ratio:.3f})"
    figures = cell.figures
    return (
        f"{cell.core} {cell.model}: {figures.instructions:,} instructions{beside}, exact {figures.exact_samples} of "
        f"{figures.samples}, code {figures.model_code_bytes:,}, RAM {figures.ram_bytes:,}"
    )


if __name__ == "__main__":
    sys.exit(main())
