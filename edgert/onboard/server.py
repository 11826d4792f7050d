"""Serves one laptop over stdin and stdout: requests are JSON, uploads and workers are channels of their own.

It ends, and all it started with it, when stdin ends, when a signal says so, or when the laptop was silent for as long
as it said itself: a link that is down says nothing, and no process may stay on a board that nobody talks to.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgert.onboard.admitted import AdmittedError
from edgert.onboard.apps import BoardApps
from edgert.onboard.authorized import AuthorizeError, authorize_key
from edgert.onboard.environments import (
    SetupError,
    current_environment,
    make_environment,
    pip_environment,
    remove_old_environments,
)
from edgert.onboard.facts import read_facts
from edgert.onboard.folder import BoardFolder
from edgert.onboard.frames import Frame, FrameError, Kind, read_frame, write_frame
from edgert.onboard.manifest import ManifestError
from edgert.onboard.releases import ReleaseError
from edgert.onboard.services import ServiceError
from edgert.onboard.uploads import Upload, UploadError, find_file, open_upload
from edgert.onboard.workers import Worker

__all__ = ["PROTOCOL", "Server", "main"]

PROTOCOL = 1
_POLL_S = 0.5
_MAKING_S = 5.0
_SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
_REFUSALS = (
    *(UploadError, SetupError, AuthorizeError, ReleaseError, ManifestError, AdmittedError, ServiceError),
    *(OSError, KeyError, TypeError, ValueError),
)

Body = dict[str, Any]  # Any: JSON values


class Server:
    """The state of one connection.

    Args:
        folder: of edgert on the board.
        code: the folder that edgert's board part was unpacked to.
        silence_s: without a frame from the laptop for that long, this process ends.
    """

    def __init__(self, folder: BoardFolder, code: Path, silence_s: float) -> None:
        self._folder, self._code, self._silence_s = folder, code, silence_s
        self._apps = BoardApps(folder, code)
        self._making: list[threading.Thread] = []
        self._output = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # whatever prints cannot break the frames
        self._sending = threading.Lock()
        self._uploads: dict[int, Upload] = {}
        self._workers: dict[int, Worker] = {}
        self._heard_s = time.monotonic()
        self._calls: dict[str, Callable[[Body], Body]] = {
            "facts": self._facts,
            "put": self._put,
            "make_environment": self._make_environment,
            "pip_environment": self._pip_environment,
            "authorize": self._authorize,
            "clean": self._clean,
            **self._apps.calls,
        }

    def serve(self) -> None:
        """Answers until the laptop ends the connection."""
        threading.Thread(target=self._watch, daemon=True).start()
        self._send(Frame.of(Kind.REPLY, 0, {"protocol": PROTOCOL, "folder": str(self._folder.base)}))
        with os.fdopen(os.dup(0), "rb") as stream:
            while (frame := read_frame(stream)) is not None:
                self._heard_s = time.monotonic()
                self._take(frame)

    def end(self) -> None:
        """Ends every worker and whatever is being made; uploads stay to be resumed."""
        self._folder.is_ending.set()
        for worker in list(self._workers.values()):
            worker.kill()
        for upload in list(self._uploads.values()):
            upload.close()
        deadline_s = time.monotonic() + _MAKING_S
        for thread in self._making:
            thread.join(max(0.0, deadline_s - time.monotonic()))

    def _take(self, frame: Frame) -> None:
        channel = frame.channel
        if frame.kind is Kind.BEAT:
            self._send(frame)
        elif frame.kind is Kind.REQUEST:
            self._answer(frame)
        elif frame.kind is Kind.DATA and channel in self._workers:
            self._workers[channel].write(frame.payload)
        elif frame.kind is Kind.DATA and channel in self._uploads:
            self._store(channel, frame.payload)
        elif frame.kind is Kind.END and channel in self._workers:
            threading.Thread(target=self._workers.pop(channel).kill, daemon=True).start()
        elif frame.kind is Kind.END and channel in self._uploads:
            self._uploads.pop(channel).close()

    def _answer(self, frame: Frame) -> None:
        body = frame.body()
        if body.get("call") == "start_worker":
            self._reply(frame.channel, body, self._start_worker)  # in this thread: see Worker
            return
        call = self._calls.get(str(body.get("call")))
        if call is None:
            self._send(Frame.of(Kind.REPLY, frame.channel, {"error": f"no call {body.get('call')!r}"}))
            return
        thread = threading.Thread(target=self._reply, args=(frame.channel, body, call), daemon=True)
        self._making.append(thread)
        thread.start()

    def _reply(self, channel: int, body: Body, call: Callable[[Body], Body]) -> None:
        try:
            reply = call({**body, "channel": channel})
        except _REFUSALS as error:
            self._send(Frame.of(Kind.REPLY, channel, {"error": _words(error)}))
            return
        self._send(Frame.of(Kind.REPLY, channel, reply))

    def _facts(self, _: Body) -> Body:
        environment = current_environment(self._folder)
        site_packages = None if environment is None else environment.site_packages
        facts = read_facts(site_packages, self._folder.free_bytes())
        return {"facts": facts, "environment": None if environment is None else environment.folder.name}

    def _put(self, body: Body) -> Body:
        wanted = str(body["sha256"]), int(body["size_bytes"]), str(body["name"])
        found = find_file(self._folder, *wanted)
        if found is not None:
            return {"path": str(found)}
        upload = open_upload(self._folder, *wanted, wait_s=1.5 * self._silence_s)
        found = find_file(self._folder, *wanted)
        if found is not None:  # from another laptop, which was waited for
            upload.drop()
            return {"path": str(found)}
        if not upload.missing_bytes:
            return {"path": str(upload.finish())}
        self._uploads[int(body["channel"])] = upload
        return {"offset": upload.offset}

    def _store(self, channel: int, data: bytes) -> None:
        upload = self._uploads[channel]
        try:
            upload.write(data)
        except (UploadError, OSError) as error:
            self._uploads.pop(channel).close()
            self._send(Frame.of(Kind.END, channel, {"error": _words(error)}))
            return
        if upload.missing_bytes:
            self._send(Frame(Kind.CREDIT, channel, len(data).to_bytes(4, "little")))
            return
        self._uploads.pop(channel)
        thread = threading.Thread(target=self._finish, args=(channel, upload), daemon=True)
        self._making.append(thread)
        thread.start()  # a slow card takes longer to write and read a large file than the laptop waits for a heartbeat

    def _finish(self, channel: int, upload: Upload) -> None:
        try:
            end = {"path": str(upload.finish())}
        except (UploadError, OSError) as error:
            end = {"error": _words(error)}
        upload.close()
        self._send(Frame.of(Kind.END, channel, end))

    def _make_environment(self, body: Body) -> Body:
        wheels = [Path(str(path)) for path in body["wheels"]]
        leave_out = [str(pattern) for pattern in body["leave_out"]]
        shared = bool(body["system_site_packages"])
        made = make_environment(self._folder, str(body["name"]), wheels, leave_out, system_site_packages=shared)
        for wheel in wheels:
            wheel.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                wheel.parent.rmdir()
        return {"environment": made.folder.name, "bytes": _size_bytes(made.folder)}

    def _pip_environment(self, body: Body) -> Body:
        words = [str(word) for word in body["requirements"]], [str(word) for word in body["index"]]
        shared = bool(body["system_site_packages"])
        made = pip_environment(self._folder, str(body["name"]), *words, system_site_packages=shared)
        return {"environment": made.folder.name, "bytes": _size_bytes(made.folder)}

    def _authorize(self, body: Body) -> Body:
        return {"added": authorize_key(str(body["key"]), Path.home())}

    def _clean(self, _: Body) -> Body:
        for worker in list(self._workers.values()):
            worker.kill()
        self._apps.remove_all()
        found = self._folder.base.is_dir()
        self._folder.remove()
        return {"removed": str(self._folder.base) if found else None}

    def _start_worker(self, body: Body) -> Body:
        environment = current_environment(self._folder)
        if environment is None:
            raise SetupError("nothing is set up on this board yet")
        channel = int(body["channel"])
        module = str(body["module"])
        self._workers[channel] = Worker(channel, environment, module, self._code, self._folder, self._send)
        return {}

    def _send(self, frame: Frame) -> None:
        try:
            with self._sending:
                write_frame(self._output, frame)
        except (OSError, ValueError):  # the laptop is gone; stdin tells the same
            return

    def _watch(self) -> None:
        while time.monotonic() - self._heard_s < self._silence_s:
            # not time.sleep: it ends this thread under libfaketime, by which tests step clocks
            select.select([], [], [], _POLL_S)
        self.end()
        os._exit(1)  # the main thread waits for a frame that never comes


def main(base: str, code: str, silence_s: float) -> int:
    """Serves until the end; `base` is edgert's folder on the board, `silence_s` as in Server."""
    folder = BoardFolder(Path(base))
    for number in _SIGNALS:
        signal.signal(number, _stop)
    with folder.using(Path(code)):
        folder.sweep()
        remove_old_environments(folder)
        server = Server(folder, Path(code), silence_s)
        try:
            server.serve()
        except (FrameError, KeyboardInterrupt) as error:
            sys.stderr.write(f"edgert: {error}\n")
            return 1
        finally:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            server.end()
    return 0


def _stop(number: int, _: object) -> None:
    raise KeyboardInterrupt(f"ended by signal {number}")


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return f"{type(error).__name__}: {error}" if isinstance(error, KeyError | TypeError | ValueError) else str(error)


def _size_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))
