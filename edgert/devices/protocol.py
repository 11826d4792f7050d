"""What a laptop and the firmware of a microcontroller say to each other (docs/microcontrollers.md). No input or output.

A frame is COBS-encoded, ends in a zero byte, and holds: kind (1 byte), sequence number (1), argument (2), body, CRC-32
(4); numbers are little-endian. A request's kind is a `Command`; its reply has kind `0x80 | command` and the same
sequence number, a refusal 0xFF with a `Refusal` as argument, a fault of the processor 0xFE.

Source: Cheshire and Baker, Consistent overhead byte stuffing, IEEE/ACM Transactions on Networking 7(2), 1999.
"""

from __future__ import annotations

import enum
import hashlib
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "ALIVE",
    "FAULT",
    "HASH_BYTES",
    "LAYER",
    "REFUSAL",
    "REPLY",
    "VERSION",
    "WHOLE_RUN",
    "Command",
    "Description",
    "Fault",
    "Frame",
    "FrameError",
    "MemoryUse",
    "Refusal",
    "Ticks",
    "cobs_decode",
    "cobs_encode",
    "model_hash",
]

VERSION = 1
"""Of the protocol; the argument of the reply to DESCRIBE."""

REPLY = 0x80
LAYER = 0x90
ALIVE = 0x91
"""Sent when a run begins, and about once a second while it goes on."""
FAULT = 0xFE
REFUSAL = 0xFF
WHOLE_RUN = 0xFFFF
"""Argument of RUN: no layer to stop after."""
HASH_BYTES = 8

_HEADER = struct.Struct("<BBH")
_CRC = struct.Struct("<I")
_DESCRIPTION = struct.Struct(f"<6I{HASH_BYTES}s")
_LONGEST_BLOCK = 254


class Command(enum.IntEnum):
    """What firmware can be asked."""

    DESCRIBE = 1
    RUN = 2
    PROFILE = 3
    MEMORY = 4
    READ = 5
    RESET = 6
    FORGET = 7
    REPEAT = 8


class Refusal(enum.IntEnum):
    """Why firmware did not do what it was asked."""

    DAMAGED = 1
    UNKNOWN_COMMAND = 2
    WRONG_SIZE = 3
    OUT_OF_RANGE = 4


class Ticks(enum.IntEnum):
    """What a tick of the firmware's clock is.

    CYCLES of the debug unit's counter; SYSTICK: of the core's clock, also cycles; VIRTUAL: of SysTick in an emulator
    whose time is a count of executed instructions, one nanosecond each.
    """

    CYCLES = 1
    SYSTICK = 2
    VIRTUAL = 3


class FrameError(ValueError):
    """Bytes that are no whole frame."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. `argument` is 16 bits."""

    kind: int
    sequence: int
    argument: int = 0
    body: bytes = b""

    def encode(self) -> bytes:
        """Returns the bytes on the line, the ending zero included."""
        content = _HEADER.pack(self.kind, self.sequence, self.argument) + self.body
        return cobs_encode(content + _CRC.pack(zlib.crc32(content))) + b"\0"

    @classmethod
    def decode(cls, data: bytes) -> Frame:
        """Returns the frame of the bytes before an ending zero.

        Raises:
            FrameError: bytes were lost, added or changed.
        """
        content = cobs_decode(data)
        if len(content) < _HEADER.size + _CRC.size:
            raise FrameError(f"{len(content)} bytes are too few for a frame")
        content, crc = content[: -_CRC.size], _CRC.unpack(content[-_CRC.size :])[0]
        if zlib.crc32(content) != crc:
            raise FrameError("the checksum is wrong")
        kind, sequence, argument = _HEADER.unpack_from(content)
        return cls(kind, sequence, argument, content[_HEADER.size :])


@dataclass(frozen=True, slots=True)
class Description:
    """What firmware says of itself; `ticks_hz` is the rate of its clock, `model_hash` see `model_hash`."""

    version: int
    ticks: Ticks
    ticks_hz: int
    input_bytes: int
    output_bytes: int
    arena_bytes: int
    layers: int
    model_hash: bytes
    board: str

    @classmethod
    def parse(cls, frame: Frame) -> Description:
        """Returns the description in a reply to DESCRIBE of this protocol version.

        Raises:
            FrameError: the body is something else.
        """
        try:
            ticks, rate_hz, inputs, outputs, arena, layers, digest = _DESCRIPTION.unpack_from(frame.body)
            board = frame.body[_DESCRIPTION.size :].decode()
            return cls(frame.argument, Ticks(ticks), rate_hz, inputs, outputs, arena, layers, digest, board)
        except (struct.error, ValueError) as error:
            raise FrameError(f"the description cannot be read ({error})") from error


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """RAM of the firmware besides the arena, and its flash.

    `stack_bytes` is the peak since it started, by a painted stack; `code_bytes` are the model's and the firmware's.
    """

    data_bss_bytes: int
    stack_bytes: int
    stack_reserved_bytes: int
    code_bytes: int
    weight_bytes: int

    @classmethod
    def parse(cls, frame: Frame) -> MemoryUse:
        """Returns what a reply to MEMORY says.

        Raises:
            FrameError: the body is something else.
        """
        try:
            return cls(*struct.unpack("<5I", frame.body))
        except struct.error as error:
            raise FrameError(f"the memory reply cannot be read ({error})") from error


@dataclass(frozen=True, slots=True)
class Fault:
    """Where the processor faulted; `status` is its configurable fault status register, 0 where it has none."""

    program_counter: int
    status: int

    @classmethod
    def parse(cls, frame: Frame) -> Fault:
        """Returns what a fault frame says, zeros where it says nothing."""
        return cls(*struct.unpack("<2I", frame.body)) if len(frame.body) == 8 else cls(0, 0)


def model_hash(files: Mapping[str, bytes]) -> bytes:
    """Returns eight bytes that tell a folder of generated C from every other: names and contents of all its files."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.digest()[:HASH_BYTES]


def cobs_encode(data: bytes) -> bytes:
    """Returns `data` without zero bytes: every run of at most 254 of them is led by its length plus one."""
    encoded = bytearray()
    for position, run in enumerate(runs := data.split(b"\0")):
        while len(run) >= _LONGEST_BLOCK:
            encoded += b"\xff" + run[:_LONGEST_BLOCK]
            run = run[_LONGEST_BLOCK:]  # noqa: PLW2901  # what is left of it
            if not run and position == len(runs) - 1:
                return bytes(encoded)  # a full block has no zero behind it
        encoded += bytes([len(run) + 1]) + run
    return bytes(encoded)


def cobs_decode(data: bytes) -> bytes:
    """Returns what was encoded.

    Raises:
        FrameError: a zero byte, or a block that goes on behind the end.
    """
    decoded = bytearray()
    position, zero_follows = 0, False
    while position < len(data):
        length = data[position]
        block = data[position + 1 : position + length]
        if length == 0 or len(block) != length - 1 or 0 in block:
            raise FrameError("a block of the frame is cut off or holds a zero")
        decoded += (b"\0" if zero_follows else b"") + block
        zero_follows = length != _LONGEST_BLOCK + 1
        position += length
    return bytes(decoded)
