"""This computer as a device: the worker is a child process, so a model that crashes it crashes nothing else."""

from __future__ import annotations

import collections
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO, cast

import edgert
from edgert.devices.names import Device
from edgert.errors import DeviceError
from edgert.plugins import WorkerChannel

__all__ = ["LocalTransport", "open_local"]

_LOG_LINES = 40


def open_local(device: Device) -> LocalTransport:
    """Returns the transport to this computer."""
    del device
    return LocalTransport()


class LocalTransport:
    """Starts workers with this interpreter (or another one of this computer)."""

    def __init__(self, python: str = sys.executable) -> None:
        self.url = "local:"
        self._python = python
        self._channels: list[_ChildChannel] = []

    def put(self, local: Path) -> str:
        """The file is already here."""
        return str(local.resolve())

    def start_worker(self, module: str) -> WorkerChannel:
        """Starts `python -m module` as a child in its own session.

        Raises:
            DeviceError: the interpreter cannot be started.
        """
        roots = [str(Path(edgert.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(root for root in roots if root)}
        folder: str | None = None
        try:
            # temporary files of an engine whose process is killed or crashes would stay for ever
            folder = tempfile.mkdtemp(prefix="edgert-worker-")
            # its own session: Ctrl-C reaches this process only, which then ends the child in an orderly way
            child = subprocess.Popen(
                [self._python, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**environment, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder)},
                start_new_session=True,
            )
        except OSError as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            raise DeviceError(f"cannot start the worker with {self._python}: {error.strerror or error}") from error
        channel = _ChildChannel(child, folder)
        self._channels.append(channel)
        return channel

    def close(self) -> None:
        """Ends every worker that was started here."""
        for channel in self._channels:
            channel.kill()


class _ChildChannel:
    """Pipes to one child, and the folder of its temporary files; a thread keeps the last lines of its stderr."""

    def __init__(self, child: subprocess.Popen[bytes], folder: str) -> None:
        self._child = child
        self._folder = folder
        self.reader = cast("BinaryIO", child.stdout)
        self.writer = cast("BinaryIO", child.stdin)
        self._errors = cast("BinaryIO", child.stderr)
        self._lines: collections.deque[str] = collections.deque(maxlen=_LOG_LINES)
        self._drain = threading.Thread(target=self._keep_lines, daemon=True)
        self._drain.start()

    def exit_status(self, timeout_s: float) -> int | None:
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def log_tail(self) -> str:
        self._drain.join(timeout=1.0 if self._child.poll() is not None else 0.0)
        return "\n".join(self._lines)

    def kill(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._drain.join(timeout=1.0)
        for stream in (self.writer, self._errors):
            _close_quietly(stream)

    def _keep_lines(self) -> None:
        for line in self._errors:
            self._lines.append(line.decode(errors="replace").rstrip())


def _close_quietly(stream: BinaryIO) -> None:
    try:
        stream.close()
    except OSError:  # unsent bytes to a dead child
        return
