"""Vibration as lines of numbers, one line a sample: a table in a file, or a sensor on a serial port.

Of several columns (the axes of an accelerometer) the length of the vector is taken, so that it does not matter how the
sensor is mounted. Lines are taken to come at the sample rate of the bundle's front end.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from edgert.app.frames import Array
from edgert.app.sound import Hearing, windows
from edgert.errors import DataError, DeviceError, MissingExtraError, UsageError

__all__ = ["LineReader", "Port", "SerialProducer", "parse_port", "play_table"]

_POLL_S = 0.2
_LONGEST_LINE = 1024
_BETWEEN = re.compile(r"[\s,;]+")


class LineReader:
    """Feed it text as it comes; it gives the samples of whole lines.

    Lines that hold no numbers (a heading, a line cut at its start) or not `columns` of them are left out; None: as many
    as the first line that holds numbers.
    """

    def __init__(self, columns: int | None = None) -> None:
        self._columns, self._rest = columns, b""

    def feed(self, data: bytes) -> NDArray[np.float32]:
        """Returns the samples of the lines that are complete now, float32[n]."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-_LONGEST_LINE:]
        found = [value for value in map(self._value, lines) if value is not None]
        return np.array(found, np.float32)

    def _value(self, line: bytes) -> float | None:
        words = _BETWEEN.split(line.decode("ascii", "replace").strip(" \t\r,;"))
        try:
            values = [float(word) for word in words]
        except ValueError:
            return None
        self._columns = self._columns or len(values)
        if len(values) < self._columns or not np.isfinite(values).all():
            return None
        kept = values[: self._columns]
        return kept[0] if len(kept) == 1 else float(np.linalg.norm(kept))


def play_table(path: Path, hearing: Hearing) -> Iterator[NDArray[np.float32]]:
    """Yields hops of a file of lines, from the first again after the last; the file is held in memory.

    Raises:
        DataError: it cannot be read, or holds fewer lines of numbers than a hop.
    """
    try:
        samples = LineReader().feed(path.read_bytes() + b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if len(samples) < hearing.hop:
        raise DataError(f"{path}: {len(samples)} lines of numbers; one step of the stream (--hop) takes {hearing.hop}")
    rest = samples
    while True:
        whole = len(rest) // hearing.hop * hearing.hop
        yield from rest[:whole].reshape(-1, hearing.hop)
        rest = np.concatenate((rest[whole:], samples))


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port and what its lines hold."""

    name: str
    baud: int = 115200
    columns: int | None = None


def parse_port(words: str) -> Port:
    """Returns the port of `serial:///dev/ttyUSB0?baud=115200&columns=3` or `serial:COM3`.

    Raises:
        UsageError: it is none.
    """
    path, _, query = words.removeprefix("serial:").partition("?")
    settings = dict(parse_qsl(query, keep_blank_values=True))
    baud, columns = settings.pop("baud", "115200"), settings.pop("columns", None)
    name = "/" + path.lstrip("/") if path.startswith("/") else path
    is_number = all(re.fullmatch(r"[1-9]\d{0,7}", value) for value in (baud, columns or "1"))
    if not name.strip("/") or settings or not is_number:
        raise UsageError(f"{words!r} is no serial sensor; as in serial:///dev/ttyUSB0?baud=115200&columns=3")
    return Port(name, int(baud), int(columns) if columns else None)


class SerialProducer:
    """Windows of what a sensor writes to a serial port."""

    def __init__(self, port: Port, hearing: Hearing) -> None:
        self._port, self._hearing = port, hearing
        self._stopped = threading.Event()

    def frames(self) -> Iterator[Array]:
        """Yields a window after every hop of lines, until stopped.

        Raises:
            MissingExtraError: pyserial is not installed.
            DeviceError: the port does not open, or is gone.
        """
        try:
            import serial
        except ImportError as error:
            raise MissingExtraError("pyserial", "serial", "a serial sensor") from error
        try:
            with serial.Serial(self._port.name, self._port.baud, timeout=_POLL_S, exclusive=True) as line:
                yield from windows(self._chunks(line), self._hearing)
        except (OSError, ValueError, TypeError) as error:  # SerialException is an OSError; unplugged: TypeError
            raise DeviceError(f"{self._port.name}: {error}; is the sensor plugged in, and may you use it") from error

    def stop(self) -> None:
        """Ends it within 0.2 s."""
        self._stopped.set()

    def _chunks(self, line: Any) -> Iterator[NDArray[np.float32]]:  # Any: pyserial comes without types
        reader, rest = LineReader(self._port.columns), np.zeros(0, np.float32)
        while not self._stopped.is_set():
            rest = np.concatenate((rest, reader.feed(line.read(max(1, line.in_waiting)))))
            while len(rest) >= self._hearing.hop:
                yield rest[: self._hearing.hop]
                rest = rest[self._hearing.hop :]
