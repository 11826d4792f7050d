"""A line to a board: bytes in and out with a time-out, over a serial port, a TCP or a Unix socket."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from edgert.errors import DeviceError, MissingExtraError, UsageError

__all__ = ["ByteStream", "SerialStream", "SocketStream", "open_stream"]

_CONNECT_TIMEOUT_S = 5.0
_WRITE_TIMEOUT_S = 10.0
_CHUNK = 1 << 16
_BAUD = 115200


class ByteStream(Protocol):
    """Bytes to and from a board."""

    def read(self, timeout_s: float) -> bytes:
        """Returns what came, at least one byte, or nothing when the time is up.

        Raises:
            DeviceError: the line is gone.
        """
        ...

    def write(self, data: bytes) -> None:
        """Sends everything.

        Raises:
            DeviceError: the line is gone or does not take bytes any more.
        """
        ...

    def close(self) -> None:
        """Frees the line; safe to call twice."""
        ...


class SocketStream:
    """A connected socket, TCP or Unix."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        self._socket = connection
        self._name = name
        if connection.family in {socket.AF_INET, socket.AF_INET6}:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # 47 ms round trips without it

    def read(self, timeout_s: float) -> bytes:
        """Returns what came, or nothing when the time is up."""
        try:
            self._socket.settimeout(timeout_s)
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            return b""
        except OSError as error:
            raise _gone(self._name, error) from error
        if not data:
            raise _gone(self._name, "the other end closed it")
        return data

    def write(self, data: bytes) -> None:
        """Sends everything."""
        try:
            self._socket.settimeout(_WRITE_TIMEOUT_S)
            self._socket.sendall(data)
        except OSError as error:
            raise _gone(self._name, error) from error

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()


class SerialStream:
    """A serial port, by pyserial."""

    def __init__(self, port: Any, name: str) -> None:  # Any: serial.Serial; pyserial is optional
        self._port = port
        self._name = name

    def read(self, timeout_s: float) -> bytes:
        """Returns what came, or nothing when the time is up."""

        def take() -> bytes:
            self._port.timeout = timeout_s
            first: bytes = self._port.read(1)
            return first + self._port.read(self._port.in_waiting) if first else first

        return self._guarded(take)

    def write(self, data: bytes) -> None:
        """Sends everything."""

        def give() -> bytes:
            self._port.write_timeout = _WRITE_TIMEOUT_S
            self._port.write(data)
            self._port.flush()
            return b""

        self._guarded(give)

    def close(self) -> None:
        """Closes the port."""
        with contextlib.suppress(OSError):  # a board that was unplugged
            self._port.close()

    def _guarded(self, action: Callable[[], bytes]) -> bytes:
        try:
            return action()
        except (OSError, TypeError) as error:  # SerialException is an OSError; an unplugged port may raise TypeError
            raise _gone(self._name, error) from error


def open_stream(url: str) -> ByteStream:
    """Returns the line of `serial:///dev/ttyACM0?baud=115200`, `serial:COM3` or `socket://127.0.0.1:4000`.

    Raises:
        UsageError: no such URL.
        MissingExtraError: a serial port without pyserial.
        DeviceError: nothing answers there.
    """
    parts = urlsplit(url)
    if parts.scheme == "socket":
        return _open_socket(url)
    if parts.scheme == "serial":
        return _open_serial(url)
    raise UsageError(f"no line {url!r}; write serial:///dev/ttyACM0, serial:COM3 or socket://127.0.0.1:4000")


def _open_socket(url: str) -> ByteStream:
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or port is None:
        raise UsageError(f"{url!r} names no host and port; write socket://127.0.0.1:4000")
    try:
        return SocketStream(socket.create_connection((host, port), _CONNECT_TIMEOUT_S), url)
    except OSError as error:
        raise DeviceError(f"{url}: cannot be reached ({error.strerror or error}); is the board switched on?") from error


def _open_serial(url: str) -> ByteStream:
    path, _, query = url.removeprefix("serial:").partition("?")
    path = "/" + path.lstrip("/") if path.startswith("/") else path
    settings = dict(parse_qsl(query))
    baud = settings.pop("baud", str(_BAUD))
    if not path.strip("/") or settings or not baud.isdigit():
        raise UsageError(f"{url!r} is no serial port; write serial:///dev/ttyACM0?baud={_BAUD} or serial:COM3")
    try:
        import serial
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyserial", "serial", "a serial port") from error
    port = path.strip("/") if path.strip("/").upper().startswith("COM") else path
    try:
        return SerialStream(serial.Serial(port, int(baud), exclusive=True), url)
    except (OSError, ValueError) as error:
        raise DeviceError(f"{url}: cannot be opened ({error}); is the board plugged in, and may you use it?") from error


def _gone(name: str, reason: object) -> DeviceError:
    return DeviceError(f"{name}: the line is gone ({reason}); was the board unplugged?")
