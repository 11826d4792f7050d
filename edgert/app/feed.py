"""From the loop's scenes to pictures for the page: encoded once each, only while somebody looks, never waited for."""

from __future__ import annotations

import asyncio
import os
import threading
import time

from edgert.app.findings import Scene, draw_findings, encode_jpeg
from edgert.app.frames import NewestSlot

__all__ = ["MOST_VIEWERS", "PictureFeed", "pause_s"]

MOST_VIEWERS = 10
SHARE = 0.03
"""Of all cores: what drawing and encoding may take. A slow board shows fewer pictures a second, its loop none less.

The thread keeps the loop's priority: with a lower one a busy computer stops it while it holds the interpreter's lock,
and the loop waits for it."""


def pause_s(step_s: float, worked_s: float, cores: int) -> float:
    """Seconds to wait after a picture that took so much processor time, so that the share is kept."""
    return max(step_s, worked_s / (SHARE * cores) - worked_s)


class PictureFeed:
    """`publish` belongs to the loop and costs it a lock; a thread draws and encodes; `next_picture` is for the page."""

    def __init__(self, rate_hz: float = 10.0) -> None:
        self._step_s = 1 / rate_hz
        self._slot: NewestSlot[Scene] = NewestSlot()
        self._closed = threading.Event()
        self._server: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Future[None]
        self._picture: tuple[int, bytes] = (0, b"")
        self.latest: Scene | None = None
        self.viewers = self.encoded = 0
        self._thread = threading.Thread(target=self._work, name="pictures", daemon=True)
        self._thread.start()

    def publish(self, scene: Scene) -> None:
        """Takes the newest scene."""
        self.latest = scene
        if self.viewers and scene.pixels is not None:
            self._slot.put(scene)

    def attach(self, server: asyncio.AbstractEventLoop) -> None:
        """Says which loop of the page is told of new pictures."""
        self._changed = server.create_future()
        self._server = server

    def join(self) -> bool:
        """Counts one more viewer; False: there are as many as there may be."""
        if self.viewers >= MOST_VIEWERS:
            return False
        self.viewers += 1
        if self.latest is not None and self.latest.pixels is not None:
            self._slot.put(self.latest)  # a source that is down still shows its last picture
        return True

    def leave(self) -> None:
        """Counts one viewer less."""
        self.viewers -= 1

    async def next_picture(self, seen: int, again_s: float) -> tuple[int, bytes]:
        """Returns number and JPEG bytes of the newest picture once it is another than `seen`.

        After `again_s` without one it is the last again: sending it shows whether the viewer is still there.
        """
        while self._picture[0] == seen:
            changed = self._changed
            await asyncio.wait((changed,), timeout=again_s)
            if not changed.done():
                break
        return self._picture

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()
        self._slot.wake()
        self._thread.join(timeout=5)

    def _work(self) -> None:
        cores = os.cpu_count() or 1
        while not self._closed.is_set():
            scene = self._slot.take(0.5)
            if scene is None or self._server is None:
                continue
            start_s = time.thread_time()
            data = encode_jpeg(draw_findings(scene))
            worked_s = time.thread_time() - start_s
            self.encoded += 1
            if not self._server.is_closed():
                self._server.call_soon_threadsafe(self._announce, data)
            self._closed.wait(pause_s(self._step_s, worked_s, cores))

    def _announce(self, data: bytes) -> None:
        self._picture = self._picture[0] + 1, data
        assert self._server is not None
        changed, self._changed = self._changed, self._server.create_future()
        changed.set_result(None)
