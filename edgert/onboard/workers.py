"""Worker processes on the board: a child with its own session, whose streams travel as frames of one channel."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from edgert.onboard.child import become_child
from edgert.onboard.environments import Environment
from edgert.onboard.folder import BoardFolder
from edgert.onboard.frames import CHUNK_BYTES, Frame, Kind

__all__ = ["Worker"]

Send = Callable[[Frame], None]

_KILLED_S = 5.0


class Worker:
    """One child. Make it in the main thread: it ends with the thread that made it (PR_SET_PDEATHSIG)."""

    def __init__(
        self, channel: int, environment: Environment, module: str, code: Path, folder: BoardFolder, send: Send
    ) -> None:
        """Starts `python -m module` of an environment, with edgert's board part in `code`.

        Raises:
            OSError: it cannot be started.
        """
        self._channel, self._send = channel, send
        self._place = contextlib.ExitStack()
        self._removing = threading.Lock()
        try:
            tmp = str(self._place.enter_context(folder.staging("worker")))
            self._place.enter_context(folder.using(environment.folder))
            settings = {"XDG_CONFIG_HOME": str(folder.config), "XDG_CACHE_HOME": str(folder.cache)}
            own = {"PYTHONPATH": str(code), "PYTHONNOUSERSITE": "1", "TMPDIR": tmp}
            self._child = subprocess.Popen(
                [str(environment.python), "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=tmp,
                env={**os.environ, **settings, **own},
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
