"""The cores and models that are measured, and the firmware of each pair."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgert.plugins import Firmware
from edgert.target import Microcontroller, Target, get_target, load_module, read_resource
from edgert_converters.exporters.c import CFolder, Core, Instructions, export_c
from edgert_converters.importers import import_model

ROOT = Path(__file__).resolve().parents[3]
ZOO = Path(os.environ.get("EDGERT_ZOO", ROOT.parent / "shared" / "zoo"))
BESIDES_ARENA_BYTES = 1536
"""Kept for stack, data and bss where a limit of RAM is given."""


@dataclass(frozen=True)
class CoreEntry:
    """`code_for`: another core than the board's to generate and compile for; the board's own executes it."""

    title: str
    target: str
    code_for: str | None = None


@dataclass(frozen=True)
class ModelEntry:
    """`ram_bytes`: RAM it may take in all; None: what it needs without computing anything twice."""

    title: str
    data: str
    file: str
    ram_bytes: int | None = None


CORES = {
    "m0": CoreEntry("M0 (ARMv6-M code, executed by the M3)", "qemu-mps2-an385", "cortex-m0"),
    "m3": CoreEntry("M3", "qemu-mps2-an385"),
    "m4": CoreEntry("M4", "qemu-mps2-an386"),
    "m7": CoreEntry("M7", "qemu-mps2-an500"),
    "m33": CoreEntry("M33", "qemu-mps2-an505"),
    "m55": CoreEntry("M55", "qemu-mps3-an547"),
    "microbit": CoreEntry("micro:bit (M0)", "qemu-microbit"),
}
COMPARED = ("m4", "m55")
"""Cores on which other tools were measured."""
MODELS = {
    "kws": ModelEntry("kws", "kws", "mlperf_tiny_kws_dscnn_int8"),
    "vww": ModelEntry("vww", "vww", "mlperf_tiny_vww_mobilenetv1_int8"),
    "vww-strips": ModelEntry("vww in strips", "vww", "mlperf_tiny_vww_mobilenetv1_int8", 40_960),
    "ic": ModelEntry("ic", "ic", "mlperf_tiny_ic_resnet8_int8"),
    "ad": ModelEntry("ad", "ad", "mlperf_tiny_ad_fcae_int8"),
    "micro_speech": ModelEntry("micro_speech", "micro_speech", "micro_speech"),
}


def is_wanted(core: str, model: str) -> bool:
    """Less RAM than it needs is asked of a model where a limit is given: on two cores."""
    return MODELS[model].ram_bytes is None or core in COMPARED


def target_of(entry: CoreEntry) -> Target:
    target = get_target(entry.target)
    if entry.code_for is None:
        return target
    return replace(target, microcontroller=replace(board_of(target), core=entry.code_for, instructions="portable"))


def board_of(target: Target) -> Microcontroller:
    if target.microcontroller is None:
        raise ValueError(f"{target.name} is no microcontroller")
    return target.microcontroller


def generate(entry: ModelEntry, target: Target) -> tuple[CFolder, float]:
    """Returns the C of a model for a target, and the CPU seconds from the file to there."""
    board = board_of(target)
    core = Core(board.core, Instructions(board.instructions), board.fpu is not None)
    limit = None if entry.ram_bytes is None else entry.ram_bytes - BESIDES_ARENA_BYTES
    start = _cpu_seconds()
    model = import_model(ZOO / "models" / f"{entry.file}.tflite", {}).model
    folder = export_c(
        model, core, lambda name: read_resource(target.name, f"c/{name}"), name=entry.data, max_arena_bytes=limit
    )
    return folder, _cpu_seconds() - start


def _cpu_seconds() -> float:
    """Of this process and of those it waited for: what other work on the computer does not change."""
    return sum(os.times()[:4])


def build(target: Target, folder: CFolder, where: Path) -> Firmware:
    firmware: Firmware = load_module(target.name, "build").build_firmware(target, folder.files, where)
    return firmware


def read_samples(entry: ModelEntry) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Returns inputs, and the outputs that TensorFlow Lite Micro gave for them."""
    inputs, outputs = (np.load(ZOO / "mcu" / f"{entry.data}.{kind}.npy") for kind in ("inputs", "outputs_tflm"))
    return inputs, outputs
