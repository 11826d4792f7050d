"""All kernels in one program: a model may hold any of them beside any other."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from tests.microcontrollers.c_program import WARNINGS, build

HEADERS = {
    entry.name: entry.read_text()
    for entry in (files("edgert_targets") / "cortex_m" / "c").iterdir()
    if entry.name.endswith(".h")
}
ARM = ("-mthumb", "-Wall", "-Wextra", "-Werror")
COMPILERS = {
    "host": ("cc", *WARNINGS),
    "m0": ("arm-none-eabi-gcc", "-mcpu=cortex-m0", *ARM),
    "m4": ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mfloat-abi=hard", *ARM),
    "m55": ("arm-none-eabi-gcc", "-mcpu=cortex-m55", "-mfloat-abi=hard", *ARM),
}


@pytest.mark.parametrize("mode", ["Q31", "FP32"])
@pytest.mark.parametrize("core", COMPILERS)
def test_any_kernel_compiles_beside_any_other(core: str, mode: str, tmp_path: Path) -> None:
    assert len(HEADERS) > 40
    for name, text in HEADERS.items():
        (tmp_path / name).write_text(text)
    named = sorted(HEADERS.keys() - {"edgert_mve_lanes.h"})  # edgert_mve.h takes it where there is no Helium
    lines = [f"#define EDGERT_REQUANTIZE_{mode}", *(f'#include "{name}"' for name in named)]
    (tmp_path / "all.c").write_text("\n".join([*lines, "int all(void) { return 0; }", ""]))
    compiler, *options = COMPILERS[core]
    build(tmp_path, compiler, "-std=c99", *options, "-O1", "-c", "all.c")


def test_headers_are_readable() -> None:
    long = [f"{name}: {line}" for name, text in HEADERS.items() for line in text.splitlines() if len(line) > 120]
    assert not long
