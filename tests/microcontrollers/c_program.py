"""Generated C in a program of this computer: inputs on stdin, outputs on stdout, every warning an error, sanitized."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgert.target import read_resource
from edgert_converters.exporters.c import CFolder, Core, export_c
from edgert_converters.importers import import_model

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Wshadow", "-Werror", "-pedantic")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
AS_ANYBODY = ("-O2", "-std=gnu11", "-ffp-contract=fast")
"""Options of a project that never heard of edgert."""
PACKAGES = {
    "cc": "gcc",
    "c++": "g++",
    "cmake": "cmake",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "arm-none-eabi-objdump": "binutils-arm-none-eabi",
    "arm-none-eabi-nm": "binutils-arm-none-eabi",
}
STRICT = ("-O2", "-std=c99", *WARNINGS, *SANITIZERS)

_MAIN = """
#include <stdio.h>
#include "model.h"
static union {{ long long aligned; unsigned char bytes[EDGERT_{upper}_ARENA_BYTES]; }} arena;
int main(void)
{{
    unsigned char *const input = arena.bytes + EDGERT_{upper}_INPUT_OFFSET;
    while (fread(input, EDGERT_{upper}_INPUT_BYTES, 1, stdin) == 1) {{
        edgert_{name}_run(arena.bytes);
        fwrite(arena.bytes + EDGERT_{upper}_OUTPUT_OFFSET, EDGERT_{upper}_OUTPUT_BYTES, 1, stdout);
    }}
    return 0;
}}
"""


def read_kernel(name: str) -> bytes:
    return read_resource("cortex-m", f"c/{name}")


def export_file(path: Path, core: Core, name: str) -> CFolder:
    return export_c(import_model(path, {}).model, core, read_kernel, name=name)


def compile_program(folder: CFolder, where: Path, options: tuple[str, ...]) -> Path:
    """Writes the folder and builds a program around it."""
    return compile_files(folder.files, folder.network.name, where, options)


def compile_files(files: Mapping[str, bytes], model: str, where: Path, options: tuple[str, ...]) -> Path:
    """Writes the files of a model of that name and builds a program around them."""
    where.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (where / name).write_bytes(data)
    (where / "main.c").write_text(_MAIN.format(name=model, upper=model.upper()))
    program = where / "program"
    build(where, "cc", *options, "model.c", "main.c", "-o", program.name)
    return program


def build(where: Path, program: str, *words: str) -> None:
    """Runs a compiler or another program of the build in a folder; it must succeed."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"needs {program} (Debian package {PACKAGES[program]})")
    done = subprocess.run([path, *words], cwd=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]


def run_program(program: Path, inputs: NDArray[np.int8] | NDArray[np.float32]) -> NDArray[np.int8]:
    """Returns everything that the program wrote for inputs [N, ...], flat."""
    done = subprocess.run([program], input=inputs.tobytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[:4000]
    return np.frombuffer(done.stdout, np.int8)
