"""Energy of one inference with its 95 % interval: the spread between windows and the sensor's own error together.

The windows, and the stretches of the idle baseline, are resampled (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993). With ten windows that spread comes out too narrow; it is widened by sqrt(n / (n - 1)) * t / z
(Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69(4), 2015, section 3.2; there
the quantiles are moved instead). The sensor's relative accuracy `a` is one error for the whole measurement, uniform
in +-a (Guide to the expression of uncertainty in measurement, JCGM 100:2008, 4.3.7): every resample is multiplied by
a gain drawn from it, the same for gross and idle, and the interval is that of the products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["EnergyEstimate", "Stretch", "estimate_energy"]

_RESAMPLES = 2000
_LEVELS = (2.5, 97.5)
_Z = 1.959964

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Energy and duration of one stretch of time, and the inferences in it (0: idle)."""

    energy_mj: float
    duration_s: float
    runs: int = 0


@dataclass(frozen=True, slots=True)
class EnergyEstimate:
    """Energy of one inference, gross and above idle, with 95 % intervals."""

    idle_mw: float
    gross_mj: float
    gross_ci95_mj: tuple[float, float]
    net_mj: float
    net_ci95_mj: tuple[float, float]


def estimate_energy(
    windows: list[Stretch], idle: list[Stretch], relative_accuracy: float | None, *, seed: int = 0
) -> EnergyEstimate:
    """Returns the estimate from at least two windows and two idle stretches; deterministic for one seed.

    Where no accuracy is stated, the intervals hold the spread alone.
    """
    rng = np.random.default_rng(seed)
    table, rest = _table(windows), _table(idle)
    centre = _estimates(table[None], rest[None])[:, 0]
    drawn = _estimates(_resampled(table, rng), _resampled(rest, rng))
    widened = centre[:, None] + (drawn - centre[:, None]) * _small_sample_factor(min(len(windows), len(idle)))
    error = relative_accuracy or 0.0
    low, high = np.percentile(widened * rng.uniform(1 - error, 1 + error, _RESAMPLES), _LEVELS, axis=1)
    idle_mw, gross_mj, net_mj = (float(value) for value in centre)
    gross_ci, net_ci = ((float(low[row]), float(high[row])) for row in (1, 2))
    return EnergyEstimate(idle_mw, gross_mj, gross_ci, net_mj, net_ci)


def _table(stretches: list[Stretch]) -> Floats:
    return np.array([(one.energy_mj, one.duration_s, one.runs) for one in stretches], np.float64)


def _resampled(table: Floats, rng: np.random.Generator) -> Floats:
    drawn: Floats = table[rng.integers(0, len(table), (_RESAMPLES, len(table)))]
    return drawn


def _estimates(windows: Floats, idle: Floats) -> Floats:
    """Idle power, gross and net energy of an inference: float64[3, draws] of tables float64[draws, stretches, 3]."""
    energy_mj, duration_s, runs = windows.sum(axis=1).T
    idle_energy_mj, idle_s, _ = idle.sum(axis=1).T
    idle_mw = idle_energy_mj / idle_s
    return np.stack([idle_mw, energy_mj / runs, (energy_mj - idle_mw * duration_s) / runs])


def _small_sample_factor(count: int) -> float:
    """sqrt(n / (n - 1)) * t / z; t by Cornish and Fisher's expansion, within 0.3 % from four degrees of freedom on."""
    freedom, z = count - 1, _Z
    t = (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
    return math.sqrt(count / freedom) * t / z
