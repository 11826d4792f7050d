"""Frames of a camera, microphone or file, and the slot between two threads that keeps only the newest."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Frame", "FrameSource", "NewestSlot", "Pixels", "SourceHealth"]

Array = NDArray[Any]  # Any: the source says what it gives

Pixels = NDArray[np.uint8]
"""A picture, uint8[H, W, 3], RGB."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture uint8[H, W, 3] RGB, or one window of sound int16[samples] (of vibration: float32).

    `captured_s` is on `time.monotonic`, taken when its last byte had come; `sequence` counts from 1. `features` is what
    pre-processing made of it for the model, with the batch axis; None before that.
    """

    values: Array
    captured_s: float
    sequence: int
    features: Array | None = None


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """What became of a source so far: `dropped` frames were replaced by newer ones before anybody took them.

    `restarts` counts how often it was started anew after it had died or stalled, `problem` says why in words; None
    while frames come.
    """

    words: str
    frames: int = 0
    dropped: int = 0
    restarts: int = 0
    problem: str | None = None


class FrameSource(Protocol):
    """Where frames come from."""

    def read(self, timeout_s: float) -> Frame | None:
        """Returns the newest frame that was not returned before; None where none came in that time."""
        ...

    def health(self) -> SourceHealth:
        """How it has been going."""
        ...

    def close(self) -> None:
        """Ends it; safe to call twice."""
        ...


class NewestSlot(Generic[T]):
    """Holds one value; a new one replaces the old, so nothing ever queues up."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: T | None = None
        self.replaced = 0

    def put(self, value: T) -> None:
        """Stores the value; `replaced` counts those that nobody took."""
        with self._changed:
            self.replaced += self._value is not None
            self._value = value
            self._changed.notify_all()

    def take(self, timeout_s: float) -> T | None:
        """Returns the value and empties the slot; None where nothing came in that time."""
        with self._changed:
            if self._value is None:
                self._changed.wait(timeout_s)
            value, self._value = self._value, None
            return value

    def wake(self) -> None:
        """Makes `take` return at once."""
        with self._changed:
            self._changed.notify_all()
