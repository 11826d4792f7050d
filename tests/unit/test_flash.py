"""Command lines that write firmware to real boards: what they are is tested, not what they do to hardware."""

from __future__ import annotations

import dataclasses
import struct
import sys
from pathlib import Path

import pytest

from edgert.errors import DeviceError, MissingToolError, UsageError
from edgert.plugins import Firmware
from edgert.target import Flasher, Target, get_target
from edgert_targets.cortex_m.flash import flash_commands, run_commands, uf2_bytes

EMULATED = get_target("qemu-mps2-an386")


@pytest.fixture
def firmware(tmp_path: Path) -> Firmware:
    binary = tmp_path / "firmware.bin"
    binary.write_bytes(bytes(range(256)) * 2 + b"tail")
    return Firmware("board", tmp_path / "firmware.elf", binary, b"12345678", 0, 0, 0, 0, 0)


def board(flasher: Flasher) -> Target:
    assert EMULATED.microcontroller is not None
    real = dataclasses.replace(EMULATED.microcontroller, flasher=flasher, qemu_machine=None, flash_origin=0x10000000)
    return dataclasses.replace(EMULATED, name="board", microcontroller=real)


def test_pyocd(firmware: Firmware) -> None:
    target = board(Flasher("pyocd", "stm32f446retx"))
    elf = str(firmware.elf)
    assert flash_commands(target, firmware) == [
        ["pyocd", "load", "--target", "stm32f446retx", elf],
        ["pyocd", "reset", "--target", "stm32f446retx"],
    ]
    assert flash_commands(target, firmware, "0661")[0] == [
        *["pyocd", "load", "--target", "stm32f446retx", "--uid", "0661", elf]
    ]


def test_openocd(firmware: Firmware) -> None:
    target = board(Flasher("openocd", "board/st_nucleo_f4.cfg"))
    program = f"program {firmware.elf} verify reset exit"
    head = ["openocd", "-f", "board/st_nucleo_f4.cfg"]
    assert flash_commands(target, firmware) == [[*head, "-c", program]]
    assert flash_commands(target, firmware, "0661") == [[*head, "-c", "adapter serial 0661", "-c", program]]


def test_uf2(firmware: Firmware, tmp_path: Path) -> None:
    drive = tmp_path / "RPI-RP2"
    drive.mkdir()
    target = board(Flasher("uf2", "RP2040", uf2_family=0xE48BFF56))
    steps = flash_commands(target, firmware, str(drive))
    assert steps == [["cp", str(tmp_path / "firmware.uf2"), str(drive / "firmware.uf2")]]
    run_commands(target, steps)
    data = (drive / "firmware.uf2").read_bytes()
    assert len(data) == 3 * 512
    for index in range(3):
        block = data[512 * index : 512 * (index + 1)]
        head = struct.unpack_from("<8I", block)
        assert head == (0x0A324655, 0x9E5D5157, 0x2000, 0x10000000 + 256 * index, 256, index, 3, 0xE48BFF56)
        assert block[-4:] == bytes.fromhex("306fb10a")
    assert data[1024 + 32 : 1024 + 36] == b"tail"


def test_uf2_of_nothing() -> None:
    assert uf2_bytes(b"", 0, 1) == b""


def test_what_cannot_be_flashed(firmware: Firmware, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="qemu-mps2-an386 is not flashed: it is no real board"):
        flash_commands(EMULATED, firmware)
    with pytest.raises(UsageError, match="appears as a drive when its boot button is held; name it with --port"):
        flash_commands(board(Flasher("uf2", "RP2040", uf2_family=1)), firmware)
    with pytest.raises(UsageError, match="has no UF2 family"):
        flash_commands(board(Flasher("uf2", "RP2040")), firmware, str(tmp_path))
    with pytest.raises(ValueError, match="must be pyocd, openocd or uf2"):
        Flasher("hammer", "x")


def test_programs_that_fail_or_are_missing(tmp_path: Path) -> None:
    target = board(Flasher("pyocd", "x"))
    with pytest.raises(MissingToolError, match="no-such-program"):
        run_commands(target, [["no-such-program"]])
    words = "import sys; print('chatter'); sys.exit('No connected debug probes')"
    with pytest.raises(DeviceError, match=r"could not flash board \(No connected debug probes\); is the board conn"):
        run_commands(target, [[sys.executable, "-c", words]])
    with pytest.raises(DeviceError, match="cannot copy to .*is the board's drive there"):
        run_commands(target, [["cp", str(tmp_path / "no.uf2"), str(tmp_path / "no" / "drive.uf2")]])
