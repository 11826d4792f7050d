"""What a measurement is asked for, on the laptop and on the device."""

from __future__ import annotations

import dataclasses

from edgert.profiler.energy.schedule import Schedule

__all__ = ["ProfileRequest"]

_CALL_MARGIN_S = 600.0


@dataclasses.dataclass(frozen=True, slots=True)
class ProfileRequest:
    """What to measure and for how long.

    `created` is the laptop's time, since a board may not know it; `target` what the laptop calls such boards, and
    `accelerator` what such boards are expected to use.
    """

    path: str
    created: str
    variant: str | None = None
    threads: int | None = None
    engine: str | None = None
    options: dict[str, str] = dataclasses.field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    duration_s: float = 3.0
    sustained_s: float = 0.0
    energy: str = "auto"
    layers: bool = True
    seed: int = 0
    tuned: bool = True
    schedule: Schedule | None = None
    target: str | None = None
    accelerator: str | None = None

    @property
    def call_limit_s(self) -> float:
        """How long the laptop waits for the record: on slow boards loading and the intervals take minutes."""
        return 10 * self.duration_s + self.sustained_s + _CALL_MARGIN_S
