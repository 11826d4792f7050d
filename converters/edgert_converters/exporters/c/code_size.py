"""How many bytes of flash the code of a generated folder takes: measured by the compiler of the board, or estimated."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgert_converters.exporters.c.core import Core
from edgert_converters.exporters.c.network import Network

__all__ = ["COMPILER", "CodeSize", "code_size", "estimate_code"]

COMPILER = "arm-none-eabi-gcc"
_OPTIONS = ("-O2", "-std=gnu11", "-mthumb", "-ffunction-sections")
_TIMEOUT_S = 60.0
_FUNCTION_BYTES = 640
_CALL_BYTES = 32
"""Above what GCC 12 makes, at -O2, of the five MLPerf Tiny models: 150 to 600 bytes per function, 16 to 28 per call."""


@dataclass(frozen=True, slots=True)
class CodeSize:
    """Bytes of machine code; `source` says what counted them, None where they are estimated."""

    size_bytes: int
    source: str | None = None


def code_size(files: Mapping[str, bytes], network: Network, core: Core) -> CodeSize:
    """Returns the size of model.c's code, measured where the compiler is installed and knows the core."""
    compiler = shutil.which(COMPILER)
    measured = None if compiler is None else _measure(compiler, files, core)
    return measured or CodeSize(estimate_code(network))


def estimate_code(network: Network) -> int:
    """Returns bytes of code by the number of functions and of calls of them; an estimate on the high side."""
    kinds = {(layer.call.kernel, tuple(layer.call.literals.items())) for layer in network.layers}
    return _FUNCTION_BYTES * len(kinds) + _CALL_BYTES * len(network.layers)


def _measure(compiler: str, files: Mapping[str, bytes], core: Core) -> CodeSize | None:
    """Compiles model.c and adds up its sections of code; None where that does not work, which is no error here."""
    with tempfile.TemporaryDirectory(prefix="edgert-") as name:
        folder = Path(name)
        for file, data in files.items():
            (folder / file).write_bytes(data)
        flags = (f"-mcpu={core.name}", f"-mfloat-abi={'hard' if core.has_fpu else 'soft'}")
        compiled = _run([compiler, *_OPTIONS, *flags, "-c", "model.c"], folder)
        sizes = None if compiled is None else _run([compiler.replace("-gcc", "-size"), "-A", "model.o"], folder)
        version = _run([compiler, "-dumpversion"], folder)
    if sizes is None or version is None:
        return None
    code = sum(int(size) for size in re.findall(r"^\.text\S*\s+(\d+)", sizes, re.MULTILINE))
    return CodeSize(code, f"{COMPILER} {version.strip()} -O2")


def _run(command: list[str], folder: Path) -> str | None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
