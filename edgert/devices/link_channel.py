"""One upload, worker or request of a connection to a board: requests, bytes both ways under flow control, an end."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from edgert.codec import JsonValue
from edgert.devices.ssh_words import add_remedy
from edgert.errors import DeviceError
from edgert.onboard.frames import CHUNK_BYTES, WINDOW_BYTES, Frame, Kind

__all__ = ["ChannelLink", "LinkChannel"]

_LAST_LINES = 60


class ChannelLink(Protocol):
    """What a channel needs of its connection (edgert.devices.link.Link)."""

    name: str
    lock: threading.Condition

    def send(self, frame: Frame) -> None:
        """Sends a frame."""
        ...

    def await_change(self, is_done: Callable[[], bool], timeout_s: float | None, what: str) -> None:
        """Waits until `is_done`."""
        ...

    def forget(self, channel: int) -> None:
        """Takes no more frames for a channel."""
        ...


class LinkChannel:
    """One upload, worker or request of a connection."""

    def __init__(self, link: ChannelLink, number: int) -> None:
        self._link, self.number = link, number
        self._replies: deque[dict[str, Any]] = deque()  # Any: JSON values
        self._unanswered = 0
        self._incoming = bytearray()
        self.end: dict[str, Any] | None = None
        self.errors: deque[bytes] = deque(maxlen=_LAST_LINES)

    def request(self, call: str, timeout_s: float, body: Mapping[str, JsonValue] | None = None) -> dict[str, Any]:
        """Asks the board for something in this channel; see `Link.request`."""
        self._link.send(Frame.of(Kind.REQUEST, self.number, {"call": call, **(body or {})}))
        self._link.await_change(lambda: bool(self._replies), timeout_s, call.replace("_", " "))
        reply = self._replies.popleft()
        if "error" in reply:
            raise DeviceError(f"{self._link.name}: {add_remedy(str(reply['error']))}")
        return reply

    def write(self, data: bytes | memoryview) -> None:
        """Sends bytes, at most WINDOW_BYTES ahead of what the board has taken.

        Raises:
            LinkLostError: the connection ended or fell silent.
        """
        view = memoryview(data)
        for start in range(0, len(view), CHUNK_BYTES):
            chunk = bytes(view[start : start + CHUNK_BYTES])
            self._link.await_change(self._has_room, None, "sending")
            if self.end is not None:
                return
            self._unanswered += len(chunk)
            self._link.send(Frame(Kind.DATA, self.number, chunk))

    def await_end(self, timeout_s: float | None) -> dict[str, Any]:
        """Returns what the board said at the end of the channel.

        Raises:
            LinkLostError: the connection ended or fell silent.
            DeviceError: it takes longer than `timeout_s`.
        """
        self._link.await_change(lambda: self.end is not None, timeout_s, "the board")
        return cast("dict[str, Any]", self.end)

    def read(self, size: int) -> bytes:
        """Returns up to `size` bytes as soon as there are some; none at the end of the channel.

        Raises:
            LinkLostError: the connection ended or fell silent.
        """
        self._link.await_change(lambda: bool(self._incoming) or self.end is not None, None, "reading")
        with self._link.lock:
            data = bytes(self._incoming[:size])
            del self._incoming[: len(data)]
        return data

    def close(self) -> None:
        """Ends the channel, and what it stands for on the board."""
        if self.end is None:
            with contextlib.suppress(DeviceError):
                self._link.send(Frame(Kind.END, self.number))
        self._link.forget(self.number)

    def take(self, frame: Frame) -> None:
        """Takes a frame from the board; called by the thread that listens."""
        if frame.kind is Kind.REPLY:
            self._replies.append(frame.body())
        elif frame.kind is Kind.DATA:
            self._incoming += frame.payload
        elif frame.kind is Kind.CREDIT:
            self._unanswered -= int.from_bytes(frame.payload, "little")
        elif frame.kind is Kind.ERRORS:
            self.errors.append(frame.payload)
        elif frame.kind is Kind.END:
            self.end = frame.body()

    def __enter__(self) -> LinkChannel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _has_room(self) -> bool:
        return self._unanswered < WINDOW_BYTES or self.end is not None
