"""From the score of each window to alarms: an adaptive threshold that learns what is normal here.

Source: the threshold is the median of the normal scores plus so many of their deviations, a deviation being 1.4826
times the median absolute deviation: Hampel, The influence curve and its role in robust estimation, JASA 69, 1974; Leys
et al., Detecting outliers: do not use standard deviation around the mean, use absolute deviation around the median, J.
Experimental Social Psychology 49, 2013. Ours: scores above the threshold are not learned, so that a fault which stays
does not become normal; and a deviation is at least 1 % of the median, since a steady score has hardly any.
"""

from __future__ import annotations

import collections
from dataclasses import dataclass

import numpy as np

from edgert.app.frames import Array, Frame
from edgert.errors import ModelError
from edgert.runtime.results import Classification, Detections, Result

__all__ = ["AdaptiveThreshold", "AlarmDetector", "Verdict", "anomaly_score"]

_NORMAL = 1.4826
"""Median absolute deviations in one standard deviation of a normal distribution."""
_LEAST_SHARE = 0.01
_LEAST_SCORES = 10
_ROUNDING_S = 1e-6


def anomaly_score(frame: Frame, result: Result) -> float:
    """Returns the mean squared difference between what an autoencoder was given and what it gives back.

    A model with a single number as its output gives the score itself.

    Raises:
        ModelError: the model gives something else.
    """
    if isinstance(result, Detections) or (not isinstance(result, Classification) and len(result.outputs) != 1):
        raise ModelError("the bundle gives no score; anomaly needs an autoencoder, or a model with one number")
    values: Array = result.scores if isinstance(result, Classification) else next(iter(result.outputs.values()))
    if values.size == 1:
        return float(values.reshape(())[()])
    given = frame.features
    if given is None or given.size != values.size:
        found = "nothing" if given is None else f"{given.size} values"
        raise ModelError(f"the model is no autoencoder: it is given {found} and gives {values.size}")
    return float(np.mean(np.square(given.reshape(-1).astype(np.float64) - values.reshape(-1))))


class AdaptiveThreshold:
    """Keeps the last `size` normal scores; there is no threshold within the first `warm_up_s` seconds."""

    def __init__(self, warm_up_s: float, size: int) -> None:
        self._warm_up_s = warm_up_s
        self._first_s: float | None = None
        self._normal: collections.deque[float] = collections.deque(maxlen=size)

    def update(self, at_s: float, score: float, deviations: float) -> float | None:
        """Returns the threshold for this score, from those before it; learns the score unless it is above."""
        self._first_s = at_s if self._first_s is None else self._first_s
        is_warm = len(self._normal) >= _LEAST_SCORES and at_s - self._first_s >= self._warm_up_s - _ROUNDING_S
        limit = self._limit(deviations) if is_warm else None
        if limit is None or score <= limit:
            self._normal.append(score)
        return limit

    def _limit(self, deviations: float) -> float:
        scores = np.array(self._normal)
        median = float(np.median(scores))
        spread = _NORMAL * float(np.median(np.abs(scores - median)))
        return median + deviations * max(spread, _LEAST_SHARE * abs(median))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The smoothed score, the threshold (None while warming up), and what changed with this window, if anything."""

    score: float
    limit: float | None
    has_begun: bool = False
    has_ended: bool = False


class AlarmDetector:
    """Takes the scores of one window after the other.

    Args:
        hop_s: seconds between two windows.
        smooth_s: seconds over which scores are averaged.
        pause_s: seconds without a score above the threshold after which an alarm is over.
        warm_up_s: seconds until the first threshold.
        window_s: seconds of normal scores that make the threshold.
    """

    def __init__(
        self, hop_s: float, smooth_s: float, pause_s: float, warm_up_s: float = 5.0, window_s: float = 60.0
    ) -> None:
        self._recent: collections.deque[float] = collections.deque(maxlen=max(1, round(smooth_s / hop_s)))
        self._threshold = AdaptiveThreshold(warm_up_s, max(_LEAST_SCORES, round(window_s / hop_s)))
        self._pause_s = pause_s
        self._last_above_s: float | None = None

    @property
    def is_alarmed(self) -> bool:
        """Whether an alarm has begun and not ended."""
        return self._last_above_s is not None

    def update(self, at_s: float, score: float, deviations: float) -> Verdict:
        """Returns what the score of the window that ends at `at_s` means."""
        self._recent.append(score)
        smoothed = float(np.mean(self._recent))
        limit = self._threshold.update(at_s, smoothed, deviations)
        if limit is not None and smoothed > limit:
            has_begun, self._last_above_s = not self.is_alarmed, at_s
            return Verdict(smoothed, limit, has_begun=has_begun)
        has_ended = self._last_above_s is not None and at_s - self._last_above_s >= self._pause_s - _ROUNDING_S
        if has_ended:
            self._last_above_s = None
        return Verdict(smoothed, limit, has_ended=has_ended)
