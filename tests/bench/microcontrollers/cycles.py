"""Modelled cycles of a Cortex-M4: executed instructions, weighted by Arm's table of instruction timings.

Source: Arm, Cortex-M4 Processor Technical Reference Manual r0p1 (100166), tables 3-1 and 7-1 and "Load/store timings".
The table holds without wait states. Where it gives a range: a taken branch refills the pipeline in 2 cycles (P is 1 to
3), a division takes its longest, 12. Not modelled: flash wait states, stalls on an address that the instruction before
computed, contention between fetching code and reading literals, folding of IT. So it is a lower figure than a board's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.microcontrollers.disassembly import Instruction

REFILL_CYCLES = 2
_FIXED = {"sdiv": 12, "udiv": 12, "vdiv": 14, "vsqrt": 14, "vmla": 3, "vmls": 3, "vnmla": 3, "vnmls": 3}
_FIXED |= {"vfma": 3, "vfms": 3, "vfnma": 3, "vfnms": 3, "ldrd": 3, "strd": 3, "tbb": 2, "tbh": 2}
_MULTIPLE = re.compile(r"^(v?ldm|v?stm|v?push|v?pop)(ia|db|ea|fd)?$")
_LOAD, _STORE = re.compile(r"^ldr(s?[bh])?t?$"), re.compile(r"^str[bh]?t?$")
_CONDITION = re.compile(r"(eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)$")
_BASE = re.compile(r"\[(\w+)")


@dataclass(frozen=True)
class Executed:
    """How often an instruction ran, and how often another than the one behind it followed."""

    count: int
    taken: int


def instruction_cycles(instruction: Instruction, before: Instruction | None = None) -> int:
    """Returns the cycles of an instruction that follows `before` and does not branch away."""
    name = _plain_name(instruction.mnemonic)
    if name in _FIXED:
        return _FIXED[name]
    if _MULTIPLE.match(name):
        return 1 + _registers(instruction.operands)
    if name in {"vldr", "vstr"}:
        return 3 if instruction.operands.startswith("d") else 2
    if name == "vmov" and len(instruction.operands.split(",")) == 3:
        return 2
    if _LOAD.match(name):
        return 1 if _is_paired(before, instruction) else 2
    if _STORE.match(name):
        return 2 if _has_register_offset(instruction) and not _is_paired(before, instruction) else 1
    return 1


def modelled_cycles(functions: Mapping[str, Sequence[Instruction]], executed: Mapping[int, Executed]) -> int:
    """Returns the cycles of everything executed in `functions`, by address."""
    total = 0
    for function in functions.values():
        before: Instruction | None = None
        for one in function:
            runs = executed.get(one.address)
            if runs is not None:
                total += runs.count * instruction_cycles(one, before) + runs.taken * REFILL_CYCLES
            before = one
    return total


def _plain_name(mnemonic: str) -> str:
    """Without data type and condition: vadd.f32 is vadd, ldrne ldr."""
    name = mnemonic.split(".", maxsplit=1)[0]
    bare = _CONDITION.sub("", name)
    known = bare in _FIXED or any(form.match(bare) for form in (_MULTIPLE, _LOAD, _STORE))
    return bare if known or bare in {"vldr", "vstr", "vmov"} else name


def _registers(operands: str) -> int:
    inside = operands[operands.index("{") + 1 : operands.index("}")]
    total = 0
    for part in inside.split(","):
        ends = [re.sub(r"\D", "", name) for name in part.split("-")]
        words = 2 if part.strip().startswith("d") else 1
        total += words * (int(ends[1]) - int(ends[0]) + 1 if len(ends) == 2 else 1)
    return total


def _is_paired(before: Instruction | None, instruction: Instruction) -> bool:
    """A single load right before saves a cycle, unless the address needs what it loads."""
    if before is None or not _LOAD.match(_plain_name(before.mnemonic)):
        return False
    base = _BASE.search(instruction.operands)
    return base is None or base.group(1) != before.operands.split(",", maxsplit=1)[0]


def _has_register_offset(instruction: Instruction) -> bool:
    inside = instruction.operands[instruction.operands.find("[") :]
    return bool(re.match(r"\[\w+, [a-z]", inside))
