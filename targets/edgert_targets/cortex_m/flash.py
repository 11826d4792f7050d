"""Writes firmware to a real board: command lines of pyOCD and OpenOCD, or a UF2 file on the board's drive.

Not verified on hardware. Source of the UF2 format: https://github.com/microsoft/uf2.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgert.errors import DeviceError, MissingToolError, UsageError
from edgert.plugins import Firmware
from edgert.target import Flasher, Target

__all__ = ["flash_commands", "run_commands", "uf2_bytes"]

_PACKAGES = {"openocd": "openocd", "pyocd": "python3-pyocd"}
_TIMEOUT_S = 120.0
_PAYLOAD = 256
_HEADER = struct.Struct("<8I")
_MAGIC_END = 0x0AB16F30


def flash_commands(target: Target, firmware: Firmware, port: str | None = None) -> list[list[str]]:
    """Returns the command lines that write the firmware and start it, in order.

    Args:
        target: a board with a flasher.
        firmware: built for it. For UF2 boards the file is written beside the ELF file.
        port: the drive of a UF2 board (needed there); else the serial number of a debug probe, None: the only one.

    Raises:
        UsageError: the target is no real board, or a UF2 board's drive was not named.
    """
    board = target.microcontroller
    flasher = None if board is None else board.flasher
    if board is None or flasher is None:
        raise UsageError(f"{target.name} is not flashed: it is no real board; use it as a device by its URL")
    if flasher.tool == "uf2":
        return [_copy_uf2(target, flasher, firmware, board.flash_origin, port)]
    if flasher.tool == "pyocd":
        probe = [] if port is None else ["--uid", port]
        options = ["--target", flasher.device, *probe]
        return [["pyocd", "load", *options, str(firmware.elf)], ["pyocd", "reset", *options]]
    serial = [] if port is None else ["-c", f"adapter serial {port}"]
    return [["openocd", "-f", flasher.device, *serial, "-c", f"program {firmware.elf} verify reset exit"]]


def run_commands(target: Target, commands: Sequence[Sequence[str]]) -> None:
    """Executes the command lines.

    Raises:
        MissingToolError: a program is not installed.
        DeviceError: one failed; its last words are in the text.
    """
    for command in commands:
        if command[0] == "cp":  # a drive is a folder everywhere; the program is not
            _copy(command[1], command[2])
            continue
        if shutil.which(command[0]) is None:
            raise MissingToolError(command[0], _PACKAGES.get(command[0], command[0]), f"flashing {target.name}")
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise DeviceError(f"{command[0]} did not end within {_TIMEOUT_S:g} s; is the board connected?") from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it says nothing"]
            raise DeviceError(f"{command[0]} could not flash {target.name} ({said[0]}); is the board connected?")


def _copy(source: str, destination: str) -> None:
    try:
        shutil.copyfile(source, destination)
    except OSError as error:
        raise DeviceError(f"cannot copy to {destination} ({error.strerror}); is the board's drive there?") from error


def uf2_bytes(image: bytes, address: int, family: int) -> bytes:
    """Returns an image as a UF2 file: blocks of 512 bytes that each carry 256 bytes and the address they belong to."""
    count = -(-len(image) // _PAYLOAD)
    blocks = []
    for index in range(count):
        payload = image[index * _PAYLOAD : (index + 1) * _PAYLOAD].ljust(_PAYLOAD, b"\0")
        place = address + index * _PAYLOAD
        head = _HEADER.pack(0x0A324655, 0x9E5D5157, 0x2000, place, _PAYLOAD, index, count, family)
        blocks.append(head + payload.ljust(476, b"\0") + struct.pack("<I", _MAGIC_END))
    return b"".join(blocks)


def _copy_uf2(target: Target, flasher: Flasher, firmware: Firmware, address: int, port: str | None) -> list[str]:
    if port is None:
        raise UsageError(f"{target.name} appears as a drive when its boot button is held; name it with --port FOLDER")
    if flasher.uf2_family is None:
        raise UsageError(f"{target.name} has no UF2 family in its target.toml")
    file = firmware.elf.with_suffix(".uf2")
    file.write_bytes(uf2_bytes(firmware.binary.read_bytes(), address, flasher.uf2_family))
    return ["cp", str(file), str(Path(port) / file.name)]
