"""From the posteriors of overlapping windows to words that were said, each once.

Source: Chen, Parada, Heigold, Small-footprint keyword spotting using deep neural networks, ICASSP, 2014, section 2.3:
the mean of each label's posterior over the last w_smooth frames (equation 1). Theirs is the product over the parts of a
phrase (equation 2); a label here is a whole word, so its smoothed posterior is the confidence. A refractory time, in
which nothing is detected again, follows each word, as the longest stay of a word in the model's window asks for.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_WORDS", "KeywordDetector"]

_ROUNDING_S = 1e-6  # times are sums of hops
NO_WORDS = ("silence", "unknown", "background", "noise", "other")
"""Labels that begin so, whatever stands before their first letter, are never detected."""


class KeywordDetector:
    """Takes the posteriors of one window after the other, in the order of time.

    Args:
        labels: of the model's classes.
        smooth_s: seconds over which posteriors are averaged; nothing is detected before that much was heard.
        refractory_s: seconds after a detection in which there is no other.
    """

    def __init__(self, labels: Sequence[str], smooth_s: float, refractory_s: float = 1.0) -> None:
        self._is_word = np.array([not label.lower().lstrip("_ ").startswith(NO_WORDS) for label in labels])
        self._smooth_s, self._refractory_s = smooth_s, refractory_s
        self._recent: collections.deque[tuple[float, NDArray[np.float32]]] = collections.deque()
        self._first_s: float | None = None
        self._quiet_until_s = -np.inf

    def update(
        self, at_s: float, posteriors: NDArray[np.float32], threshold: float
    ) -> tuple[NDArray[np.float32], int | None]:
        """Returns the smoothed posteriors float32[C], and the class of a word that was detected now, or None.

        Args:
            at_s: end of the window in seconds of the stream.
            posteriors: float32[C], 0 to 1.
            threshold: least smoothed posterior of a word.
        """
        self._first_s = at_s if self._first_s is None else self._first_s
        self._recent.append((at_s, posteriors))
        while at_s - self._recent[0][0] >= max(self._smooth_s, 2 * _ROUNDING_S) - _ROUNDING_S:
            self._recent.popleft()
        smoothed: NDArray[np.float32] = np.stack([values for _, values in self._recent]).mean(axis=0)
        best = int(np.argmax(np.where(self._is_word, smoothed, -1.0)))
        is_warm = at_s - self._first_s >= self._smooth_s - _ROUNDING_S
        is_heard = is_warm and self._is_word[best] and smoothed[best] >= threshold
        if not is_heard or at_s < self._quiet_until_s - _ROUNDING_S:
            return smoothed, None
        self._quiet_until_s = at_s + self._refractory_s
        return smoothed, best
