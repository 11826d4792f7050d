"""Writes how the app is doing where EDGERT_HEALTH_FILE says, for whoever watches it (edgert.onboard.health).

Everything is called by the thread that starts the app and runs its loop: what hangs writes no more.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edgert.app.loop import ChartPoint, Loop
from edgert.app.sensors import SensorThread
from edgert.app.statistics import LatencySummary
from edgert.onboard.health import (
    CHECKING,
    EVERY_S,
    FAILED,
    HEALTH_VARIABLE,
    LOADING,
    RELEASE_VARIABLE,
    RUNNING,
    Health,
    KnownAnswers,
    Latencies,
    health_text,
)

__all__ = ["NOT_COMPARED", "HealthFile"]

NOT_COMPARED = "nothing was compared: the bundle holds no known answers of this variant"


class HealthFile:
    """The file, replaced as a whole; nothing happens where the variable is not set. A full disk never ends the app."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        name = environment.get(HEALTH_VARIABLE, "")
        self._path = Path(name) if name else None
        self.release = environment.get(RELEASE_VARIABLE) or None
        self._answers: KnownAnswers | None = None
        self._parts: tuple[Loop, SensorThread] | None = None
        self._page: str | None = None
        self._next_s = 0.0

    def loading(self) -> None:
        """The model is being opened."""
        self._write(LOADING)

    def checking(self) -> None:
        """The model is open; its known inputs run next."""
        self._write(CHECKING)

    def checked(self, answers: KnownAnswers | None) -> None:
        """Takes what came of the known inputs; None: there were none."""
        self._answers = answers

    def watch(self, loop: Loop, sensors: SensorThread, page: str | None) -> None:
        """Says whose figures are written from now on, and where the page listens."""
        self._parts, self._page = (loop, sensors), page

    def alive(self) -> None:
        """One round of the loop is done; written once a second at most."""
        now_s = time.monotonic()
        if self._path is not None and now_s >= self._next_s:
            self._next_s = now_s + EVERY_S
            self._write(RUNNING)

    def failed(self, problem: str) -> None:
        """The app ends for this reason."""
        self._write(FAILED, problem)

    def ended(self) -> None:
        """The app ended as it should: what the file says is true no more."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _write(self, phase: str, problem: str | None = None) -> None:
        if self._path is None:
            return
        text = health_text(self._health(phase, problem))
        fresh = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            fresh.write_text(text)
            os.replace(fresh, self._path)

    def _health(self, phase: str, problem: str | None) -> Health:
        health = Health(os.getpid(), self.release, phase, problem, self._answers, monotonic_s=time.monotonic())
        if self._parts is None:
            return health
        loop, sensors = self._parts
        state = loop.state()
        return replace(
            health,
            problem=problem or state.problem or (NOT_COMPARED if self._answers is None else None),
            frames=state.frames,
            is_healthy=state.is_healthy and phase == RUNNING,
            fps=round(state.fps, 3),
            inference_ms=_latencies(state.stages["inference"]),
            energy_mj=_energy_mj(list(loop.points)),
            power_source=sensors.state.power_source,
            page=self._page,
        )


def _latencies(summary: LatencySummary) -> Latencies | None:
    if summary.p50_ms is None or summary.p95_ms is None or summary.p99_ms is None:
        return None
    return Latencies(summary.count, *(round(value, 4) for value in (summary.p50_ms, summary.p95_ms, summary.p99_ms)))


def _energy_mj(points: list[ChartPoint]) -> float | None:
    """Median energy of a frame over the seconds that the charts hold."""
    known = [point.energy_mj for point in points if point.energy_mj is not None]
    return round(statistics.median(known), 4) if known else None
