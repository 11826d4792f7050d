"""tests/bench/arm: the counting plugin on a program of known instructions, its lines, the tables and the record."""

from __future__ import annotations

import dataclasses
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from edgert.codec import from_plain
from tests.bench.arm.counts import Counts, build_plugin, parse_counts
from tests.bench.arm.inference import MARK
from tests.bench.arm.records import Cell
from tests.bench.arm.tables import exceeded, render
from tests.bench.emulated_records import FOLDER, read_record
from tests.bench.quantization.data import ROOT
from tests.bench.quantization.table import replace_block

PAGE = ROOT / "docs" / "arm-instructions.md"
RECORDS = sorted(FOLDER.glob("arm-*.json"))

ENVIRONMENT = {
    "emulator": "qemu-aarch64 version 7.2.22",
    "onnxruntime": "1.31.1",
    "litert": "2.3.0",
    "numpy": "2.4.6",
    "python": "3.11.2",
    "inferences": "4",
}

# encodings as the manual has them, with registers that are not zero
ONE_OF_EACH = {
    "fmla": (0x4E22CC20, 0x4F821020),  # fmla v0.4s, v1.4s, v2.4s; fmla v0.4s, v1.4s, v2.s[0]
    "mlal": (0x0E228020, 0x6E228020, 0x0E22C020, 0x0F422020, 0x4F42A020),  # smlal, umlal2, smull, by element
    "dot": (0x4E829420, 0x6E829420, 0x4F82E020),  # sdot, udot, sdot by element
}
NEITHER = (0x4EA2CC20, 0x4E221C20, 0x8B020020, 0x0E228420)  # fmls, and, add of registers, add of vectors
_HEADERS = 64 + 56


def test_the_plugin_counts_the_instructions_of_a_known_program(tmp_path: Path) -> None:
    if not shutil.which("qemu-aarch64") or not shutil.which("cc"):
        pytest.skip("needs cc and Debian's qemu-user")
    rounds = 1000
    log = tmp_path / "log"
    program = tmp_path / "program"
    program.write_bytes(_elf(_known_program(rounds)))
    program.chmod(0o755)
    plugin = f"{build_plugin(tmp_path)},out={log}"
    subprocess.run(["qemu-aarch64", "-cpu", "cortex-a76", "-plugin", plugin, program], check=True)
    counts = parse_counts(log.read_text())
    body = sum(len(words) for words in ONE_OF_EACH.values()) + len(NEITHER)
    loop = rounds * (body + 2)  # subtract and branch
    assert counts[9] == Counts(
        instructions=loop + 1 + len(_mark(9)),
        **{kind: rounds * len(words) for kind, words in ONE_OF_EACH.items()},
    )


def _known_program(rounds: int) -> list[int]:
    body = [word for words in ONE_OF_EACH.values() for word in words] + list(NEITHER)
    set_counter = 0xD2800000 | rounds << 5 | 5  # movz x5, #rounds
    subtract = 0xF10004A5  # subs x5, x5, #1
    branch = 0x54000001 | (-(len(body) + 1) & 0x7FFFF) << 5  # b.ne
    leave = [0xD2800000, 0xD2800BA8, 0xD4000001]  # exit(0)
    return [*_mark(8), set_counter, *body, subtract, branch, *_mark(9), *leave]


def _mark(number: int) -> list[int]:
    who = MARK + number
    low = 0xD2800000 | (who & 0xFFFF) << 5 | 1  # movz x1
    high = 0xF2A00000 | (who >> 16) << 5 | 1  # movk x1, lsl 16
    return [0xD2800000, low, high, 0xD2800000 | 141 << 5 | 8, 0xD4000001]


def _elf(words: list[int]) -> bytes:
    """A program of one segment at 0x400000 that starts behind its headers."""
    code = struct.pack(f"<{len(words)}I", *words)
    base, size = 0x400000, _HEADERS + len(code)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, base + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return identity + header + segment + code


def test_counts_are_read_by_mark() -> None:
    text = "mark 4 instructions=12 fmla=1\nmark 5 instructions=20 dot=7 mmla=2\nexit 0 instructions=99\n"
    assert parse_counts(text) == {4: Counts(12, fmla=1), 5: Counts(20, dot=7, mmla=2)}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mark x instructions=1", "not a line of the counting plugin: 'mark x instructions=1'"),
        ("mark 1 instructions=1 cycles=2", "counts of cycles in 'mark 1 instructions=1 cycles=2'"),
        ("mark 1 fmla=1", "counts of no instructions in 'mark 1 fmla=1'"),
    ],
)
def test_other_lines_are_refused(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_counts(line)


def _cell(file: str, instructions: int, core: str = "a76", form: str = "onnx", **kinds: int) -> Cell:
    return Cell(core, "kws", file, form, Counts(instructions, **kinds), (instructions,) * 4)


def test_tables_compare_with_the_files_of_others() -> None:
    cells = [_cell("onnx-int8", 990, dot=100, fmla=0), _cell("quantize_static", 1000), _cell("onnx-fp32", 3000)]
    text = render(cells, ENVIRONMENT)
    assert "| DS-CNN (kws) | `onnx-int8` | quantize_static | 0.9900 | emulator, instructions |" in text
    assert "| DS-CNN (kws) | `onnx-int8` | `onnx-fp32` | 0.3300 | emulator, instructions |" in text
    assert "| DS-CNN (kws) | `onnx-int8` | ONNX Runtime | 990 | 100 dot | emulator, instructions |" in text
    assert "never a time" in text
    assert exceeded(cells) == []


def test_what_exceeds_another_file_is_named() -> None:
    cells = [_cell("tflite-int8", 1001, form="tflite"), _cell("published int8", 1000, form="tflite")]
    assert exceeded(cells) == [
        "Cortex-A76, kws: tflite-int8 executes 1,001 instructions, published int8 1,000",
    ]


def test_a_record_of_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text('{"schema": 7, "environment": {"emulator": "x"}}')
    with pytest.raises(ValueError, match="no record of schema 1 with its environment"):
        read_record(path)


@pytest.mark.parametrize("path", RECORDS[-1:], ids=lambda path: path.stem)
def test_the_page_shows_the_newest_record(path: Path) -> None:
    record = read_record(path)
    cells = [from_plain(Cell, cell) for cell in record["cells"]]
    assert dataclasses.asdict(cells[0]) | {"inferences": list(cells[0].inferences)} == record["cells"][0]
    text = PAGE.read_text()
    assert replace_block(text, "arm instructions", render(cells, record["environment"])) == text
