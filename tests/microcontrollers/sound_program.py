"""Generated front end and model in one program, for this computer or an emulated board: clips in, features and scores.

The program reads clips.bin and writes results.bin, on a board through semihosting; per run of the model the integers
of its input, then those of its output. On a board the instructions of all front-end calls come last.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgert.bundle import Step
from edgert_converters.exporters.c.frontend import export_frontend
from edgert_converters.exporters.c.network import Network
from tests.microcontrollers.boards import need_tools
from tests.microcontrollers.c_program import read_kernel

__all__ = ["Heard", "on_board", "on_host", "write_program"]

_HOST = """
#include <stdio.h>
static FILE *clips, *results;
static int get(void *to, unsigned bytes) { return fread(to, bytes, 1, clips) == 1; }
static void put(const void *from, unsigned bytes) { fwrite(from, bytes, 1, results); }
static void hear(void);
static void start_clock(void) {}
static void stop_clock(void) {}
int main(void)
{
    clips = fopen("clips.bin", "rb");
    results = fopen("results.bin", "wb");
    hear();
    fclose(clips);
    return fclose(results);
}
"""
_BOARD = """
static uint32_t stack[1024], instructions, clips, results;
static volatile uint32_t *const timer = (volatile uint32_t *)0xE000E010;
static uint32_t semihost(uint32_t what, const void *values)
{
    register uint32_t r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = values;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}
static uint32_t call(uint32_t what, uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t values[3] = {a, b, c};
    return semihost(what, values);
}
static int get(void *to, unsigned bytes) { return !call(6, clips, (uint32_t)to, bytes); }
static void put(const void *from, unsigned bytes) { call(5, results, (uint32_t)from, bytes); }
static void hear(void);
static void start_clock(void) { timer[2] = 0; }
static void stop_clock(void) { instructions += (0xFFFFFF - timer[2]) * 40; }
static void start(void)
{
    timer[1] = 0xFFFFFF;
    timer[0] = 5;
    clips = call(1, (uint32_t)"clips.bin", 1, 9);
    results = call(1, (uint32_t)"results.bin", 5, 11);
    hear();
    put(&instructions, 4);
    call(0x20, 0x20026, 0, 0);
}
static void fault(void) { call(0x20, 0x20026, 3, 0); }
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    stack + 1024, start, fault, fault, fault, fault, fault};
"""
_HEAD = """
#include <string.h>
#include "model.h"
#include "frontend.h"
{platform}
#define SIZE(bytes) (((bytes) + 7) / 8)
static long long arena[SIZE(EDGERT_{upper}_ARENA_BYTES)];
#define INPUT ((int8_t *)arena + EDGERT_{upper}_INPUT_OFFSET)
#define OUTPUT ((int8_t *)arena + EDGERT_{upper}_OUTPUT_OFFSET)
static int16_t audio[{samples}];
static void answer(void)
{{
    put(INPUT, EDGERT_{upper}_INPUT_BYTES);
    edgert_{name}_run(arena);
    put(OUTPUT, EDGERT_{upper}_OUTPUT_BYTES);
}}
"""
_NO_MODEL = """
#include <string.h>
#include "frontend.h"
{platform}
#define SIZE(bytes) (((bytes) + 7) / 8)
#define EDGERT_{upper}_INPUT_OFFSET 0
#define EDGERT_{upper}_INPUT_BYTES {features}
static long long arena[SIZE({features}) + SIZE(EDGERT_{upper}_SCRATCH_BYTES)];
#define INPUT ((int8_t *)arena)
static int16_t audio[{samples}];
static void answer(void) {{ put(INPUT, {features}); }}
"""
_MFCC = """
/* in the arena, beside the input: the model overwrites it only afterwards */
#define SCRATCH (EDGERT_{upper}_INPUT_OFFSET >= EDGERT_{upper}_SCRATCH_BYTES ? arena \\
                 : arena + SIZE(EDGERT_{upper}_INPUT_OFFSET + EDGERT_{upper}_INPUT_BYTES))
