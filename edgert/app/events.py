"""What happened and when: lines of JSON on stdout, and the newest of them for the page."""

from __future__ import annotations

import collections
import datetime
import json
import time
from dataclasses import asdict, dataclass
from typing import TextIO

from edgert.app.frames import Frame
from edgert.codec import JsonValue

__all__ = ["MOST_EVENTS", "Event", "Journal"]

MOST_EVENTS = 50


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened once. `at` is UTC in ISO 8601, `stream_s` seconds since the input's first sample."""

    label: str
    score: float
    stream_s: float
    at: str

    @classmethod
    def of(cls, frame: Frame, label: str, score: float, stream_s: float) -> Event:
        """Returns the event of a frame, at the time when its last byte had come."""
        ago = datetime.timedelta(seconds=time.monotonic() - frame.captured_s)
        at = (datetime.datetime.now(datetime.timezone.utc) - ago).isoformat(timespec="milliseconds")
        return cls(label, round(score, 4), round(stream_s, 3), at.replace("+00:00", "Z"))


class Journal:
    """Keeps the newest events and writes each as one line, at once."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._newest: collections.deque[Event] = collections.deque(maxlen=MOST_EVENTS)
        self.count = 0

    def add(self, event: Event) -> None:
        """Takes an event."""
        self._newest.appendleft(event)
        self.count += 1
        self._out.write(json.dumps(asdict(event)) + "\n")
        self._out.flush()

    def newest(self) -> list[JsonValue]:
        """Returns the newest events for JSON, the newest first; called from any thread."""
        return [asdict(event) for event in list(self._newest)]
