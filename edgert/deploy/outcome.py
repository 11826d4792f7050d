"""What came of deploying to one device."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgert.codec import JsonValue

__all__ = ["Outcome", "Result"]


class Result(enum.Enum):
    """How a deployment to one device ended; NOT_STARTED where the device was not touched."""

    DEPLOYED = "deployed"
    UNCHANGED = "unchanged"
    ROLLED_BACK = "rolled-back"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    FAILED = "failed"
    NOT_STARTED = "not-started"

    @property
    def has_release(self) -> bool:
        """True where the device runs the release."""
        return self in {Result.DEPLOYED, Result.UNCHANGED}

    @property
    def has_failed(self) -> bool:
        """True where the device was tried and does not run the release; NOT_STARTED is no failure."""
        return not self.has_release and self is not Result.NOT_STARTED


@dataclass(frozen=True, slots=True)
class Outcome:
    """What deploying to one device gave.

    Attributes:
        device: its name, or URL where it has none.
        outcome: how it ended.
        reason: why it is no success, in one line; None where it is one and there is no more to say.
        release: ID of the release that was to run.
        runs: ID of the release that the device runs now; None where there is none, or nobody knows.
        seconds: from the first word to the device to the verdict.
        health: the app's last word about itself (`edgert.onboard.launch`), where it said one.
    """

    device: str
    outcome: Result
    reason: str | None
    release: str | None
    runs: str | None
    seconds: float
    health: dict[str, JsonValue] | None = None
