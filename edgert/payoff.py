"""Will int8 pay? The answer, as `edgert inspect` prints it; a converter finds it (edgert.plugins.Converter.inspect)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Int8Answer", "Int8Basis", "Int8Payoff"]


class Int8Answer(enum.Enum):
    """Whether int8 would run faster than float; UNKNOWN: nothing that was measured or is a fact says."""

    YES = "yes"
    NO = "no"
    SAME = "about the same"
    UNKNOWN = "unknown"


class Int8Basis(enum.Enum):
    """What an answer rests on."""

    MEASURED = "measured here"
    """Both forms of the whole network were timed on this computer."""
    LAYERS = "layers measured here"
    """The network was not timed; single layers like all of its own were."""
    FACTS = "target facts"
    NOTHING = "never measured"


@dataclass(frozen=True, slots=True)
class Int8Payoff:
    """Will int8 pay? One answer for an engine of this computer, or for a target.

    `ratio` is time int8 / float (below 1: int8 is faster), `interval` where it is expected to lie; None where nothing
    was measured. `decides` says in words what costs most, `reason` what an answer without a ratio rests on.
    """

    target: str
    engine: str
    answer: Int8Answer
    basis: Int8Basis
    threads: int | None = None
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    float_ms: float | None = None
    int8_ms: float | None = None
    decides: tuple[str, ...] = ()
    reason: str = ""
