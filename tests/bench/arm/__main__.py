"""Counts the instructions that ONNX Runtime and LiteRT execute per inference on emulated ARM cores; prints the tables.

    make bench-arm
    python -m tests.bench.arm --models kws proxyless --cores a76
    python -m tests.bench.arm --record --write docs/arm-instructions.md
    python -m tests.bench.arm --from profiles/emulated/arm-2026-11-21.json --write docs/arm-instructions.md
    python -m tests.bench.arm --files net.onnx net.tflite

Needs the zoo (EDGERT_ZOO), cc, Debian's qemu-user and mmdebstrap, the network for Debian packages and wheels at the
first run, and root to unpack the former (tests/emulation/rootfs.py). Never part of CI. Exit status 1: a file of
edgert's executes more instructions than the file that it is compared with.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgert.codec import from_plain
from tests.bench.arm.counts import build_plugin
from tests.bench.arm.files import MODELS, Subject, make_files
from tests.bench.arm.machine import CORES, Machine, emulator_version, prepare
from tests.bench.arm.records import Cell
from tests.bench.arm.tables import exceeded, render
from tests.bench.emulated_records import read_record, write_record
from tests.bench.quantization.data import ZOO
from tests.bench.quantization.table import replace_block

BLOCK = "arm instructions"
INFERENCES = 4
"""The first ones grow buffers and plan memory."""


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.record_file is not None:
        record = read_record(arguments.record_file)
        cells, environment = [from_plain(Cell, cell) for cell in record["cells"]], record["environment"]
    elif not (arguments.files or (ZOO / "MANIFEST.md").is_file()):
        print(f"real models and data not found in {ZOO}; set EDGERT_ZOO", file=sys.stderr)
        return 0
    else:
        cells, environment = _measured(arguments)
    if arguments.files:
        return 0
    text = render(cells, environment)
    print(text)
    if arguments.record:
        print(write_record("arm", cells, environment), file=sys.stderr)
    for page in arguments.write:
        page.write_text(replace_block(page.read_text(), BLOCK, text))
    more = exceeded(cells)
    print("\n".join(more), file=sys.stderr)
    return int(bool(more))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", nargs="+", choices=CORES, default=list(CORES))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--files", nargs="+", type=Path, default=[], help="count these .onnx and .tflite files instead")
    parser.add_argument("--record", action="store_true", help="keep the counts under profiles/emulated/")
    parser.add_argument("--from", dest="record_file", type=Path, help="print the tables of a record; measure nothing")
    parser.add_argument("--write", type=Path, nargs="*", default=[], help=f"pages with a block {BLOCK!r}")
    return parser


def _measured(arguments: argparse.Namespace) -> tuple[list[Cell], Mapping[str, str]]:
    cells: list[Cell] = []
    environment = {"emulator": emulator_version(), "inferences": str(INFERENCES), "computer": platform.machine()}
    with tempfile.TemporaryDirectory(prefix="edgert-bench-arm-") as name:
        folder = Path(name)
        plugin = build_plugin(folder)
        machines = [prepare(core, plugin, folder) for core in arguments.cores]
        for model, subjects in _subjects(arguments, folder):
            pairs = itertools.product(subjects, machines)
            cells += [_cell(machine, model, subject, folder, environment) for subject, machine in pairs]
    return cells, environment


def _subjects(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Sequence[Subject]]]:
    if arguments.files:
        yield "", [Subject(str(path), path, path.suffix[1:]) for path in arguments.files]
        return
    for model in arguments.models:
        (folder / model).mkdir()
        yield model, make_files(MODELS[model], folder / model)


def _cell(machine: Machine, model: str, subject: Subject, folder: Path, environment: dict[str, str]) -> Cell:
    counts, said = machine.count(subject.path, subject.format, INFERENCES, folder / "counts.log")
    engine = said["facts"]
    environment |= {engine["engine"]: engine["version"], "numpy": said["numpy"], "python": said["python"]}
    last = counts[1 + INFERENCES]
    totals = tuple(counts[2 + number].instructions for number in range(INFERENCES))
    print(f"{machine.core} {model} {subject.label}: {last}; {engine['dot_product']}", file=sys.stderr, flush=True)
    return Cell(machine.core, model, subject.label, subject.format, last, totals)


if __name__ == "__main__":
    sys.exit(main())
