"""Frames from streams of bytes: a child's stdout (rpicam-vid, gst-launch-1.0, ffmpeg, arecord), MJPEG over HTTP."""

from __future__ import annotations

import base64
import collections
import contextlib
import http.client
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Protocol
from urllib.parse import unquote, urlsplit

import numpy as np

from edgert.app.frames import Array, Pixels
from edgert.app.jpeg_stream import JpegSplitter
from edgert.app.producers import decode_image
from edgert.errors import DeviceError, MissingToolError

__all__ = ["ChildProducer", "FrameReader", "HttpProducer", "read_jpegs", "read_ppm", "read_raw", "without_password"]

_CHUNK = 1 << 16
_LOG_LINES = 20
_MOST_BYTES = 1 << 28


class FrameReader(Protocol):
    """Reads frames from a stream of bytes until it ends."""

    def __call__(self, stream: IO[bytes]) -> Iterator[Array]:
        """Yields each picture uint8[H, W, 3] RGB, or each window of sound."""
        ...


def read_jpegs(stream: IO[bytes]) -> Iterator[Pixels]:
    """Yields the JPEG pictures of a stream; a damaged one is left out."""
    splitter = JpegSplitter()
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    while data := read(_CHUNK):
        for picture in splitter.feed(data):
            pixels = decode_image(picture)
            if pixels is not None:
                yield pixels


def read_raw(height: int, width: int) -> FrameReader:
    """Returns a reader of bare RGB bytes, every picture height x width, rows without padding."""

    def read(stream: IO[bytes]) -> Iterator[Pixels]:
        while len(data := stream.read(height * width * 3)) == height * width * 3:
            yield np.frombuffer(data, np.uint8).reshape(height, width, 3)

    return read


def read_ppm(stream: IO[bytes]) -> Iterator[Pixels]:
    """Yields the pictures of binary PPM files (P6, 8 bits) one behind the other.

    Raises:
        DeviceError: something else comes.
    """
    while start := stream.readline(64):
        header = start + stream.readline(64) + stream.readline(64)
        found = re.fullmatch(rb"P6\n(\d{1,5}) (\d{1,5})\n255\n", header)
        if found is None:
            raise DeviceError(f"expected PPM pictures, got {header[:40]!r}")
        width, height = int(found[1]), int(found[2])
        if not 0 < height * width * 3 <= _MOST_BYTES:
            raise DeviceError(f"a picture of {width}x{height} is larger than any camera's")
        data = stream.read(height * width * 3)
        if len(data) < height * width * 3:
            return
        yield np.frombuffer(data, np.uint8).reshape(height, width, 3)


class ChildProducer:
    """A program that writes pictures or sound to its stdout; its last words on stderr say why it ended."""

    def __init__(self, command: Sequence[str], reader: FrameReader, packages: str) -> None:
        self._reader, self._name = reader, command[0]
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except FileNotFoundError as error:
            raise MissingToolError(command[0], packages, "this input") from error
        except OSError as error:
            raise DeviceError(f"{command[0]} does not start: {error.strerror}") from error
        self._said: collections.deque[bytes] = collections.deque(maxlen=_LOG_LINES)
        self._listener = threading.Thread(target=self._listen, name="source-log", daemon=True)
        self._listener.start()

    def frames(self) -> Iterator[Array]:
        """Yields frames until the program ends.

        Raises:
            DeviceError: it ended; with its status and last line.
        """
        assert self._child.stdout is not None
        with self._child.stdout as stream:
            yield from self._reader(stream)
        self.stop()
        raise DeviceError(f"{self._name} ended ({self._status()}){self._last_words()}")

    def stop(self) -> None:
        """Kills the program and waits for it; what stands in its pipe is lost, as newer frames come anyway."""
        if self._child.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(0.2 if self._child.stdout and self._child.stdout.closed else 0)
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        self._listener.join(timeout=1)

    def _status(self) -> str:
        status = self._child.returncode
        return f"signal {-status}" if status < 0 else f"status {status}"

    def _last_words(self) -> str:
        lines = [line.decode(errors="replace").strip() for line in self._said]
        last = next((line for line in reversed(lines) if line), "")
        return f": {without_password(last)[:200]}" if last else ""

    def _listen(self) -> None:
        assert self._child.stderr is not None
        with self._child.stderr as stream:
            while line := stream.readline(1024):
                self._said.append(line)


class HttpProducer:
    """MJPEG over HTTP (multipart/x-mixed-replace), as IP cameras and mjpg-streamer send it."""

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        self._parts = urlsplit(url)
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(self._parts.hostname or "", self._parts.port, timeout=timeout_s)
        self._stopped = threading.Event()
        self._socket: socket.socket | None = None

    def frames(self) -> Iterator[Pixels]:
        """Yields pictures until the server ends the stream.

        Raises:
            DeviceError: it is not reached, refuses, or sends no MJPEG.
        """
        try:
            response = self._ask()
            yield from read_jpegs(response)
        except (OSError, http.client.HTTPException) as error:
            raise DeviceError(f"{self._parts.hostname} is lost: {error or type(error).__name__}") from error
        finally:
            self._connection.close()

    def stop(self) -> None:
        """Cuts the connection."""
        self._stopped.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _ask(self) -> http.client.HTTPResponse:
        parts = self._parts
        headers = {"Accept": "multipart/x-mixed-replace, image/jpeg"}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), None, headers)
        self._socket = self._connection.sock  # the connection forgets it once the answer has begun
        if self._stopped.is_set():
            raise DeviceError("it was stopped")
        response = self._connection.getresponse()
        kind = response.getheader("Content-Type", "nothing")
        if response.status != http.client.OK:
            raise DeviceError(f"{parts.hostname} answers {response.status} {response.reason}")
        if not kind.lower().startswith(("multipart/", "image/jpeg", "video/")):
            raise DeviceError(f"expected an MJPEG stream from {parts.hostname}, got {kind}")
        return response


def without_password(words: str) -> str:
    """Returns the words with user and password of every URL taken out, for messages and pages."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", words)
