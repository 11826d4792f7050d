"""Bundles with C for boards, firmware and clients, as the tests of the serial line need them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgert.bundle import SCHEMA, Manifest, Source, TensorSpec, Variant, write_bundle
from edgert.devices.board import BoardClient
from edgert.devices.protocol import model_hash
from edgert.devices.qemu import Emulator
from edgert.dtypes import DType
from edgert.plugins import Firmware
from edgert.target import get_target, load_module, read_resource
from edgert_converters.exporters.c import CFolder, Core, Instructions, export_c
from edgert_converters.importers import import_model

ZOO_NAMES = {
    "ad": "mlperf_tiny_ad_fcae_int8",
    "kws": "mlperf_tiny_kws_dscnn_int8",
    "micro_speech": "micro_speech",
}
BOARDS = {
    "qemu-microbit": "micro_speech",
    "qemu-mps2-an385": "micro_speech",
    "qemu-mps2-an386": "kws",
    "qemu-mps2-an500": "ad",
    "qemu-mps2-an505": "micro_speech",
    "qemu-mps3-an547": "kws",
    "qemu-netduinoplus2": "micro_speech",
}
"""Every emulated board, and the model that runs on it in these tests."""


def need_tools() -> None:
    for program, package in {"arm-none-eabi-gcc": "gcc-arm-none-eabi", "qemu-system-arm": "qemu-system-arm"}.items():
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} (Debian package {package})")


def export_for(target: str, model: Path, name: str) -> CFolder:
    board = get_target(target).microcontroller
    assert board is not None
    core = Core(board.core, Instructions(board.instructions), board.fpu is not None)
    return export_c(import_model(model, {}).model, core, lambda kernel: read_resource(target, f"c/{kernel}"), name=name)


def build(target: str, files: Mapping[str, bytes], folder: Path) -> Firmware:
    firmware: Firmware = load_module(target, "build").build_firmware(get_target(target), files, folder)
    return firmware


@contextmanager
def running(firmware: Firmware, files: Mapping[str, bytes]) -> Iterator[BoardClient]:
    board = get_target(firmware.target).microcontroller
    assert board is not None
    assert board.qemu_machine is not None
    emulator = Emulator(board.qemu_machine, firmware.elf)
    try:
        yield BoardClient(emulator.running_stream, "board", model_hash=model_hash(files))
    finally:
        emulator.close()


def read_samples(zoo: Path, name: str, count: int) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Inputs and the outputs that TensorFlow Lite Micro gave for them."""
    inputs, outputs = (np.load(zoo / "mcu" / f"{name}.{kind}.npy") for kind in ("inputs", "outputs_tflm"))
    return inputs[:count], outputs[:count]


def write_c_bundle(path: Path, folder: CFolder, target: str, requantize: str | None = None) -> Path:
    """A bundle that holds nothing but the C of one model."""
    variant_id = f"c-{target}"
    variant = Variant(
        variant_id,
        "c",
        "int8",
        f"variants/{variant_id}/model.c",
        folder.inputs,
        folder.outputs,
        (),
        0,
        requantize=requantize,
        targets=(target,),
    )
    manifest = Manifest(
        SCHEMA,
        folder.network.name,
        "0",
        Source("model.tflite", "tflite", "0" * 64),
        tuple(TensorSpec(spec.name, spec.shape, DType.FLOAT) for spec in folder.inputs),
        tuple(TensorSpec(spec.name, spec.shape, DType.FLOAT) for spec in folder.outputs),
        (variant,),
        variant_id,
    )
    return write_bundle(path, manifest, {f"variants/{variant_id}/{name}": data for name, data in folder.files.items()})
