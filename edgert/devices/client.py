"""The laptop's end of a worker: calls with time-outs, remote errors as our own types, crashes as typed errors."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgert import errors
from edgert.codec import JsonValue
from edgert.errors import DeviceError, EdgertError, EngineError, InternalError, ModelError
from edgert.plugins import Transport, WorkerChannel
from edgert.runtime.wire import Message, read_message, write_message

__all__ = ["RemoteTraceError", "WorkerClient", "remote_error"]

Array = NDArray[Any]  # Any: element types are data

_START_TIMEOUT_S = 60.0
_EXIT_WAIT_S = 5.0
_WORDS = {
    "SIGKILL": "was killed, most likely because memory ran out",
    "SIGSEGV": "crashed (segmentation fault)",
    "SIGBUS": "crashed (bus error)",
    "SIGILL": "used an instruction that this CPU does not have",
    "SIGABRT": "gave up (abort)",
    "SIGFPE": "crashed (arithmetic error)",
}


_CALLS = {"load": "loading the model", "run": "running the model", "profile": "profiling the model"}


class RemoteTraceError(Exception):
    """The traceback of the worker, as the cause of the error it raised; shown with --debug."""


class WorkerClient:
    """One worker on one device. Use as a context manager: leaving it ends the worker, also on Ctrl-C.

    `accelerator` is what the device is expected to run models on besides the CPU (a target's fact); it goes with every
    request to load a model.
    """

    def __init__(
        self, transport: Transport, module: str = "edgert.runtime.worker", accelerator: str | None = None
    ) -> None:
        self._transport = transport
        self.accelerator = accelerator
        self._channel: WorkerChannel = transport.start_worker(module)
        self._closed = False
        self._replies: queue.Queue[Message | BaseException | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def put(self, path: Path) -> str:
        """Returns the path on the device of a file of this computer."""
        return self._transport.put(path)

    def hello(self) -> dict[str, JsonValue]:
        """Returns the versions on the device.

        Raises:
            DeviceError: the worker does not start or speaks another protocol.
        """
        return self.call("hello", timeout_s=_START_TIMEOUT_S, crash=DeviceError).body

    def load(
        self,
        path: Path,
        *,
        variant: str | None = None,
        threads: int | None = None,
        engine: str | None = None,
        options: Mapping[str, str] | None = None,
        tuned: bool = True,
        timeout_s: float = 600.0,
    ) -> dict[str, JsonValue]:
        """Brings the file to the device and loads it; returns inputs, outputs, facts and variant.

        Raises:
            ModelError: the model crashed the engine, or it is damaged.
        """
        choice = {"variant": variant, "threads": threads, "engine": engine, "options": dict(options or {})}
        body = {"path": self._transport.put(path), **choice, "tuned": tuned, "accelerator": self.accelerator}
        return self.call("load", body, timeout_s=timeout_s, crash=ModelError).body

    def run(
        self,
        inputs: Mapping[str, Array],
        *,
        quantized: bool = False,
        batch_size: int | None = None,
        timeout_s: float = 600.0,
    ) -> dict[str, Array]:
        """Runs once, or with `batch_size` over all samples; returns the outputs by name."""
        body = {"quantized": quantized, "batch_size": batch_size}
        return dict(self.call("run", body, inputs, timeout_s=timeout_s).arrays)

    def call(
        self,
        name: str,
        body: Mapping[str, JsonValue] | None = None,
        arrays: Mapping[str, Array] | None = None,
        *,
        timeout_s: float = 600.0,
        crash: type[EdgertError] = EngineError,
    ) -> Message:
        """Makes one call and returns the reply.

        Args:
            name: the call.
            body: its arguments.
            arrays: its arrays.
            timeout_s: after this the worker is ended and EngineError raised.
            crash: the type raised when the worker dies in this call.

        Raises:
            EdgertError: whatever the worker raised, as the same type.
        """
        if self._closed:
            raise crash(f"cannot call {name!r}: the worker has ended")
        with contextlib.suppress(OSError):  # a dead worker is reported below, with how it died
            write_message(self._channel.writer, Message({"call": name, **(body or {})}, arrays or {}))
        try:
            reply = self._replies.get(timeout=timeout_s)
        except queue.Empty as error:
            self.close()
            raise EngineError(f"worker: {name} did not finish within {timeout_s:g} s and was ended") from error
        if reply is None:
            raise self._crashed(name, crash)
        if isinstance(reply, BaseException):
            self.close()
            raise reply
        if not reply.body.get("ok"):
            raise remote_error(reply.body)
        return reply

    def close(self) -> None:
        """Ends the worker."""
        self._closed = True
        self._channel.kill()
        self._listener.join(timeout=_EXIT_WAIT_S)

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _listen(self) -> None:
        try:
            while (message := read_message(self._channel.reader)) is not None:
                self._replies.put(message)
        except (DeviceError, OSError, ValueError) as error:
            self._replies.put(error if isinstance(error, DeviceError) else None)
        else:
            self._replies.put(None)
        finally:
            self._channel.reader.close()

    def _crashed(self, name: str, error_type: type[EdgertError]) -> EdgertError:
        status = self._channel.exit_status(_EXIT_WAIT_S)
        self.close()
        last = self._channel.log_tail().strip().splitlines()[-1:]
        said = f"; it last wrote: {last[0]}" if last else ""
        what = _CALLS.get(name, f"answering {name!r}")
        return error_type(f"the worker {_describe_status(status)} while {what}{said}")


def remote_error(body: Mapping[str, JsonValue]) -> EdgertError:
    """Returns the error of a reply as the type that the worker raised."""
    kind = getattr(errors, str(body.get("error")), InternalError)
    if not (isinstance(kind, type) and issubclass(kind, EdgertError)):
        kind = InternalError
    while "__init__" in vars(kind) and kind is not ModelError:  # its text is built from facts that did not travel
        kind = kind.__mro__[1]
    error: EdgertError = kind(str(body.get("text")))
    error.__cause__ = RemoteTraceError(str(body.get("trace", "")))
    return error


def _describe_status(status: int | None) -> str:
    if status is None:
        return "stopped answering"
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return _WORDS.get(name, f"was ended by {name}")
    return f"ended with status {status}"
