"""Worker processes on the board: a child with its own session, whose streams travel as frames of one channel."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import BinaryIO, cast

from edgert.onboard.folder import BoardFolder
from edgert.onboard.frames import CHUNK_BYTES, Frame, Kind

__all__ = ["Worker", "become_child"]

Send = Callable[[Frame], None]

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_KILLED_S = 5.0
_TAKE_ME_FIRST = b"500"
"""oom_score_adj: when memory runs out, the worker goes and the connection stays, which then tells."""


class Worker:
    """One child. Make it in the main thread: it ends with the thread that made it (PR_SET_PDEATHSIG)."""

    def __init__(
        self, channel: int, command: list[str], environment: Mapping[str, str], folder: BoardFolder, send: Send
    ) -> None:
        self._channel, self._send = channel, send
        self._place = contextlib.ExitStack()
        self._removing = threading.Lock()
        tmp = str(self._place.enter_context(folder.staging("worker")))
        settings = {"XDG_CONFIG_HOME": str(folder.config), "XDG_CACHE_HOME": str(folder.cache)}
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=tmp,
                env={**environment, **settings, "TMPDIR": tmp},
                start_new_session=True,
                preexec_fn=become_child,  # noqa: PLW1509  # only system calls, and no thread holds a lock it needs
            )
        except BaseException:
            self._place.close()
            raise
        self._queue: collections.deque[bytes | None] = collections.deque()
        self._wake = threading.Condition()
        self._threads = [
            threading.Thread(target=self._feed, daemon=True),
            threading.Thread(target=self._pump, args=(self._child.stdout, Kind.DATA), daemon=True),
            threading.Thread(target=self._pump, args=(self._child.stderr, Kind.ERRORS), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._await_end, daemon=True).start()

    def write(self, data: bytes | None) -> None:
        """Hands bytes to the child's standard input; None closes it."""
        with self._wake:
            self._queue.append(data)
            self._wake.notify()

    def kill(self) -> None:
        """Ends the child and all its descendants, and removes its temporary files."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._child.wait(_KILLED_S)
        with self._removing:  # who comes second waits until the files are gone
            self._place.close()

    def _feed(self) -> None:
        stdin = cast("BinaryIO", self._child.stdin)
        while True:
            with self._wake:
                while not self._queue:
                    self._wake.wait()
                data = self._queue.popleft()
            if data is None:
                with contextlib.suppress(OSError):
                    stdin.close()
                return
            with contextlib.suppress(OSError):  # its end is told by `_await_end`
                written = 0
                while written < len(data):
                    written += stdin.write(data[written:])
            self._send(Frame(Kind.CREDIT, self._channel, len(data).to_bytes(4, "little")))

    def _pump(self, stream: BinaryIO, kind: Kind) -> None:
        while data := stream.read(CHUNK_BYTES):
            self._send(Frame(kind, self._channel, data))

    def _await_end(self) -> None:
        status = self._child.wait()
        self.kill()  # what the child left running
        for thread in self._threads[1:]:
            thread.join()
        self.write(None)
        self._send(Frame.of(Kind.END, self._channel, {"status": status}))


def become_child() -> None:
    """Ties a new child to the thread that made it, and offers it to the kernel when memory runs out."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
            file.write(_TAKE_ME_FIRST)
