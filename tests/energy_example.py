"""Energy sensors whose curves are scripted, and curves whose energy is known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.plugins import SensorKind, SensorReading

Floats = NDArray[np.float64]


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
