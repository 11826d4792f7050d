"""What every child of the server does between fork and exec."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys

__all__ = ["become_child"]

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_TAKE_ME_FIRST = b"500"
"""oom_score_adj: when memory runs out, the child goes and the connection stays, which then tells."""


def become_child() -> None:
    """Ties a new child to the thread that made it, and offers it to the kernel when memory runs out."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
            file.write(_TAKE_ME_FIRST)
