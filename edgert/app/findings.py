"""What an app says about a frame, in words, scores and boxes; and how that is drawn on a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgert.app.events import Event
from edgert.app.frames import Pixels
from edgert.app.producers import opencv
from edgert.app.trace import Trace

__all__ = ["Finding", "Scene", "draw_findings", "encode_jpeg", "top_findings"]

WIDEST = 640
"""Pixels of a row of the page's picture: encoding a larger one takes as much longer, and a phone shows no more."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A label with its score, and where it is: xyxy in pixels of the picture, or None for the whole of it."""

    label: str
    score: float
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """A frame with what was found in it: a picture, or, where `pixels` is None, a live plot of `trace`.

    `notes` are further lines (a count); `marks` lines x1, y1, x2, y2; `events` what happened in this very frame.
    """

    pixels: Pixels | None
    sequence: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    marks: tuple[tuple[float, float, float, float], ...] = ()
    events: tuple[Event, ...] = ()
    trace: Trace | None = None


def draw_findings(scene: Scene, widest: int = WIDEST) -> Pixels:
    """Returns a copy of the scene's picture, at most so many pixels wide, with boxes, labels, lines and notes on it."""
    assert scene.pixels is not None
    cv2 = opencv("drawing")
    height, width = scene.pixels.shape[:2]
    share = min(1.0, widest / width)
    size = round(width * share), max(1, round(height * share))
    picture = scene.pixels.copy() if share == 1 else cv2.resize(scene.pixels, size, interpolation=cv2.INTER_AREA)
    picture = np.ascontiguousarray(picture)
    scale = max(0.45, picture.shape[0] / 1000)
    for mark in scene.marks:
        x1, y1, x2, y2 = (int(value * share) for value in mark)
        cv2.line(picture, (x1, y1), (x2, y2), (255, 214, 10), 2, cv2.LINE_AA)
    for finding in scene.findings:
        if finding.box is not None:
            x1, y1, x2, y2 = (int(value * share) for value in finding.box)
            cv2.rectangle(picture, (x1, y1), (x2, y2), (64, 220, 140), 2, cv2.LINE_AA)
            _write(picture, f"{finding.label} {finding.score:.0%}", x1, y1 - 6, scale)
    plain = [f"{finding.label}  {finding.score:.0%}" for finding in scene.findings if finding.box is None]
    for row, text in enumerate([*scene.notes, *plain]):
        _write(picture, text, 12, round((26 + 30 * row) * scale / 0.5), scale)
    return picture


def _write(picture: Pixels, text: str, x: int, y: int, scale: float) -> None:
    cv2 = opencv("drawing")
    plain = text.encode("ascii", "replace").decode()  # OpenCV's font has no other letters
    (width, height), base = cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    y = max(y, height + 4)
    cv2.rectangle(picture, (x - 4, y - height - 5), (x + width + 4, y + base + 1), (18, 22, 28), -1)
    cv2.putText(picture, plain, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)


def encode_jpeg(pixels: Pixels, quality: int = 80) -> bytes:
    """Returns the picture as a JPEG file."""
    cv2 = opencv("the page's picture")
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return bytes(data)


def top_findings(scores: Sequence[float], order: Sequence[int], labels: Sequence[str]) -> tuple[Finding, ...]:
    """Returns the best classes as findings, best first."""
    return tuple(Finding(labels[i] if i < len(labels) else f"class {i}", float(scores[i])) for i in order)
