"""A source that stays up: one thread reads, the newest frame wins, what dies or stalls is started anew."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from edgert.app.frames import Array, Frame, NewestSlot, SourceHealth
from edgert.errors import EdgertError

__all__ = ["LiveSource", "Producer", "Timing"]


class Producer(Protocol):
    """One attempt at a source: frames until it ends."""

    def frames(self) -> Iterator[Array]:
        """Yields the values of each frame; returns where the stream ended.

        Raises:
            DeviceError: it does not start, or gives something else.
        """
        ...

    def stop(self) -> None:
        """Makes `frames` end soon; called from another thread, at any time, more than once."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: without a frame for `stall_s` a source counts as stalled (`start_s` for the first frame).

    Between attempts it waits `first_wait_s`, twice as long each time, at most `longest_wait_s`; frames over `stable_s`
    make the next wait the first one again.
    """

    stall_s: float = 5.0
    start_s: float = 15.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    stable_s: float = 5.0


class LiveSource:
    """Reads producers in a thread of its own; `read` returns the newest frame and notices a stall."""

    def __init__(self, words: str, make: Callable[[], Producer], timing: Timing | None = None) -> None:
        self.words = words
        self._make = make
        self._timing = timing or Timing()
        self._slot: NewestSlot[Frame] = NewestSlot()
        self._closed = threading.Event()
        self._guard = threading.Lock()
        self._producer: Producer | None = None
        self._deadline_s = float("inf")
        self._stalled = False
        self._frames = self._restarts = 0
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._work, name="frames", daemon=True)
        self._thread.start()

    def read(self, timeout_s: float) -> Frame | None:
        """Returns the newest frame that was not returned before; None where none came in that time."""
        frame = self._slot.take(timeout_s)
        if frame is None:
            self._end_if_stalled()
        return frame

    def health(self) -> SourceHealth:
        """How it has been going."""
        return SourceHealth(self.words, self._frames, self._slot.replaced, self._restarts, self._problem)

    def close(self) -> None:
        """Ends the producer and the thread; safe to call twice."""
        self._closed.set()
        with self._guard:
            producer = self._producer
        if producer is not None:
            producer.stop()
        self._thread.join(timeout=5)

    def _end_if_stalled(self) -> None:
        with self._guard:
            producer, late = self._producer, time.monotonic() > self._deadline_s
            if producer is None or not late:
                return
            self._stalled, self._deadline_s = True, float("inf")
            self._problem = "it gave no frame any more" if self._frames else "it gave no frame"
        producer.stop()

    def _work(self) -> None:
        wait_s = self._timing.first_wait_s
        while not self._closed.is_set():
            lasted_s = self._attempt()
            if lasted_s > self._timing.stable_s:
                wait_s = self._timing.first_wait_s
            if self._closed.wait(wait_s):
                return
            wait_s = min(2 * wait_s, self._timing.longest_wait_s)
            self._restarts += 1

    def _attempt(self) -> float:
        """Runs one producer to its end; returns for how many seconds it gave frames."""
        first_s = last_s = 0.0
        try:
            producer = self._begin()
            for values in producer.frames():
                last_s = time.monotonic()
                first_s = first_s or last_s
                self._deliver(values, last_s)
            problem = "it ended"
        except EdgertError as error:
            problem = str(error)
        except Exception as error:  # one source must not take the app down, whatever a library raises
            problem = f"{type(error).__name__}: {error}"
        self._finish(problem)
        return last_s - first_s

    def _begin(self) -> Producer:
        producer = self._make()
        with self._guard:
            self._producer, self._stalled = producer, False
            self._deadline_s = time.monotonic() + self._timing.start_s
        if self._closed.is_set():
            producer.stop()  # closed while it was made: its frames end at once
        return producer

    def _deliver(self, values: Array, now_s: float) -> None:
        with self._guard:
            self._deadline_s = now_s + self._timing.stall_s
            self._problem = None
        self._frames += 1
        self._slot.put(Frame(values, now_s, self._frames))

    def _finish(self, problem: str) -> None:
        with self._guard:
            producer, self._producer, self._deadline_s = self._producer, None, float("inf")
            if not self._stalled:
                self._problem = problem
        if producer is not None:
            producer.stop()
