"""Builds firmware: the generated C of a model, the code around it, and a linker script from the target's facts.

Needs the GNU Arm toolchain (arm-none-eabi-gcc with newlib's headers). Nothing is kept between builds.
"""

from __future__ import annotations

import json
import re
import shutil
import string
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgert.devices import protocol
from edgert.errors import MissingToolError, ModelError, UsageError
from edgert.plugins import Firmware
from edgert.target import Microcontroller, Target, read_resource

__all__ = ["build_firmware", "compiler_flags", "linker_script"]

BAUD = 115200
STACK_BYTES = 2048
COMPILER = "arm-none-eabi-gcc"
PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi"
_SOURCES = ("firmware.c", "frame.h", "clock.h", "registers.h", "layer.h")
OPTIONS = ("-O2", "-std=gnu11", "-ffunction-sections", "-fdata-sections", "-fno-common")
_WARNINGS = ("-Wall", "-Wextra")
_LINK = ("-nostartfiles", "-nodefaultlibs", "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments")
_CODE = frozenset({".boot", ".vectors", ".text", ".ARM.exidx"})
_TICKS = {True: protocol.Ticks.SYSTICK, False: protocol.Ticks.CYCLES}


@dataclass(frozen=True, slots=True)
class _Model:
    """What firmware must know of a generated folder."""

    name: str
    arena_bytes: int
    layers: int
    inputs: tuple[tuple[int, int], ...]
    outputs: tuple[tuple[int, int], ...]
    keeps_state: bool


def build_firmware(
    target: Target, files: Mapping[str, bytes], folder: Path, *, stack_bytes: int = STACK_BYTES
) -> Firmware:
    """Builds firmware.elf and firmware.bin in `folder`, beside their sources.

    Args:
        target: a microcontroller.
        files: of a generated folder: model.c, model.h, plan.json, kernels.
        folder: an empty folder.
        stack_bytes: kept for the stack.

    Raises:
        UsageError: the target is no microcontroller, or the model does not fit its memory.
        MissingToolError: the compiler is not installed.
        ModelError: the C does not compile.
    """
    board = target.microcontroller
    if board is None:
        raise UsageError(f"{target.name} is no microcontroller; firmware is built for those")
    compiler = _compiler()
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    boot = () if board.boot is None else (f"boot_{board.boot}.h",)
    for name in (*_SOURCES, f"uart_{board.uart}.h", *boot):
        (folder / name).write_bytes(read_resource(target.name, f"firmware/{name}"))
    (folder / "facts.h").write_text(_facts(target, board, files))
    (folder / "link.ld").write_text(linker_script(target, board, stack_bytes))
    flags = compiler_flags(board)
    _run(compiler, [*flags, *OPTIONS, "-include", "layer.h", "-c", "model.c"], folder, target)
    _run(compiler, [*flags, *OPTIONS, *_WARNINGS, "-c", "firmware.c"], folder, target)
    objects = ["model.o", "firmware.o", "-lc", "-lgcc"]
    _run(compiler, [*flags, *_LINK, "-T", "link.ld", *objects, "-o", "firmware.elf"], folder, target)
    _run(_beside(compiler, "objcopy"), ["-O", "binary", "firmware.elf", "firmware.bin"], folder, target)
    return _described(compiler, folder, target, files)


def compiler_flags(board: Microcontroller) -> tuple[str, ...]:
    """Returns the flags that name the core."""
    if board.fpu is None:
        return ("-mthumb", f"-mcpu={board.core}", "-mfloat-abi=soft")
    return ("-mthumb", f"-mcpu={board.core}", "-mfloat-abi=hard", f"-mfpu={board.fpu}")


def linker_script(target: Target, board: Microcontroller, stack_bytes: int = STACK_BYTES) -> str:
    """Returns the linker script for the memories of a board."""
    text = read_resource(target.name, "firmware/link.ld.in").decode()
    return string.Template(text).substitute(
        flash_origin=hex(board.flash_origin),
        flash_bytes=board.flash_bytes,
        ram_origin=hex(board.ram_origin),
        ram_bytes=board.ram_bytes,
        stack_bytes=stack_bytes,
    )


def _described(compiler: str, folder: Path, target: Target, files: Mapping[str, bytes]) -> Firmware:
    sizes = _sections(_run(_beside(compiler, "size"), ["-A", "firmware.elf"], folder, target))
    return Firmware(
        target=target.name,
        elf=folder / "firmware.elf",
        binary=folder / "firmware.bin",
        model_hash=protocol.model_hash(files),
        code_bytes=sum(size for name, size in sizes.items() if name in _CODE),
        weight_bytes=sizes.get(".weights", 0),
        data_bytes=sizes.get(".data", 0),
        bss_bytes=sizes.get(".bss", 0),
        arena_bytes=sizes.get(".arena", 0),
    )


