"""How long a connection to a board may be silent: one setting, for lines that stall longer than most, and for tests.

Everything that waits for a board or a laptop follows from it, so that the two ends can never disagree.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from edgert.errors import UsageError

__all__ = ["VARIABLE", "Limits", "read_limits"]

VARIABLE = "EDGERT_SILENCE_S"
_DEFAULT_S = 20.0
_LEAST_S, _MOST_S = 1.0, 600.0
_LEAST_CONNECT_S = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """`silence_s` is after how long without a byte from the board the laptop gives a connection up."""

    silence_s: float = _DEFAULT_S

    @property
    def beat_s(self) -> float:
        """Between two heartbeats."""
        return self.silence_s / 5

    @property
    def connect_s(self) -> int:
        """For the board's SSH server to answer; whole seconds."""
        return max(_LEAST_CONNECT_S, round(self.silence_s / 2))

    @property
    def board_silence_s(self) -> float:
        """After how long without a byte from the laptop the board ends what it started; later than the laptop."""
        return 1.5 * self.silence_s

    @property
    def start_s(self) -> float:
        """For logging in; for each piece of edgert's board part, where the board lacks it; for starting that."""
        return 3 * self.silence_s


def read_limits() -> Limits:
    """Returns the limits, from the environment variable where it is set.

    Raises:
        UsageError: it is no number of seconds that makes sense.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return Limits()
    try:
        silence_s = float(text)
    except ValueError:
        silence_s = 0.0
    if not _LEAST_S <= silence_s <= _MOST_S:
        raise UsageError(f"{VARIABLE}={text!r}: write seconds from {_LEAST_S:g} to {_MOST_S:g}")
    return Limits(silence_s)
