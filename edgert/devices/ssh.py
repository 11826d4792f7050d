"""A Linux board over SSH as a Transport: files by content hash, workers as channels of one connection."""

from __future__ import annotations

import dataclasses
import io
import re
import time
from pathlib import Path
from typing import Any, BinaryIO, cast

from edgert.devices.link import Link, LinkLostError
from edgert.devices.link_channel import LinkChannel
from edgert.devices.names import Device
from edgert.devices.ssh_login import Login, parse_login
from edgert.devices.ssh_words import UnreachableError, add_remedy
from edgert.errors import DeviceError, InputFileError
from edgert.onboard.digest import file_sha256
from edgert.plugins import WorkerChannel

__all__ = ["SshTransport", "open_ssh"]

_ATTEMPTS = 3
_PAUSE_S = 2.0
_PUT_S = 120.0
_START_WORKER_S = 30.0
_BUFFER_BYTES = 64 << 10
_UNSAFE = re.compile(r"[^A-Za-z0-9_.+-]")
_LONGEST_NAME = 100


def open_ssh(device: Device, *, is_unattended: bool = False) -> SshTransport:
    """Returns the transport of a device; it connects when it is first used.

    Args:
        device: with an ssh:// URL.
        is_unattended: nothing is asked on a terminal, and Ctrl-C there does not end it: for several at once.

    Raises:
        UsageError: the URL is none.
    """
    login = dataclasses.replace(parse_login(device.url), is_unattended=is_unattended)
    return SshTransport(login, device.name, device.url)


class SshTransport:
    """Connects when first used; an upload that loses its link is resumed on a new one, nothing else is retried."""

    def __init__(self, login: Login, name: str, url: str) -> None:
        self.url = url
        self._login, self._name = login, name
        self._link: Link | None = None
        self._workers: list[_SshWorkerChannel] = []
        self._offset = -1  # what the board had of a file when sending it last began
        self._sent: dict[tuple[Path, int, int], str] = {}

    @property
    def link(self) -> Link:
        """The connection, made where there is none.

        Raises:
            DeviceError: the board cannot be reached, refuses, or has no Python that will do.
        """
        if self._link is None:
            self._link = Link(self._login, self._name)
        return self._link

    def put(self, local: Path) -> str:
        """Returns the path on the board of a file of this computer; it is sent unless it is there.

        Raises:
            InputFileError: the file cannot be read.
            DeviceError: the board cannot be reached, or has no room.
        """
        try:
            found = local.stat()
            key = (local.resolve(), found.st_mtime_ns, found.st_size)
            if key not in self._sent:
                self._offset = -1
                self._sent[key] = self._put_patiently(local, file_sha256(local), found.st_size)
        except OSError as error:
            raise InputFileError(f"{local}: cannot be read ({error.strerror or error})") from error
        return self._sent[key]

    def start_worker(self, module: str) -> WorkerChannel:
        """Starts `python -m module` in the board's private environment.

        Raises:
            DeviceError: nothing is set up on the board, or it cannot be reached.
        """
        channel = self.link.open_channel()
        try:
            channel.request("start_worker", _START_WORKER_S, {"module": module})
        except DeviceError as error:
            channel.close()
            if "nothing is set up" in str(error):
                raise DeviceError(f"{error}; set it up with: edgert devices setup {self._name}") from error
            raise
        worker = _SshWorkerChannel(channel)
        self._workers.append(worker)
        return worker

    def close(self) -> None:
        """Ends the connection, and with it every worker; what was sent stays on the board."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _put_patiently(self, local: Path, sha256: str, size_bytes: int) -> str:
        """Sends a file on as many connections as bring it forward, and `_ATTEMPTS` in a row that do not."""
        in_vain, reached = 0, -1
        while True:
            try:
                return self._put(local, sha256, size_bytes)
            except (LinkLostError, UnreachableError) as error:  # noqa: PERF203  # a few times at most
                in_vain = in_vain + 1 if self._offset <= reached else 1
                reached = max(reached, self._offset)
                if in_vain == _ATTEMPTS or not self._may_resume(error):
                    raise
                self.close()
                time.sleep(_PAUSE_S)

    def _may_resume(self, error: DeviceError) -> bool:
        """False where a worker would be lost, somebody would be asked for a password again, or there was no link."""
        if any(worker.is_running for worker in self._workers) or (self._link is not None and self._link.used_password):
            return False
        return self._offset >= 0 or isinstance(error, LinkLostError)

    def _put(self, local: Path, sha256: str, size_bytes: int) -> str:
        with self.link.open_channel() as channel, local.open("rb") as stream:
            wanted = {"sha256": sha256, "size_bytes": size_bytes, "name": _board_name(local)}
            reply = channel.request("put", _PUT_S, wanted)
            if "path" in reply:
                return str(reply["path"])
            self._offset = int(reply["offset"])
            stream.seek(self._offset)
            while channel.end is None and (block := stream.read(_BUFFER_BYTES)):
                channel.write(block)
            end = channel.await_end(_PUT_S)
        if "error" in end:
            raise DeviceError(f"{self._name}: {add_remedy(str(end['error']))}")
        return str(end["path"])


class _SshWorkerChannel:
    """A worker's streams and how it ended."""

    def __init__(self, channel: LinkChannel) -> None:
        self._channel = channel
        self._is_killed = False
        self.reader = cast("BinaryIO", io.BufferedReader(_Incoming(channel), _BUFFER_BYTES))
        self.writer = cast("BinaryIO", _Outgoing(channel))

    @property
    def is_running(self) -> bool:
        """True until it has ended."""
        return self._channel.end is None and not self._is_killed

    def exit_status(self, timeout_s: float) -> int | None:
        try:
            end = self._channel.await_end(timeout_s)
        except DeviceError:
            return None
        return int(end["status"]) if "status" in end else None

    def log_tail(self) -> str:
        return b"".join(self._channel.errors).decode(errors="replace")

    def kill(self) -> None:
        self._is_killed = True
        self._channel.close()


class _Incoming(io.RawIOBase):
    def __init__(self, channel: LinkChannel) -> None:
        super().__init__()
        self._channel = channel

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # Any: a writable buffer
        data = self._channel.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Outgoing:
    def __init__(self, channel: LinkChannel) -> None:
        self._channel = channel

    def write(self, data: bytes | memoryview) -> int:
        self._channel.write(data)
        return len(data)

    def flush(self) -> None:
        """Every write is on its way at once."""

    def close(self) -> None:
        """The channel is closed with its worker."""


def _board_name(local: Path) -> str:
    stem = _UNSAFE.sub("_", local.stem)[:_LONGEST_NAME].lstrip(".+-") or "file"
    return stem + _UNSAFE.sub("_", local.suffix)