def _facts(target: Target, board: Microcontroller, files: Mapping[str, bytes]) -> str:
    model = _read_model(files)
    ticks = protocol.Ticks.VIRTUAL if board.qemu_machine else _TICKS[board.core.startswith("cortex-m0")]
    digest = "".join(f"\\{byte:03o}" for byte in protocol.model_hash(files))
    defines: dict[str, object] = {
        "EDGERT_PROTOCOL": protocol.VERSION,
        "EDGERT_BOARD": f'"{target.name}"',
        "EDGERT_HASH": f'"{digest}"',
        "EDGERT_UART": f'"uart_{board.uart}.h"',
        "EDGERT_UART_BASE": f"{hex(board.uart_base)}u",
        "EDGERT_BAUD": f"{BAUD}u",
        "EDGERT_CLOCK_HZ": f"{board.clock_hz}u",
        "EDGERT_TICKS": int(ticks),
        "EDGERT_TICKS_HZ": f"{board.clock_hz}u",
        "EDGERT_SETUP": "{" + "".join("{%#xu, %#xu, %#xu}, " % row for row in board.setup) + "{0, 0, 0}}",  # noqa: UP031
        "EDGERT_MARK_HIGH": _mark(board, 0),
        "EDGERT_MARK_LOW": _mark(board, 1),
        "EDGERT_RUN": f"edgert_{model.name}_run",
        "EDGERT_FORGET": f"edgert_{model.name}_reset(arena);" if model.keeps_state else "",
        "EDGERT_ARENA_BYTES": model.arena_bytes,
        "EDGERT_LAYERS": model.layers,
        "EDGERT_INPUTS": _pieces(model.inputs),
        "EDGERT_OUTPUTS": _pieces(model.outputs),
    }
    if board.boot is not None:
        defines["EDGERT_BOOT"] = f'"boot_{board.boot}.h"'
    return "/* Made by the build. */\n" + "".join(f"#define {name} {value}\n" for name, value in defines.items())


def _mark(board: Microcontroller, index: int) -> str:
    return "" if board.marker is None else "REGISTER({:#x}u) = {:#x}u;".format(*board.marker.writes[index])


def _pieces(stretches: tuple[tuple[int, int], ...]) -> str:
    return "{" + ", ".join(f"{{arena + {offset}, {size}}}" for offset, size in stretches) + "}"


def _read_model(files: Mapping[str, bytes]) -> _Model:
    try:
        plan: dict[str, Any] = json.loads(files["plan.json"])  # Any: JSON
        header = files["model.h"].decode()
    except (KeyError, ValueError) as error:
        raise ModelError(f"no folder of generated C: plan.json or model.h is missing or damaged ({error})") from error
    found = re.search(r"void edgert_(\w+)_run\(", header)
    if found is None or plan.get("schema") != 1:
        raise ModelError("the generated C is of another version of edgert; convert the model again")
    places = [(int(buffer["offset"]), int(buffer["bytes"])) for buffer in plan["buffers"]]
    return _Model(
        name=found.group(1),
        arena_bytes=int(plan["arena_bytes"]),
        layers=len(plan["layers"]),
        inputs=tuple(places[index] for index in plan["inputs"]),
        outputs=tuple(places[index] for index in plan["outputs"]),
        keeps_state=f"edgert_{found.group(1)}_reset(" in header,
    )


def _compiler() -> str:
    found = shutil.which(COMPILER)
    if found is None:
        raise MissingToolError(COMPILER, PACKAGES, "building firmware")
    return found


def _beside(compiler: str, tool: str) -> str:
    """The binutils that came with the compiler."""
    return str(Path(compiler).with_name(Path(compiler).name.replace("-gcc", f"-{tool}")))


def _run(program: str, arguments: list[str], folder: Path, target: Target) -> str:
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout
    overflow = re.findall(r"region `(\w+)' overflowed by (\d+) bytes", done.stderr)
    if overflow:
        parts = " and ".join(f"{size} bytes of {region}" for region, size in overflow)
        raise UsageError(f"the model does not fit {target.name}: {parts} are missing; choose a board with more memory")
    if "string.h: No such file" in done.stderr or "cannot find -lc" in done.stderr:
        raise MissingToolError("newlib for Arm", PACKAGES, "building firmware")
    lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()[-1:]
    raise ModelError(f"firmware for {target.name} does not build: {' '.join(lines[:1])}; the sources are in {folder}")


def _sections(text: str) -> dict[str, int]:
    """Returns the sizes that `size -A` prints."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[0].startswith(".") and row[1].isdigit()}
