"""Energy sensors whose curves are scripted, and curves whose energy is known exactly.

`python -m tests.energy_example` prints the table of docs/energy.md.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from edgert.plugins import SensorKind, SensorReading
from edgert.profiler.energy.evaluate import Interval, Intervals, evaluate

Floats = NDArray[np.float64]

needs_a_quiet_moment = pytest.mark.flaky(reruns=3)
"""For tests that read a sensor by the real clock: a busy computer delays some reading, not four in a row."""

IDLE_MW, BUSY_MW = 2000.0, 6000.0
RUNS = 50
INTERVALS = Intervals(
    (Interval(0.5, 2.5), Interval(13.5, 15.5)),
    tuple(Interval(3.0 + index, 4.0 + index, RUNS) for index in range(10)),
)
"""Idle, ten windows of a second with 50 runs each, idle."""
NET_MJ, GROSS_MJ = (BUSY_MW - IDLE_MW) / RUNS, BUSY_MW / RUNS
TIMES = np.arange(0, 16, 0.05)


@dataclass(frozen=True)
class Curve:
    """Power that swings slowly around a mean: `mean_mw * (1 + swing * sin(2 pi t / period_s))`."""

    mean_mw: float = 5000.0
    swing: float = 0.4
    period_s: float = 3.0

    def power_mw(self, moment_s: float) -> float:
        return self.mean_mw * (1 + self.swing * math.sin(2 * math.pi * moment_s / self.period_s))

    def energy_mj(self, start_s: float, stop_s: float) -> float:
        """The integral, by the primitive."""
        turns = 2 * math.pi / self.period_s
        part = (math.cos(turns * start_s) - math.cos(turns * stop_s)) / turns
        return self.mean_mw * ((stop_s - start_s) + self.swing * part)


class Script:
    """A sensor as the interface asks for, with nothing behind it: `readings` are what it gives, one per call."""

    name, accuracy, leaves_out, source = "script", "exact", "nothing", "a script"

    def __init__(
        self,
        read: Callable[[], SensorReading] | None = None,
        *,
        rate_hz: float = 20.0,
        relative_accuracy: float | None = None,
        kind: SensorKind = SensorKind.POLLED,
        rails: tuple[str, ...] = ("rail",),
        limit_mw: float = 1e5,
    ) -> None:
        self.rate_hz, self.relative_accuracy, self.kind, self.limit_mw = rate_hz, relative_accuracy, kind, limit_mw
        self.rails = rails
        self.is_started = False
        self._read = read

    def unavailable(self) -> str | None:
        return None

    def start(self) -> None:
        self.is_started = True

    def read(self) -> SensorReading:
        assert self._read is not None
        return self._read()

    def stop(self) -> None:
        self.is_started = False


def reading(time_s: Floats | list[float], power_mw: Floats | list[float]) -> SensorReading:
    return SensorReading(np.asarray(time_s, np.float64), np.asarray(power_mw, np.float64).reshape(-1, 1))


@dataclass(frozen=True)
class Scene:
    """How a run differs from the truth: the sensor's gain within `accuracy`, windows and samples by shares."""

    name: str
    accuracy: float
    window_spread: float
    noise: float


SCENES = (
    Scene("sensor and spread", 0.015, 0.01, 0.03),
    Scene("spread alone", 0.0, 0.02, 0.03),
    Scene("sensor alone", 0.02, 0.001, 0.01),
    Scene("noisy samples", 0.01, 0.012, 0.05),
)


@dataclass(frozen=True)
class Coverage:
    """How many 95 % intervals hold the truth, and the median width of the net one as a share of the truth."""

    net_share: float
    gross_share: float
    median_width: float


def coverage(scene: Scene, runs: int, seed: int = 20) -> Coverage:
    """Each run: a sensor with a gain of its own, noise on every sample, windows that differ among themselves."""
    rng = np.random.default_rng(seed)
    net, gross, widths = [], [], []
    for _ in range(runs):
        windows = np.repeat(BUSY_MW * rng.normal(1, scene.window_spread, 10), 20)
        power = np.concatenate([np.full(60, IDLE_MW), windows, np.full(TIMES.size - 260, IDLE_MW)])
        gain = rng.uniform(1 - scene.accuracy, 1 + scene.accuracy)
        given = reading(TIMES - 0.025, power * gain * rng.normal(1, scene.noise, TIMES.size))
        record = evaluate(Script(relative_accuracy=scene.accuracy or None), [given], INTERVALS).record
        assert record is not None
        assert record.net_ci95_mj is not None
        assert record.gross_ci95_mj is not None
        net.append(record.net_ci95_mj[0] <= NET_MJ <= record.net_ci95_mj[1])
        gross.append(record.gross_ci95_mj[0] <= GROSS_MJ <= record.gross_ci95_mj[1])
        widths.append((record.net_ci95_mj[1] - record.net_ci95_mj[0]) / NET_MJ)
    return Coverage(float(np.mean(net)), float(np.mean(gross)), float(np.median(widths)))


if __name__ == "__main__":
    for scene in SCENES:
        found = coverage(scene, 200)
        errors = f"{scene.accuracy:.1%} | {scene.window_spread:.1%} | {scene.noise:.1%}"
        shares = f"{found.net_share:.1%} | {found.gross_share:.1%} | {found.median_width:.1%}"
        sys.stdout.write(f"| {scene.name} | {errors} | {shares} |\n")
