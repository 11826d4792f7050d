"""Programs around generated C: two models, arenas, sections, C++, CMake, bare metal, and the lines that docs show."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgert_converters.exporters.c import Core, Instructions
from tests.microcontrollers.c_program import STRICT, build, export_file
from tests.microcontrollers.test_exact import MODELS

DOCS = Path(__file__).parents[2] / "docs" / "microcontrollers.md"
NAMES = ("kws", "micro_speech")
M4 = Core("cortex-m4", Instructions.DSP, has_fpu=True)
ARM = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-O2", "-ffunction-sections")
SHARED_ARENA = """
#define LARGER ({first} > {second} ? {first} : {second})
static union {{ long long aligned; unsigned char bytes[LARGER]; }} shared;
"""
CHECK = """
static int check_{name}(unsigned char *arena)
{{
    memcpy(arena + EDGERT_{upper}_INPUT_OFFSET, input_{name}, EDGERT_{upper}_INPUT_BYTES);
    edgert_{name}_run(arena);
    return memcmp(arena + EDGERT_{upper}_OUTPUT_OFFSET, output_{name}, EDGERT_{upper}_OUTPUT_BYTES) != 0;
}}
"""
START = """
int main(void);
void start(void)
{
    *(volatile unsigned *)0xE000ED88 |= 0xFu << 20; /* the FPU */
    __asm__ volatile("dsb\\n isb");
    register long call __asm__("r0") = 0x18; /* semihosting: exit */
    register long how __asm__("r1") = main() ? 0x20024 : 0x20026;
    call = 0x18;
    __asm__ volatile("bkpt 0xab" : : "r"(call), "r"(how) : "memory");
}
extern unsigned char stack_top[];
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {stack_top, (const void *)start};
"""
BOARD_LD = """
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 4M RAM (rw) : ORIGIN = 0x20000000, LENGTH = 256K }
ENTRY(start)
SECTIONS {
  .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } > FLASH
  .weights : { *(.weights) } > FLASH
  .bss (NOLOAD) : { *(.bss*) *(COMMON) } > RAM
  stack_top = ORIGIN(RAM) + LENGTH(RAM);
}
"""
ARDUINO = """
#include <stdint.h>
struct { void begin(long) {} void println(int8_t) {} } Serial;
"""
CMAKE = """cmake_minimum_required(VERSION 3.13)
project(app C CXX)
add_executable(app main.{suffix})
"""


def write_models(where: Path, zoo: Path, core: Core, names: tuple[str, ...] = NAMES) -> Path:
    """A folder per model, and data.h with one sample of each and what TensorFlow Lite Micro answered."""
    lines = []
    for name in names:
        (where / name).mkdir(parents=True)
        for file, data in export_file(zoo / "models" / f"{MODELS[name]}.tflite", core, name).files.items():
            (where / name / file).write_bytes(data)
        for kind, file in (("input", "inputs"), ("output", "outputs_tflm")):
            values = np.load(zoo / "mcu" / f"{name}.{file}.npy")[0].reshape(-1)
            lines.append(f"static const signed char {kind}_{name}[] = {{{', '.join(map(str, values))}}};")
    (where / "data.h").write_text("\n".join(lines) + "\n")
    return where


def program_text(names: tuple[str, ...] = NAMES, *, prefix: str = "", before: str = "", arena: str = "") -> str:
    """A program that runs the models in turns, twice, and returns how often one answered wrongly."""
    includes = [f'#include "{prefix}{name}/model.h"' for name in names]
    sizes = [f"EDGERT_{name.upper()}_ARENA_BYTES" for name in (*names, *names)]
    shared = "" if arena else SHARED_ARENA.format(first=sizes[0], second=sizes[1])
    checks = [CHECK.format(name=name, upper=name.upper()) for name in names]
    calls = [f"check_{name}({arena.format(name=name) or 'shared.bytes'})" for name in (*names, *names)]
    main = f"int main(void) {{ return {' + '.join(calls)}; }}"
    return "\n".join(["#include <string.h>", *includes, '#include "data.h"', before, shared, *checks, main, ""])


def in_qemu(program: Path) -> int:
    emulator = shutil.which("qemu-system-arm")
    if emulator is None:
        pytest.skip("needs qemu-system-arm (Debian package qemu-system-arm)")
    words = ["-M", "mps2-an386", "-nographic", "-semihosting-config", "enable=on,target=native", "-kernel", program]
    return subprocess.run([emulator, *words], timeout=60, check=False, stdin=subprocess.DEVNULL).returncode


def snippet(after: str) -> str:
    """The first block of code behind these words of the docs."""
    found = re.search(r"```\w+\n(.*?)```", DOCS.read_text().partition(after)[2], re.DOTALL)
    assert found is not None
    return found[1]


def test_two_models_share_an_arena_on_this_computer(zoo: Path, tmp_path: Path) -> None:
    write_models(tmp_path, zoo, Core("host"))
    (tmp_path / "main.c").write_text(program_text())
    build(tmp_path, "cc", *STRICT, "main.c", *(f"{name}/model.c" for name in NAMES), "-o", "app")
    assert subprocess.run([tmp_path / "app"], check=False).returncode == 0


def test_two_models_on_a_core_with_weights_and_arenas_in_sections(zoo: Path, tmp_path: Path) -> None:
    write_models(tmp_path, zoo, M4)
    (tmp_path / "board.ld").write_text(BOARD_LD)
    (tmp_path / "main.c").write_text(program_text(before=START, arena="edgert_{name}_arena"))
    macros = (
        '-DEDGERT_WEIGHTS=__attribute__((section(".weights")))',
        '-DEDGERT_STATIC_ARENA=__attribute__((section(".bss.fast")))',
    )
    for name in NAMES:
        build(
            tmp_path, "arm-none-eabi-gcc", *ARM, *macros, "-Wall", "-Werror", "-c", f"{name}/model.c", "-o", f"{name}.o"
        )
    objects = [f"{name}.o" for name in NAMES]
    build(
        tmp_path, "arm-none-eabi-gcc", *ARM, *macros, "-nostartfiles", "main.c", *objects, "-Tboard.ld", "-o", "app.elf"
    )
    assert in_qemu(tmp_path / "app.elf") == 0
    shown = subprocess.run(
        ["arm-none-eabi-objdump", "-h", "kws.o"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    sizes = {
        name: int(size, 16) for name, size in re.findall(r"^ +\d+ (\S+) +([0-9a-f]{8})", shown.stdout, re.MULTILINE)
    }
    assert sizes[".weights"] > 22_000
    assert sizes[".bss.fast"] == 16_256
    assert sum(size for name, size in sizes.items() if name.startswith((".rodata", ".data"))) == 0
    assert re.search(r"\.bss\.fast.*\n +ALLOC\n", shown.stdout), "an arena takes no flash"


def test_a_program_in_cpp_with_the_models_own_arena(zoo: Path, tmp_path: Path) -> None:
    write_models(tmp_path, zoo, Core("host"), ("micro_speech",))
    (tmp_path / "main.cpp").write_text(program_text(("micro_speech",), arena="edgert_{name}_arena"))
    build(tmp_path, "cc", *STRICT, "-DEDGERT_STATIC_ARENA=", "-c", "micro_speech/model.c", "-o", "model.o")
    warnings = ("-std=c++11", "-Wall", "-Wextra", "-pedantic", "-Werror", *STRICT[-2:])
    build(tmp_path, "c++", *warnings, "-DEDGERT_STATIC_ARENA=", "main.cpp", "model.o", "-o", "app")
    assert subprocess.run([tmp_path / "app"], check=False).returncode == 0


def test_the_lines_for_cmake(zoo: Path, tmp_path: Path) -> None:
    write_models(tmp_path, zoo, Core("host"))
    shown = snippet("**CMake**")
    assert "add_subdirectory(kws)" in shown
    (tmp_path / "CMakeLists.txt").write_text(CMAKE.format(suffix="cpp") + shown + shown.replace("kws", "micro_speech"))
    (tmp_path / "main.cpp").write_text(program_text())
    build(tmp_path, "cmake", "-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=Release")
    build(tmp_path, "cmake", "--build", "build")
    assert subprocess.run([tmp_path / "build" / "app"], check=False).returncode == 0


def test_the_lines_for_bare_metal(zoo: Path, tmp_path: Path) -> None:
    write_models(tmp_path, zoo, M4, ("kws",))
    (tmp_path / "board.ld").write_text(BOARD_LD)
    (tmp_path / "main.c").write_text(program_text(("kws",), before=START).replace("kws/model.h", "model.h"))
    commands = snippet("**Bare metal**").splitlines()
    assert len(commands) == 2
    for command in commands:
        program, *words = shlex.split(command)
        build(tmp_path, program, *words, *([] if "-c" in words else ["-nostartfiles"]))
    assert in_qemu(tmp_path / "app.elf") == 0


def test_the_lines_that_call_a_model(zoo: Path, tmp_path: Path) -> None:
    write_models(tmp_path, zoo, Core("host"), ("kws",))
    globals_, _, body = snippet("## What comes out").partition("\n\nmemcpy")
    text = f"#include <string.h>\n{globals_}\nvoid use(const void *samples, void *scores)\n{{\nmemcpy{body}}}\n"
    (tmp_path / "use.c").write_text(text)
    build(tmp_path, "cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Ikws", "-c", "use.c", "-o", "use.o")
    sketch = tmp_path / "sketch"
    shutil.copytree(tmp_path / "kws", sketch / "src" / "kws")
    (sketch / "Arduino.h").write_text(ARDUINO)
    (sketch / "sketch.cpp").write_text(snippet("**Arduino**"))
    build(sketch, "c++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-include", "Arduino.h", "-c", "sketch.cpp")
