r"""Messages between the laptop and a worker: one JSON line, then the bytes of its arrays.

    {"edgert": 1, "body": {...}, "arrays": [{"name", "dtype", "shape"}, ...]}\n<bytes of the first array><second>...

Arrays are little-endian, in C order; their length follows from shape and type. Nothing is pickled. A message with
another protocol number is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgert.codec import JsonValue
from edgert.dtypes import DType
from edgert.errors import DataError, DeviceError

__all__ = ["MAX_ARRAY_BYTES", "PROTOCOL", "Message", "read_message", "write_message"]

PROTOCOL = 1
MAX_HEADER_BYTES = 64 << 20
MAX_ARRAY_BYTES = 4 << 30

Array = NDArray[Any]  # Any: element types are data


@dataclass(frozen=True, slots=True)
class Message:
    """One request or reply."""

    body: dict[str, JsonValue]
    arrays: Mapping[str, Array] = field(default_factory=dict)


def write_message(stream: BinaryIO, message: Message) -> None:
    """Writes and flushes one message.

    Raises:
        OSError: the other side is gone.
        DeviceError: an array cannot be sent (strings).
        DataError: an array is of a type that no model takes (complex numbers, dates).
    """
    wired = {name: _to_wire(name, array) for name, array in message.arrays.items()}
    arrays = [
        {"name": name, "dtype": _element_type(name, array), "shape": list(array.shape)} for name, array in wired.items()
    ]
    header = json.dumps({"edgert": PROTOCOL, "body": message.body, "arrays": arrays}, allow_nan=False)
    stream.write(header.encode() + b"\n")
    for array in wired.values():
        stream.write(array.reshape(-1).view(np.uint8).data if array.size else b"")
    stream.flush()


def read_message(stream: BinaryIO) -> Message | None:
    """Returns the next message, or None at the end of the stream.

    Raises:
        DeviceError: the bytes are no message of this protocol, or it was cut off.
    """
    line = stream.readline(MAX_HEADER_BYTES)
    if not line:
        return None
    header = _parse_header(line)
    return Message(header["body"], dict(_read_array(stream, entry) for entry in header["arrays"]))


def _parse_header(line: bytes) -> dict[str, JsonValue]:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DeviceError(f"worker protocol: expected a JSON line, got {line[:200]!r}") from error
    if not isinstance(header, dict) or header.get("edgert") != PROTOCOL:
        got = header.get("edgert") if isinstance(header, dict) else None
        raise DeviceError(
            f"worker protocol {got!r}, this edgert speaks {PROTOCOL}; install the same version on both sides"
        )
    if not isinstance(header.get("body"), dict) or not isinstance(header.get("arrays"), list):
        raise DeviceError("worker protocol: a message without body or arrays")
    return header


def _read_array(stream: BinaryIO, entry: JsonValue) -> tuple[str, Array]:
    try:
        name, shape = str(entry["name"]), tuple(int(size) for size in entry["shape"])
        dtype = DType(entry["dtype"]).numpy.newbyteorder("<")
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceError(f"worker protocol: cannot read the array description {entry!r}") from error
    size_bytes = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0 or size_bytes > MAX_ARRAY_BYTES:
        raise DeviceError(f"worker protocol: array {name!r} of type {entry['dtype']} and shape {list(shape)} refused")
    data = bytearray(size_bytes)
    filled = 0
    while filled < size_bytes:
        got = stream.readinto(memoryview(data)[filled:])  # type: ignore[attr-defined]  # every binary stream has it
        if not got:
            raise DeviceError(f"worker protocol: array {name!r} was cut off after {filled} of {size_bytes} bytes")
        filled += got
    array: Array = np.frombuffer(data, dtype).reshape(shape)
    return name, array.astype(dtype.newbyteorder("="), copy=False)


def _element_type(name: str, array: Array) -> str:
    try:
        return DType.from_numpy(array.dtype).value
    except ValueError as error:
        raise DataError(f"array {name!r} is of type {array.dtype}, which no model takes") from error


def _to_wire(name: str, array: Array) -> Array:
    if array.dtype.hasobject:
        raise DeviceError(f"array {name!r} holds strings, which cannot be sent to a device")
    little: Array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    return little
