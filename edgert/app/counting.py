"""Counts boxes whose centre crosses a line, by following each from frame to frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgert.app.findings import Finding

__all__ = ["LineCounter"]

_MOST_TRACKS = 200


@dataclass(slots=True)
class _Track:
    label: str
    x: float
    y: float
    seen: int


class LineCounter:
    """A level line at `height` pixels; `down` and `up` are how many centres have crossed it since the start.

    A box continues the nearest track of its label whose last centre is at most the box's longer side away; a track that
    was not seen for `patience` frames is forgotten. Objects that swap places between two frames are mixed up.
    """

    def __init__(self, patience: int = 10) -> None:
        self._patience = patience
        self._tracks: list[_Track] = []
        self._frame = 0
        self.down = self.up = 0

    def update(self, findings: Sequence[Finding], height: float) -> None:
        """Takes the boxes of the next frame."""
        self._frame += 1
        free = [track for track in self._tracks if self._frame - track.seen <= self._patience]
        kept = list(free)
        for finding in findings:
            if finding.box is None:
                continue
            x1, y1, x2, y2 = finding.box
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            track = _nearest(free, finding.label, x, y, max(x2 - x1, y2 - y1))
            if track is None:
                kept.append(_Track(finding.label, x, y, self._frame))
                continue
            free.remove(track)
            self.down += track.y < height <= y
            self.up += y < height <= track.y
            track.x, track.y, track.seen = x, y, self._frame
        self._tracks = kept[-_MOST_TRACKS:]


def _nearest(tracks: Sequence[_Track], label: str, x: float, y: float, reach: float) -> _Track | None:
    near = [(math.hypot(track.x - x, track.y - y), index) for index, track in enumerate(tracks) if track.label == label]
    distance, index = min(near, default=(math.inf, -1))
    return tracks[index] if distance <= reach else None
