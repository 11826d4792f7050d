"""The pure parts of tests/bench/microcontrollers: loops in a disassembly, modelled cycles, counts, tables, records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgert.codec import from_plain
from tests.bench.emulated_records import FOLDER, read_record
from tests.bench.microcontrollers.__main__ import write_page
from tests.bench.microcontrollers.boards import ROOT
from tests.bench.microcontrollers.cycles import Executed, instruction_cycles, modelled_cycles
from tests.bench.microcontrollers.disassembly import Instruction, inner_loops, largest_inner_loop, parse_disassembly
from tests.bench.microcontrollers.measure import Cell
from tests.bench.microcontrollers.tables import render, render_headline
from tests.bench.microcontrollers.trace import parse_counts, run_addresses

LISTING = """
firmware.elf:     file format elf32-littlearm

00000100 <edgert_kws_run>:
     100:\te92d 4ffc \tstmdb\tsp!, {r2, r3, r4, lr}
     104:\t2200      \tmovs\tr2, #0
     106:\te8b1 0550 \tldmia.w\tr1!, {r4, r6, r8, sl}
     10a:\t6803      \tldr\tr3, [r0, #0]
     10c:\t5884      \tldr\tr4, [r0, r2]
     10e:\tfb23 2204 \tsmlad\tr2, r3, r4, r2
     112:\td1fa      \tbne.n\t10a <edgert_kws_run+0xa>
     114:\tdcf7      \tbgt.n\t106 <edgert_kws_run+0x6>
     116:\tbd1c      \tpop\t{r2, r3, r4, pc}

00000200 <main>:
     200:\tf7ff ff7e \tbl\t100 <edgert_kws_run>
     204:\te7fe      \tb.n\t204 <main+0x4>
     206:\t0000      \t.short\t0x0000
"""


def _one(mnemonic: str, operands: str) -> Instruction:
    return Instruction(0, 4, mnemonic, operands)


def test_inner_loops_hold_no_other() -> None:
    functions = parse_disassembly(LISTING)
    assert [len(function) for function in functions.values()] == [9, 2]
    loops = inner_loops(functions["edgert_kws_run"])
    assert [(loop.first, loop.size_bytes) for loop in loops] == [(0x10A, 10)]
    assert largest_inner_loop(functions) == (10, "edgert_kws_run")
    assert largest_inner_loop({"empty": []}) == (0, "")


def test_calls_are_no_loops_and_low_overhead_loops_are() -> None:
    text = "00000000 <f>:\n 0:\tbf00      \tnop\n 2:\tf00f c802 \tle\tlr, 0 <f>\n 6:\tf7ff fffb \tbl\t0 <f>\n"
    assert [loop.size_bytes for loop in inner_loops(parse_disassembly(text)["f"])] == [6]


def test_the_run_and_where_it_returns() -> None:
    functions = parse_disassembly(LISTING)
    assert run_addresses(functions) == (0x100, [0x204])
    with pytest.raises(ValueError, match="edgert_kws_run is called nowhere"):
        run_addresses({"edgert_kws_run": functions["edgert_kws_run"]})


@pytest.mark.parametrize(
    ("mnemonic", "operands", "cycles"),
    [
        ("add", "r0, r1", 1),
        ("smlad", "r0, r1, r2, r0", 1),
        ("ldr", "r0, [r1, #4]", 2),
        ("ldrsbne", "r0, [r1]", 2),
        ("strb", "r0, [r1], #1", 1),
        ("str", "r0, [r1, r2]", 2),
        ("ldrd", "r0, r1, [r2], #8", 3),
        ("ldmia", "r1!, {r4, r6, r8, sl}", 5),
        ("push", "{r4, lr}", 3),
        ("vpush", "{d8-d11}", 9),
        ("vldmia", "r0!, {s16-s19}", 5),
        ("vldr", "s0, [r1]", 2),
        ("vldr", "d0, [r1]", 3),
        ("vmov", "r0, r1, d0", 2),
        ("vmovgt", "s0, s1", 1),
        ("vfma.f32", "s0, s1, s2", 3),
        ("vdiv.f32", "s0, s1, s2", 14),
        ("sdiv", "r0, r1, r2", 12),
        ("blt", "10 <f>", 1),
        ("movls", "r0, r1", 1),
    ],
)
def test_cycles_of_arms_table(mnemonic: str, operands: str, cycles: int) -> None:
    assert instruction_cycles(_one(mnemonic, operands)) == cycles


def test_loads_in_a_row_save_a_cycle_unless_the_address_waits() -> None:
    first = _one("ldr", "r3, [r0]")
    assert instruction_cycles(_one("ldrb", "r4, [r1]"), first) == 1
    assert instruction_cycles(_one("ldrb", "r4, [r3]"), first) == 2
    assert instruction_cycles(_one("str", "r4, [r1, r2]"), first) == 1
    assert instruction_cycles(_one("ldr", "r4, [r1]"), _one("add", "r3, r0")) == 2


def test_cycles_of_what_was_executed() -> None:
    functions = parse_disassembly(LISTING)
    executed, data = parse_counts("i 0 266 10 0\ni 0 274 6 4\ni 0 274 4 3\nf 0 48\ni 1 266 5 0\n")
    assert executed[0][274] == Executed(10, 7)
    assert data == {0: 48}
    assert modelled_cycles(functions, executed[0]) == 10 * 2 + 10 * 1 + 7 * 2
    assert modelled_cycles(functions, executed[1]) == 10


RECORDS = sorted(FOLDER.glob("microcontrollers-*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_committed_records_load_and_are_exact(path: Path) -> None:
    record = read_record(path)
    cells = [from_plain(Cell, cell) for cell in record["cells"]]
    figures = [cell.figures for cell in cells if cell.figures is not None]
    assert figures
    assert all(found.samples == found.exact_samples > 0 for found in figures)
    assert {cell.core for cell in cells if cell.figures is None} <= {"microbit"}


@pytest.mark.parametrize("path", RECORDS[-1:], ids=lambda path: path.stem)
def test_the_pages_tables_are_those_of_the_last_record(path: Path) -> None:
    record = read_record(path)
    cells = [from_plain(Cell, cell) for cell in record["cells"]]
    assert render(cells, record["environment"]) in (ROOT / "docs" / "microcontrollers.md").read_text()
    assert render_headline(cells) in (ROOT / "README.md").read_text()


def test_pages_without_a_block_are_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="the page has no block 'microcontroller headline'"):
        write_page(page, [], {})


def test_records_without_environment_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"schema": 1, "cells": []}))
    with pytest.raises(ValueError, match="is no record of schema 1 with its environment"):
        read_record(path)
