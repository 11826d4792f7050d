"""The time of a self-test: the whole of it, and how long one step may take before it is cut short."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["StepTooLongError", "TimeBudget", "limited"]

_SETTLE_S = 0.2


class StepTooLongError(Exception):
    """A step took longer than it may; what it had open was closed as on Ctrl-C."""


class TimeBudget:
    """How much of the whole time is left; `now` gives seconds."""

    def __init__(self, total_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self.total_s = total_s
        self._now, self._start_s = now, now()

    @property
    def left_s(self) -> float:
        """Seconds until the end."""
        return self.total_s - (self._now() - self._start_s)


def _interrupt() -> None:
    """Does to the main thread what Ctrl-C does; a real signal, where there is one, also ends a wait in the system."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Ends the block after that many seconds by what Ctrl-C does, so that everything in it closes in order.

    Works in the main thread only, as Ctrl-C does.

    Raises:
        StepTooLongError: it took longer.
    """
    lock = threading.Lock()
    state = {"is_over": False, "is_cut": False}

    def cut() -> None:
        with lock:
            if not state["is_over"]:
                state["is_cut"] = True
                _interrupt()

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        try:
            yield
        finally:
            with lock:
                state["is_over"] = True
            timer.cancel()
        if state["is_cut"]:
            time.sleep(_SETTLE_S)  # it arrives here at the latest
    except KeyboardInterrupt as error:
        if state["is_cut"]:
            raise StepTooLongError(f"cut short after {seconds:.0f} s") from error
        raise
