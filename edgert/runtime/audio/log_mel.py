"""Log energies in mel bands: float32 decibels of sound or vibration, one row per window.

Source: McFee et al., librosa: Audio and music signal analysis in Python, SciPy 2015: periodic Hann window, power
spectrum, triangles of area 1 on the mel scale of Slaney (Auditory Toolbox, 1998: linear to 1 kHz, logarithmic above),
10 log10(x + epsilon), as the MLPerf Tiny anomaly model was trained. librosa pads a clip by half a window at both ends;
a stream has no ends, so the first window here starts with the first sample.
"""

from __future__ import annotations

import functools
import math
import sys

import numpy as np
from numpy.typing import NDArray

from edgert.runtime.audio.settings import LogMelSettings

__all__ = ["build_mel_triangles", "log_mel"]

_FULL_SCALE = 32768.0
_HZ_PER_MEL = 200 / 3
_KNEE_HZ, _KNEE_MEL = 1000.0, 15.0
_LOG_STEP = math.log(6.4) / 27


def log_mel(samples: NDArray[np.int16] | NDArray[np.float32], settings: LogMelSettings) -> NDArray[np.float32]:
    """Returns float32[frames, channels] in decibels; the transform is in float64.

    Args:
        samples: int16 (full scale counts as 1) or float32 as it stands; a shorter clip is continued with zeros, a
            longer one cut.
        settings: of the front end.
    """
    scale = _FULL_SCALE if samples.dtype == np.int16 else 1.0
    clip = np.zeros(settings.samples, np.float64)
    clip[: len(samples)] = samples[: settings.samples] / scale
    starts = np.arange(settings.frames)[:, None] * settings.step
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(settings.window) / settings.window)
    power = np.abs(np.fft.rfft(clip[starts + np.arange(settings.window)] * window, axis=1)) ** 2
    bands = power @ build_mel_triangles(settings).T
    return (10 * np.log10(bands + sys.float_info.epsilon)).astype(np.float32)


@functools.lru_cache(maxsize=4)
def build_mel_triangles(settings: LogMelSettings) -> NDArray[np.float64]:
    """Returns float64[channels, bins]: triangles over the bins 0 to window // 2, each of area 1 in hertz."""
    bins_hz = np.arange(settings.window // 2 + 1) * settings.sample_rate / settings.window
    low, high = _mel(settings.low_hz), _mel(settings.high_hz)
    edges_hz = np.array([_hz(mel) for mel in np.linspace(low, high, settings.channels + 2)])
    below, centre, above = (edges_hz[i : i + settings.channels, None] for i in range(3))
    triangles = np.maximum(0, np.minimum((bins_hz - below) / (centre - below), (above - bins_hz) / (above - centre)))
    weights: NDArray[np.float64] = triangles * 2 / (above - below)
    return weights


def _mel(hz: float) -> float:
    return hz / _HZ_PER_MEL if hz < _KNEE_HZ else _KNEE_MEL + math.log(hz / _KNEE_HZ) / _LOG_STEP


def _hz(mel: float) -> float:
    return mel * _HZ_PER_MEL if mel < _KNEE_MEL else _KNEE_HZ * math.exp((mel - _KNEE_MEL) * _LOG_STEP)
