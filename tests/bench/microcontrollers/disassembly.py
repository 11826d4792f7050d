"""Instructions of an ELF file, function by function, and the loops in them. objdump reads the file."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

OBJDUMP, NM = "arm-none-eabi-objdump", "arm-none-eabi-nm"
_FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
_LINE = re.compile(r"^ *([0-9a-f]+):\t([0-9a-f ]+?) *\t(\S+)(?:\t(.*))?$")
_TARGET = re.compile(r"\b([0-9a-f]+) <")
_CONDITIONS = "eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al"
_JUMP = re.compile(rf"^(b({_CONDITIONS})?|cbn?z|le|letp)$")


@dataclass(frozen=True)
class Instruction:
    """`mnemonic` without the width that an assembler may be asked for (.n, .w)."""

    address: int
    size_bytes: int
    mnemonic: str
    operands: str

    @property
    def jump_target(self) -> int | None:
        """Where a branch that is no call goes to; None for all else."""
        found = _TARGET.search(self.operands) if _JUMP.match(self.mnemonic) else None
        return int(found.group(1), 16) if found else None


@dataclass(frozen=True)
class Loop:
    """Code from the first instruction of a loop to behind the branch that closes it."""

    first: int
    behind: int

    @property
    def size_bytes(self) -> int:
        return self.behind - self.first

    def holds(self, other: Loop) -> bool:
        return self != other and self.first <= other.first and other.behind <= self.behind


def disassemble(elf: Path) -> dict[str, list[Instruction]]:
    return parse_disassembly(_output(OBJDUMP, "-d", str(elf)))


def parse_disassembly(text: str) -> dict[str, list[Instruction]]:
    """Returns the instructions by function from what `objdump -d` prints."""
    functions: dict[str, list[Instruction]] = {}
    current: list[Instruction] = []
    for line in text.splitlines():
        name, row = _FUNCTION.match(line), _LINE.match(line)
        if name is not None:
            current = functions.setdefault(name.group(1), [])
        elif row is not None and not row.group(3).startswith("."):
            digits = row.group(2).replace(" ", "")
            operands = (row.group(4) or "").split(";")[0].split("@")[0].strip()
            mnemonic = re.sub(r"\.[nw]$", "", row.group(3))
            current.append(Instruction(int(row.group(1), 16), len(digits) // 2, mnemonic, operands))
    return functions


def inner_loops(function: Sequence[Instruction]) -> list[Loop]:
    """Returns the loops of a function that hold no other loop, first to last."""
    if not function:
        return []
    start = function[0].address
    ends: dict[int, int] = {}
    for one in function:
        target = one.jump_target
        if target is not None and start <= target <= one.address:
            ends[target] = max(ends.get(target, 0), one.address + one.size_bytes)
    loops = [Loop(first, behind) for first, behind in sorted(ends.items())]
    return [loop for loop in loops if not any(loop.holds(other) for other in loops)]


def largest_inner_loop(functions: Mapping[str, Sequence[Instruction]]) -> tuple[int, str]:
    """Returns its size in bytes and the function it is in; (0, "") where there is no loop."""
    found = [(loop.size_bytes, name) for name, function in functions.items() for loop in inner_loops(function)]
    return max(found, default=(0, ""))


def code_symbols(file: Path) -> set[str]:
    """Returns the functions that an object file defines."""
    rows = (line.split() for line in _output(NM, str(file)).splitlines())
    return {row[-1] for row in rows if len(row) == 3 and row[1] in "tT"}


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