static void hear(void)
{{
    while (get(audio, sizeof audio)) {{
        start_clock();
        edgert_{name}_features(audio, INPUT, SCRATCH);
        stop_clock();
        answer();
    }}
}}
"""
_MICRO = """
static edgert_{name}_sound sound;
static long long scratch[SIZE(EDGERT_{upper}_SCRATCH_BYTES)];
static int8_t rows[EDGERT_{upper}_INPUT_BYTES];
static int32_t filled;
/* the samples of one interrupt */
static void push(const int16_t *samples, int32_t count)
{{
    while (count > 0) {{
        int32_t is_row;
        start_clock();
        const int32_t taken = edgert_{name}_push(&sound, samples, count, rows + filled, &is_row, scratch);
        stop_clock();
        samples += taken;
        count -= taken;
        filled += is_row ? EDGERT_{upper}_ROW_BYTES : 0;
        if (filled == EDGERT_{upper}_INPUT_BYTES) {{
            filled = 0;
            memcpy(INPUT, rows, sizeof rows);
            answer();
        }}
    }}
}}
static void hear(void)
{{
    while (get(audio, sizeof audio)) {{
        filled = 0;
        edgert_{name}_listen(&sound);
        {reset}
        for (int32_t start = 0; start < {samples}; start += {piece}) {{
            push(audio + start, {samples} - start < {piece} ? {samples} - start : {piece});
        }}
    }}
}}
"""
_SCRIPT = """
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 4M  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
SECTIONS {
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } > FLASH
    .ARM.exidx : { *(.ARM.exidx*) } > FLASH
    .bss (NOLOAD) : { *(.data*) *(.bss*) *(COMMON) } > RAM
}
"""
_LINK = ("-nostartfiles", "-nodefaultlibs", "-T", "link.ld", "-lc", "-lgcc", "-Wl,--no-warn-rwx-segments")


@dataclass(frozen=True)
class Heard:
    """What the program wrote: int8[runs, features], int8[runs, classes], and instructions of the front end."""

    features: NDArray[np.int8]
    scores: NDArray[np.int8]
    instructions: int = 0


def write_program(
    network: Network,
    step: Step,
    where: Path,
    files: Mapping[str, bytes],
    *,
    samples: int = 16000,
    piece: int = 0,
    board: bool = False,
) -> None:
    """Writes model, front end and a program around them.

    Args:
        network: the front end fills its input.
        step: of the front end.
        where: the folder to write.
        files: of the model; none: the front end alone, whose features are the only results.
        samples: in a clip.
        piece: how many samples a stream gets at once.
        board: whether the program is for a board.
    """
    where.mkdir(parents=True, exist_ok=True)
    for name, data in {**files, **export_frontend(step, network, read_kernel)}.items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_bytes(data)
    name = network.name
    names = {
        "name": name,
        "upper": name.upper(),
        "samples": samples,
        "piece": piece,
        "features": network.buffers[network.inputs[0]].size_bytes,
        "reset": f"edgert_{name}_reset(arena);" if network.states else "",
    }
    text = ((_HEAD if files else _NO_MODEL) + (_MICRO if piece else _MFCC)).format(
        platform=_BOARD if board else _HOST, **names
    )
    (where / "main.c").write_text(text)
    (where / "link.ld").write_text(_SCRIPT)


def on_host(
    where: Path, network: Network, clips: NDArray[np.int16], options: Sequence[str], *, model: bool = True
) -> Heard:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (Debian package gcc)")
    sources = ["model.c", "frontend.c", "main.c"] if model else ["frontend.c", "main.c"]
    _run([compiler, *options, *sources, "-o", "program"], where)
    return _hear(where, network, clips, ["./program"], model=model)


def on_board(where: Path, network: Network, clips: NDArray[np.int16], machine: str, cpu: str) -> Heard:
    need_tools()
    options = ["-mthumb", f"-mcpu={cpu}", "-mfloat-abi=soft", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror"]
    _run(["arm-none-eabi-gcc", *options, "model.c", "frontend.c", "main.c", *_LINK, "-o", "program.elf"], where)
    command = ["qemu-system-arm", "-M", machine, "-nographic", "-monitor", "none", "-serial", "none"]
    semihosting = ["-semihosting-config", "enable=on,target=native", "-icount", "shift=0", "-kernel", "program.elf"]
    return _hear(where, network, clips, [*command, *semihosting])


def _hear(
    where: Path, network: Network, clips: NDArray[np.int16], command: Sequence[str], *, model: bool = True
) -> Heard:
    (where / "clips.bin").write_bytes(clips.astype("<i2").tobytes())
    _run(command, where)
    sizes = [network.buffers[network.inputs[0]].size_bytes]
    sizes.append(network.buffers[network.outputs[0]].size_bytes if model else 0)
    written = (where / "results.bin").read_bytes()
    runs, rest = divmod(len(written), sum(sizes))
    rows = np.frombuffer(written, np.int8, runs * sum(sizes)).reshape(runs, sum(sizes))
    instructions = int.from_bytes(written[len(written) - rest :], "little")
    return Heard(rows[:, : sizes[0]], rows[:, sizes[0] :], instructions)


def _run(command: Sequence[str], where: Path) -> None:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{command[0]}: {done.stderr[:4000]}"
