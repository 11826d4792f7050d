"""Many generated models in one bare program for a Cortex-M55 with Helium, run once each by QEMU's mps3-an547."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from edgert_converters.exporters.c import CFolder
from edgert_converters.ops.spec import Array
from tests.microcontrollers.boards import need_tools

__all__ = ["run_on_helium"]

_COMPILE = ("arm-none-eabi-gcc", "-mthumb", "-mcpu=cortex-m55", "-mfloat-abi=hard", "-O2", "-std=gnu11")
_WARNINGS = ("-ffp-contract=fast", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter")
_LINK = ("-nostartfiles", "-nodefaultlibs", "-T", "link.ld", "-lc", "-lgcc", "-Wl,--no-warn-rwx-segments")
_RUN = ("qemu-system-arm", "-M", "mps3-an547", "-nographic", "-monitor", "none", "-serial", "none")
_SEMIHOSTING = ("-semihosting-config", "enable=on,target=native", "-kernel", "program.elf")
_SCRIPT = """
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 512K  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 512K }
SECTIONS {
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } > FLASH
    .ARM.exidx : { *(.ARM.exidx*) } > FLASH
    .bss (NOLOAD) : { *(.data*) *(.bss*) *(COMMON) } > RAM
}
"""
_MAIN = """
#include <stdint.h>
#include <string.h>
{includes}
struct part {{ const signed char *values; int32_t offset, bytes; }};
struct model {{ void (*run)(void *); const struct part *inputs; int32_t count, output, bytes; }};
{inputs}
static const struct model models[] = {{
{rows}
}};
static union {{ long long aligned; unsigned char bytes[{arena}]; }} arena;
static uint32_t stack[2048];
static void semihost(int32_t what, const void *values)
{{
    register int32_t r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = values;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}}
static void stop(uint32_t code)
{{
    const uint32_t values[2] = {{0x20026, code}};
    semihost(0x20, values);
}}
static void start(void)
{{
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* FPU and MVE */
    *(volatile uint32_t *)0xE000ED14 |= 1u << 19;   /* low-overhead branches */
    __asm__ volatile("dsb\\n\\tisb");
    for (uint32_t n = 0; n < sizeof models / sizeof models[0]; n++) {{
        const struct model *m = &models[n];
        memset(arena.bytes, 0xA5, sizeof arena.bytes);
        for (int32_t i = 0; i < m->count; i++) {{
            memcpy(arena.bytes + m->inputs[i].offset, m->inputs[i].values, (size_t)m->inputs[i].bytes);
        }}
        m->run(arena.bytes);
        for (int32_t i = 0; i < m->bytes; i++) {{
            const unsigned char value = arena.bytes[m->output + i];
            const char text[3] = {{"0123456789abcdef"[value >> 4], "0123456789abcdef"[value & 15], 0}};
            semihost(4, text);
        }}
        semihost(4, "\\n");
    }}
    stop(0);
}}
static void fault(void) {{ stop(3); }}
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {{
    stack + 2048, start, fault, fault, fault, fault, fault}};
"""


def run_on_helium(
    folders: Sequence[CFolder], feeds: Sequence[Mapping[str, Array]], where: Path, compile_options: Sequence[str] = ()
) -> list[Array]:
    """Returns the only output of every model, flat; `feeds` hold the inputs by buffer name. Skips without the tools."""
    need_tools()
    for folder in folders:
        home = where / folder.network.name
        home.mkdir(parents=True, exist_ok=True)
        for name, data in folder.files.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_bytes(data)
    options = [*_COMPILE, *_WARNINGS, *compile_options, "-c", "model.c", "-o", "model.o"]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda folder: _run(options, where / folder.network.name), folders))
    (where / "main.c").write_text(_main(folders, feeds))
    (where / "link.ld").write_text(_SCRIPT)
    objects = [f"{folder.network.name}/model.o" for folder in folders]
    _run([*_COMPILE, "-Wno-array-bounds", "main.c", *objects, *_LINK, "-o", "program.elf"], where)
    lines = _run([*_RUN, *_SEMIHOSTING], where).split()
    assert len(lines) == len(folders)
    return [np.frombuffer(bytes.fromhex(line), np.int8) for line in lines]


def _main(folders: Sequence[CFolder], feeds: Sequence[Mapping[str, Array]]) -> str:
    rows, inputs = [], []
    for n, (folder, feed) in enumerate(zip(folders, feeds, strict=True)):
        network, offsets = folder.network, folder.plan.offsets
        parts = []
        for i in network.inputs:
            values = np.ascontiguousarray(feed[network.buffers[i].name]).reshape(-1)
            inputs.append(f"static const signed char values_{n}_{i}[] = {{{', '.join(map(str, values))}}};")
            parts.append(f"{{values_{n}_{i}, {offsets[i]}, {len(values)}}}")
        inputs.append(f"static const struct part inputs_{n}[] = {{{', '.join(parts)}}};")
        output = network.outputs[0]
        ends = f"{offsets[output]}, {network.buffers[output].size_bytes}"
        rows.append(f"    {{edgert_{network.name}_run, inputs_{n}, {len(parts)}, {ends}}},")
    return _MAIN.format(
        includes="\n".join(f'#include "{folder.network.name}/model.h"' for folder in folders),
        inputs="\n".join(inputs),
        rows="\n".join(rows),
        arena=max(folder.plan.arena_bytes for folder in folders),
    )


def _run(command: Sequence[str], where: Path) -> str:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{where}: {done.stderr[:4000]}"
    return done.stdout + done.stderr
