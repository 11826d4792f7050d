"""Times for samples that carry none: those that came together are spread over the time since the last ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["arrival_times"]


def arrival_times(last_s: float | None, now_s: float, count: int, period_s: float) -> NDArray[np.float64]:
    """Returns `count` times that rise to `now_s`: float64[count].

    A line or driver hands over samples in lots. Within a lot they are evenly spaced after `last_s`, the time of the
    sample before (None: they are a period apart), but no further than a period: what is missing stays a gap.
    """
    spacing_s = period_s if last_s is None else min((now_s - last_s) / max(count, 1), 1.5 * period_s)
    return now_s - spacing_s * np.arange(count - 1, -1, -1, dtype=np.float64)
