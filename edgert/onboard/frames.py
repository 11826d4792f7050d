"""Frames between laptop and board: one byte of kind, two of channel, four of length (little-endian), then the payload.

Both ends use this module, and both always have the same version of it: the laptop brings it.
"""

from __future__ import annotations

import enum
import json
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

__all__ = ["CHUNK_BYTES", "WINDOW_BYTES", "Frame", "FrameError", "Kind", "read_frame", "write_frame"]

CHUNK_BYTES = 16 << 10
"""Most bytes of one data frame: on a slow line, a heartbeat waits for no more than this."""
WINDOW_BYTES = 128 << 10
"""Most bytes of one channel that are under way without an answer."""
_HEADER = struct.Struct("<BHI")
_MAX_PAYLOAD_BYTES = 8 << 20


class Kind(enum.IntEnum):
    """What a frame is. CREDIT answers data with the number of bytes that were taken; BEAT says: still here."""

    REQUEST = 1
    REPLY = 2
    DATA = 3
    ERRORS = 4
    END = 5
    CREDIT = 6
    BEAT = 7


class FrameError(Exception):
    """The bytes are no frame, or it was cut off."""


@dataclass(frozen=True)
class Frame:
    """One frame. Channel 0 is the connection itself."""

    kind: Kind
    channel: int = 0
    payload: bytes = b""

    @classmethod
    def of(cls, kind: Kind, channel: int, body: dict[str, Any]) -> Frame:
        """Returns a frame whose payload is JSON. Any: JSON values."""
        return cls(kind, channel, json.dumps(body).encode())

    def body(self) -> dict[str, Any]:
        """The payload as a JSON object.

        Raises:
            FrameError: it is none.
        """
        try:
            found = json.loads(self.payload)
        except ValueError as error:
            raise FrameError(f"a frame holds no JSON: {self.payload[:100]!r}") from error
        if not isinstance(found, dict):
            raise FrameError(f"a frame holds no JSON object: {self.payload[:100]!r}")
        return found


def write_frame(stream: BinaryIO, frame: Frame) -> None:
    """Writes and flushes one frame; one at a time.

    Raises:
        OSError: the other side is gone.
    """
    stream.write(_HEADER.pack(frame.kind, frame.channel, len(frame.payload)) + frame.payload)
    stream.flush()


def read_frame(stream: BinaryIO) -> Frame | None:
    """Returns the next frame, or None at the end of the stream.

    Raises:
        FrameError: the bytes are no frame, or it was cut off.
        OSError: the stream cannot be read.
    """
    head = _read(stream, _HEADER.size)
    if not head:
        return None
    if len(head) < _HEADER.size:
        raise FrameError(f"a frame was cut off after {len(head)} bytes")
    number, channel, size = _HEADER.unpack(head)
    if size > _MAX_PAYLOAD_BYTES or number not in set(Kind):
        raise FrameError(f"not a frame: {head!r}")
    payload = _read(stream, size)
    if len(payload) < size:
        raise FrameError(f"a frame was cut off after {len(payload)} of {size} bytes")
    return Frame(Kind(number), channel, payload)


def _read(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
