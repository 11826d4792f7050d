"""A worker whose calls end the process in the ways that native code does; `python -m tests.crashing_worker`."""

from __future__ import annotations

import os
import signal
import sys
import threading

from edgert.runtime.wire import Message
from edgert.runtime.worker import serve_stdio


def die(request: Message) -> Message:
    sys.stderr.write("last words\n")
    sys.stderr.flush()
    os.kill(os.getpid(), getattr(signal, request.body.get("signal", "SIGSEGV")))
    return Message({})


def hang(_: Message) -> Message:
    threading.Event().wait()
    return Message({})


def chatter(_: Message) -> Message:
    os.write(1, b"a library that prints to stdout\n")
    return Message({"said": True})


def leave(_: Message) -> Message:
    os._exit(7)


if __name__ == "__main__":
    calls = {"load": die, "run": die, "hang": hang, "chatter": chatter, "leave": leave}
    raise SystemExit(serve_stdio(calls))
