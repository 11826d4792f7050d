"""The plugin (plugin.c) and what it counted."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r"(mark|exit) (\d+)((?: \w+=\d+)+)")


@dataclass(frozen=True)
class Counts:
    """Executed instructions: all of them, and those that multiply and add.

    Of vectors: `fmla` in float, `mlal` SMLAL, SMULL and their unsigned forms, `dot` SDOT and UDOT, `mmla` matrices of
    8-bit integers. `sve`: any of the scalable extension.
    """

    instructions: int
    fmla: int = 0
    mlal: int = 0
    dot: int = 0
    mmla: int = 0
    sve: int = 0


def parse_counts(text: str) -> dict[int, Counts]:
    """Returns what was counted before each mark since the one before it.

    Raises:
        ValueError: a line is not the plugin's, or holds no count that is known here.
    """
    found = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"not a line of the counting plugin: {line!r}")
        values = {name: int(value) for name, _, value in (pair.partition("=") for pair in match[3].split())}
        unknown = values.keys() - {field.name for field in dataclasses.fields(Counts)}
        if unknown or "instructions" not in values:
            raise ValueError(f"counts of {', '.join(sorted(unknown)) or 'no instructions'} in {line!r}")
        if match[1] == "mark":
            found[int(match[2])] = Counts(**values)
    return found


def build_plugin(folder: Path) -> Path:
    """Compiles the plugin for the emulator on this computer.

    Raises:
        FileNotFoundError: there is no `cc`.
        subprocess.CalledProcessError: it does not compile.
    """
    library = folder / "counts.so"
    source = Path(__file__).with_name("plugin.c")
    options = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["cc", *options, "-o", library, source], check=True)
    return library
