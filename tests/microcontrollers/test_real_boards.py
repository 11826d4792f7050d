"""Firmware for real boards compiles, and lies where the chips look for it. Not verified on hardware."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from edgert.devices.board import BoardClient
from edgert.devices.qemu import Emulator
from edgert.plugins import Firmware
from edgert.target import Microcontroller, get_target, list_targets
from edgert_targets.cortex_m.flash import flash_commands
from tests.microcontrollers.boards import build, need_tools

_COPY = """
#include "model.h"
void edgert_tiny_run(void *memory)
{
    unsigned char *const arena = memory;
    for (int i = 0; i < 8; i++) {
        arena[16 + i] = (unsigned char)(arena[i] ^ 0x55);
    }
    EDGERT_LAYER(0)
}
"""
_BUFFER = {"dtype": "int8", "shape": [8], "bytes": 8}
FILES = {
    "model.c": _COPY.encode(),
    "model.h": b"void edgert_tiny_run(void *arena);\n",
    "plan.json": json.dumps(
        {
            "schema": 1,
            "arena_bytes": 32,
            "layers": [{"name": "copy"}],
            "buffers": [{"offset": 0, **_BUFFER}, {"offset": 16, **_BUFFER}],
            "inputs": [0],
            "outputs": [1],
        }
    ).encode(),
}


def controller(name: str) -> Microcontroller:
    board = get_target(name).microcontroller
    assert board is not None
    return board


def with_microcontroller() -> list[str]:
    return [name for name in list_targets() if get_target(name).microcontroller is not None]


REAL = [name for name in with_microcontroller() if controller(name).flasher is not None]


@pytest.fixture(autouse=True)
def tools() -> None:
    need_tools()


def test_the_boards_that_were_promised_are_there() -> None:
    promised = {"nucleo-f446re", "nucleo-f746zg", "nucleo-h743zi", "nucleo-u575zi", "nano-33-ble"}
    assert promised | {"raspberry-pi-pico", "raspberry-pi-pico-2", "mps3-an547"} == set(REAL)
    assert all(get_target(name).hardware_verified is None for name in REAL)


@pytest.mark.parametrize("name", REAL)
def test_firmware_for_a_real_board(name: str, tmp_path: Path) -> None:
    board = controller(name)
    firmware = build(name, FILES, tmp_path)
    image = firmware.binary.read_bytes()
    start = {"rp2040": 256}.get(board.boot or "", 0)
    stack, entry = struct.unpack_from("<2I", image, start)
    assert board.ram_origin < stack <= board.ram_origin + board.ram_bytes
    assert board.flash_origin < entry < board.flash_origin + len(image)
    assert entry % 2 == 1  # Thumb
    assert board.marker is not None
    text = (firmware.elf.parent / "facts.h").read_text()
    assert f"REGISTER({board.marker.writes[0][0]:#x}u)" in text
    assert flash_commands(get_target(name), firmware, str(tmp_path))


def test_the_boot_stage_of_rp2040_has_its_checksum(tmp_path: Path) -> None:
    stage = build("raspberry-pi-pico", FILES, tmp_path).binary.read_bytes()[:256]
    crc = 0xFFFFFFFF
    for byte in stage[:252]:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 1 << 31 else crc << 1) & 0xFFFFFFFF
    assert struct.unpack("<I", stage[252:])[0] == crc


def test_the_image_definition_of_rp2350_is_found(tmp_path: Path) -> None:
    image = build("raspberry-pi-pico-2", FILES, tmp_path).binary.read_bytes()
    assert 0 < image.find(struct.pack("<5I", 0xFFFFDED3, 0x10210142, 0x1FF, 0, 0xAB123579)) < 4096


@pytest.fixture
def emulated(tmp_path: Path) -> Firmware:
    return build("qemu-mps2-an386", FILES, tmp_path)


def test_runs_are_repeated_for_a_power_meter(emulated: Firmware) -> None:
    emulator = Emulator("mps2-an386", emulated.elf)
    try:
        client = BoardClient(emulator.running_stream, "board")
        x = np.arange(8, dtype=np.uint8).tobytes()
        assert client.run(x).outputs == bytes(byte ^ 0x55 for byte in x)
        few, many = client.repeat(x, 10), client.repeat(x, 1010)
        assert many - few == pytest.approx(100 * few, rel=0.2)
        assert client.run(x).outputs == bytes(byte ^ 0x55 for byte in x)
    finally:
        emulator.close()
