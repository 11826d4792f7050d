"""Instructions, flash and RAM of the audio front ends on emulated boards, for docs/microcontrollers.md.

    python -m tests.bench.microcontrollers.front_end

Needs the zoo (EDGERT_ZOO), arm-none-eabi-gcc and qemu-system-arm. Every byte is compared with Python's before a figure
is printed.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Step
from edgert.quant import quantize
from edgert.runtime.preprocess import build_preprocess
from edgert_converters.exporters.c import Core, Instructions, export_c
from edgert_converters.exporters.c.network import Network
from edgert_converters.importers import import_model
from tests.bench.microcontrollers.boards import ZOO
from tests.microcontrollers.c_program import read_kernel
from tests.microcontrollers.sound_program import on_board, write_program

CORES = {
    "M0": ("mps2-an385", "cortex-m0", Core("cortex-m0", has_fpu=False)),
    "M3": ("mps2-an385", "cortex-m3", Core("cortex-m3", has_fpu=False)),
    "M4": ("mps2-an386", "cortex-m4", Core("cortex-m4", Instructions.DSP)),
}
FRONT_ENDS: dict[str, tuple[str, Step, int]] = {
    "mfcc": ("mlperf_tiny_kws_dscnn_int8", {"op": "mfcc"}, 0),
    "micro_frontend": ("micro_speech", {"op": "micro_frontend", "step": 320}, 320),
}
CLIPS = 3
WINDOWS = 49


def main() -> None:
    clips = np.load(ZOO / "data/speech_commands_v2_wav_60.npz")["wav_int16"][::20][:CLIPS]
    print("| front end | core | instructions per window | code bytes | tables bytes | scratch bytes | measured on |")
    print("|---|---|---|---|---|---|---|")
    for name in FRONT_ENDS:
        for core in CORES:
            print(_row(name, core, clips))


def _row(name: str, core_name: str, clips: NDArray[np.int16]) -> str:
    file, step, piece = FRONT_ENDS[name]
    machine, cpu, core = CORES[core_name]
    folder = export_c(import_model(ZOO / f"models/{file}.tflite", {}).model, core, read_kernel, name="heard")
    with tempfile.TemporaryDirectory() as made:
        where = Path(made)
        write_program(folder.network, step, where, folder.files, piece=piece, board=True)
        heard = on_board(where, folder.network, clips, machine, cpu)
        if not np.array_equal(heard.features, _features(folder.network, step, clips)):
            raise SystemExit(f"{name} on {core_name}: features differ from Python's")
        code, tables = _sizes(where, cpu)
        scratch = re.search(r"SCRATCH_BYTES (\d+)", (where / "frontend.h").read_text())
    each = heard.instructions / len(clips) / WINDOWS
    size = int(scratch[1]) if scratch else 0
    return f"| {name} | {core_name} | {each:,.0f} | {code:,} | {tables:,} | {size:,} | emulator, instructions |"


def _features(network: Network, step: Step, clips: NDArray[np.int16]) -> NDArray[np.int8]:
    quant = network.buffers[network.inputs[0]].quant
    if quant is None:
        raise SystemExit("the model's input is not quantized")
    preprocess = build_preprocess([step])
    found: NDArray[np.int8] = np.array([quantize(preprocess(clip)[0], quant).reshape(-1) for clip in clips])
    return found


def _sizes(where: Path, cpu: str) -> tuple[int, int]:
    """Bytes of code and of constants of frontend.c."""
    flags = ["-mthumb", f"-mcpu={cpu}", "-mfloat-abi=soft", "-O2", "-std=gnu11"]
    subprocess.run(["arm-none-eabi-gcc", *flags, "-c", "frontend.c", "-o", "frontend.o"], cwd=where, check=True)
    listed = subprocess.run(
        ["arm-none-eabi-size", "-A", "frontend.o"], cwd=where, check=True, capture_output=True, text=True
    )
    sizes = [(row.split()[0], int(row.split()[1])) for row in listed.stdout.splitlines() if row.startswith(".")]
    code = sum(size for name, size in sizes if name.startswith(".text"))
    return code, sum(size for name, size in sizes if name.startswith(".rodata"))


if __name__ == "__main__":
    main()
