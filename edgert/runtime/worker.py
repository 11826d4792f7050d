"""The process that runs models on a device: `python -m edgert.runtime.worker`, spoken to over stdin and stdout.

Requests are messages (edgert.runtime.wire) whose body is {"call": NAME, ...}; a reply's body is {"ok": true, ...} or
{"ok": false, "error": TYPE, "text": ..., "trace": ...}. The worker ends when stdin does.
"""

from __future__ import annotations

import os
import platform
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import BinaryIO

import numpy as np

import edgert
from edgert.bundle import TensorSpec
from edgert.codec import to_plain
from edgert.errors import (
    DeviceError,
    EdgertError,
    EngineError,
    InputFileError,
    InternalError,
    UsageError,
    did_you_mean,
)
from edgert.plugins import EngineOptions
from edgert.runtime.cpu import dot_product
from edgert.runtime.engine_run import LocalEngines
from edgert.runtime.engines import ENGINES, get_engine
from edgert.runtime.memory import return_freed_memory
from edgert.runtime.session import Session, load
from edgert.runtime.wire import PROTOCOL, Message, read_message, write_message

__all__ = ["Handler", "SessionHandlers", "main", "serve", "serve_stdio"]

Handler = Callable[[Message], Message]


class SessionHandlers:
    """Holds the one loaded session of a worker and answers hello, load, run and close."""

    def __init__(self) -> None:
        self._session: Session | None = None

    def table(self) -> dict[str, Handler]:
        """The calls this object answers."""
        return {
            "hello": self.hello,
            "engines": self.engines,
            "run_model": self.run_model,
            "load": self.load,
            "run": self.run,
            "close": self.close,
        }

    def hello(self, _: Message) -> Message:
        """Returns versions of everything that matters for what runs here."""
        return Message(
            {
                "protocol": PROTOCOL,
                "edgert": edgert.__version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "machine": platform.machine(),
                "system": platform.system(),
            }
        )

    def engines(self, _: Message) -> Message:
        """Returns the version of every engine that loads here, None for the others."""
        versions = {name: get_engine(name).version() for name in ENGINES}
        return Message({"engines": versions, "dot_product": dot_product().value})

    def run_model(self, request: Message) -> Message:
        """Runs the bytes of a model file in an engine, for a comparison; `samples` counts the arrays of each sample."""
        body, arrays = request.body, request.arrays
        counts = [int(count) for count in body["samples"]]
        samples = [[arrays[f"{row}.{column}"] for column in range(count)] for row, count in enumerate(counts)]
        options = EngineOptions(body["threads"], body["options"], bool(body["profile_layers"]))
        ran = LocalEngines().run(body["engine"], arrays["model"].tobytes(), body["format"], options, samples)
        values = {
            f"{row}.{column}": array for row, outputs in enumerate(ran.values) for column, array in enumerate(outputs)
        }
        facts = {"inputs": ran.inputs, "outputs": ran.outputs, "layers": ran.layers, "facts": ran.facts}
        return Message(facts, values)

    def load(self, request: Message) -> Message:
        """Loads `path`; returns inputs, outputs, facts and the variant's id."""
        body = request.body
        self._drop()
        self._session = load(
            body["path"],
            variant=body.get("variant"),
            threads=body.get("threads"),
            engine=body.get("engine"),
            options=body.get("options") or {},
            tuned=bool(body.get("tuned", True)),
            accelerator=body.get("accelerator"),
        )
        return_freed_memory()
        return Message(
            {
                "variant": self._session.variant.id,
                "inputs": [_plain_port(self._session, spec) for spec in self._session.inputs],
                "outputs": [_plain_port(self._session, spec) for spec in self._session.outputs],
                "facts": self._session.facts(),
            }
        )

    def run(self, request: Message) -> Message:
        """Runs the arrays of the request; with `batch_size`, as many samples along the leading axis."""
        session = self._session
        if session is None:
            raise UsageError("worker: run before load")
        quantized = bool(request.body.get("quantized", False))
        batch_size = request.body.get("batch_size")
        if batch_size is None:
            return Message({}, session.run(request.arrays, quantized=quantized))
        return Message({}, session.run_batched(request.arrays, int(batch_size), quantized=quantized))

    def close(self, _: Message) -> Message:
        """Frees the model."""
        self._drop()
        return Message({})

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def serve(handlers: Mapping[str, Handler], reader: BinaryIO, writer: BinaryIO) -> None:
    """Answers requests until `reader` ends; an exception becomes an error reply and the loop goes on.

    Raises:
        DeviceError: the peer speaks another protocol; nothing sensible can follow.
    """
    while (request := read_message(reader)) is not None:
        try:
            reply = _dispatch(handlers, request)
        except Exception as error:  # every failure of a handler belongs to the caller on the other side
            reply = Message(_error_body(error))
        write_message(writer, reply)


def serve_stdio(handlers: Mapping[str, Handler]) -> int:
    """Serves on stdin and stdout; whatever else prints goes to stderr, so it cannot break the protocol."""
    writer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        serve(handlers, sys.stdin.buffer, writer)
    except DeviceError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except (BrokenPipeError, KeyboardInterrupt):
        return 1
    return 0


def main() -> int:
    """Runs the worker with the calls of a session."""
    return serve_stdio(SessionHandlers().table())


def _dispatch(handlers: Mapping[str, Handler], request: Message) -> Message:
    name = str(request.body.get("call"))
    handler = handlers.get(name)
    if handler is None:
        raise UsageError(f"worker has no call {name!r}{did_you_mean(name, handlers)}")
    reply = handler(request)
    return Message({"ok": True, **reply.body}, reply.arrays)


def _error_body(error: Exception) -> dict[str, object]:
    typed = _typed(error)
    return {"ok": False, "error": type(typed).__name__, "text": str(typed), "trace": traceback.format_exc()}


def _typed(error: Exception) -> EdgertError:
    if isinstance(error, EdgertError):
        return error
    if isinstance(error, MemoryError):
        return EngineError(f"the device has not enough memory for this ({str(error) or 'out of memory'})")
    if isinstance(error, OSError) and error.filename is not None:
        return InputFileError(f"{error.filename}: cannot be used ({error.strerror})")
    return InternalError(f"{type(error).__name__}: {error}")


def _plain_port(session: Session, spec: TensorSpec) -> dict[str, object]:
    plain = to_plain(spec)
    quant = session.quant_of(spec.name)
    return {**plain, "quant": None if quant is None else to_plain(quant)}


if __name__ == "__main__":
    raise SystemExit(main())
