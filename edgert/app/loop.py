"""The loop of an app: newest frame, model, findings; what each part takes, and whether it is alive."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgert.app.findings import Scene
from edgert.app.frames import Frame, FrameSource, SourceHealth
from edgert.app.model import AppModel
from edgert.app.notify import Notifier
from edgert.app.sensors import SensorThread
from edgert.app.statistics import LatencyHistogram, LatencySummary, RateWindow, Window
from edgert.errors import DataError, DeviceError
from edgert.runtime.results import Result

__all__ = ["STAGES", "ChartPoint", "Controls", "Explain", "Loop", "LoopState", "chart_values"]

STAGES = ("preprocess", "inference", "postprocess", "camera_to_result")
POLL_S = 0.5
STALE_S = 5.0
AGAIN_S = 1.0
"""Between attempts to reach a microcontroller that was lost."""
CHART_POINTS = 300
_RECENT = 64


class Explain(Protocol):
    """Turns a model's result into what the page shows."""

    def __call__(self, frame: Frame, result: Result, controls: Controls) -> Scene:
        """Returns the picture or plot of the frame with what was found in it; `result` belongs to it alone."""
        ...


class Controls:
    """What a user may change while the app runs: set by the page, read by the loop. A threshold ends at `most`."""

    def __init__(self, model: AppModel, threshold: float, most: float = 1.0) -> None:
        self.model, self.threshold, self.most = model, threshold, most


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """One second: medians of it. `energy_mj` is power times the time a frame takes at this rate."""

    at_s: float
    fps: float
    latency_ms: float | None
    inference_ms: float | None
    temperature_c: float | None
    power_mw: float | None
    energy_mj: float | None


@dataclass(frozen=True, slots=True)
class LoopState:
    """How the app is doing. `is_healthy`: a frame was processed within the last 5 s."""

    seconds: float
    frames: int
    fps: float
    is_healthy: bool
    problem: str | None
    source: SourceHealth
    stages: dict[str, LatencySummary]


class Loop:
    """`run` works in the calling thread until `stop`; everything kept has a fixed size."""

    def __init__(  # noqa: PLR0913  # its parts, each replaceable in a test
        self,
        source: FrameSource,
        controls: Controls,
        explain: Explain,
        publish: Callable[[Scene], None],
        sensors: SensorThread,
        notifier: Notifier,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._source, self._controls, self._explain, self._publish = source, controls, explain, publish
        self._sensors, self._notifier, self._on_round = sensors, notifier, on_round
        self._stopped = threading.Event()
        self._stages = {name: LatencyHistogram() for name in STAGES}
        self._recent = {name: Window(_RECENT) for name in STAGES}
        self._rate = RateWindow()
        self._started_s = self._next_point_s = time.monotonic()
        self._last_s: float | None = None
        self._frames = 0
        self._problem: str | None = None
        self.points: collections.deque[ChartPoint] = collections.deque(maxlen=CHART_POINTS)

    def run(self, seconds: float | None = None) -> None:
        """Processes frames until `stop`, or for so many seconds; tells systemd in every round that it is alive."""
        end_s = float("inf") if seconds is None else time.monotonic() + seconds
        self._notifier.ready()
        while not self._stopped.is_set() and time.monotonic() < end_s:
            frame = self._source.read(min(POLL_S, max(0.0, end_s - time.monotonic())))
            if frame is not None:
                self._process(frame)
            self._notifier.alive()
            self._add_point()
            self._on_round()

    def stop(self) -> None:
        """Makes `run` return after the frame it is at; safe in a signal handler."""
        self._stopped.set()

    def state(self) -> LoopState:
        """Returns how it is going; called from any thread."""
        now_s = time.monotonic()
        health = self._source.health()
        alive = self._last_s is not None and now_s - self._last_s < STALE_S
        return LoopState(
            seconds=now_s - self._started_s,
            frames=self._frames,
            fps=self._rate.per_second(now_s),
            is_healthy=alive,
            problem=self._problem or health.problem,
            source=health,
            stages={name: histogram.summary() for name, histogram in self._stages.items()},
        )

    def histograms(self) -> dict[str, LatencyHistogram]:
        """The latencies of the whole run by stage; for reading only."""
        return self._stages

    def _process(self, frame: Frame) -> None:
        try:
            timed = self._controls.model.run(frame.values)
        except DataError as error:  # a frame of another size or kind: the next one may fit
            self._problem = str(error)
            return
        except DeviceError as error:
            if not self._controls.model.is_remote:
                raise
            self._problem = str(error)
            self._stopped.wait(AGAIN_S)
            return
        start_s = time.perf_counter()
        frame = dataclasses.replace(frame, features=timed.features)
        scene = self._explain(frame, timed.result, self._controls)
        explained_ms = (time.perf_counter() - start_s) * 1e3
        now_s = time.monotonic()
        values = (timed.preprocess_ms, timed.inference_ms, timed.postprocess_ms + explained_ms)
        for name, value_ms in zip(STAGES, (*values, (now_s - frame.captured_s) * 1e3), strict=True):
            self._stages[name].add(value_ms)
            self._recent[name].add(value_ms)
        self._rate.add(now_s)
        self._frames += 1
        self._last_s, self._problem = now_s, None
        self._publish(scene)

    def _add_point(self) -> None:
        now_s = time.monotonic()
        if now_s < self._next_point_s:
            return
        self._next_point_s = now_s + 1
        fps, sensed = self._rate.per_second(now_s), self._sensors.state
        energy_mj = sensed.power_mw / fps if sensed.power_mw is not None and fps > 0 else None
        self.points.append(
            ChartPoint(
                at_s=now_s - self._started_s,
                fps=fps,
                latency_ms=self._recent["camera_to_result"].median(),
                inference_ms=self._recent["inference"].median(),
                temperature_c=sensed.temperature_c,
                power_mw=sensed.power_mw,
                energy_mj=energy_mj,
            )
        )


def chart_values(points: collections.deque[ChartPoint]) -> dict[str, list[float | None]]:
    """Returns the points as one list for each value, rounded for the page."""
    kept = list(points)
    names = [field.name for field in dataclasses.fields(ChartPoint)]
    return {name: [_rounded(getattr(point, name)) for point in kept] for name in names}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
