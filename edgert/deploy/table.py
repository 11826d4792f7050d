"""What a rollout gave, for readers and for programs."""

from __future__ import annotations

from collections import Counter

from edgert.codec import JsonValue, to_plain
from edgert.deploy.outcome import Outcome, Result
from edgert.deploy.rollout import Rollout

__all__ = ["exit_code_of", "plain_rollout", "rollout_rows", "rollout_summary", "ROLLOUT_HEADER"]

ROLLOUT_HEADER = ("device", "outcome", "runs", "seconds", "reason")
_DONE, _FAILED, _UNREACHABLE, _INTERRUPTED = 0, 1, 3, 130


def exit_code_of(rollout: Rollout) -> int:
    """Returns 0 where all have the release, 130 after Ctrl-C, 3 where each failure is an unreachable device, else 1."""
    if rollout.was_interrupted:
        return _INTERRUPTED
    kinds = {outcome.outcome for outcome in rollout.failures}
    if not kinds:
        return _DONE
    return _UNREACHABLE if kinds == {Result.UNREACHABLE} else _FAILED


def plain_rollout(rollout: Rollout) -> dict[str, JsonValue]:
    """Returns what --json prints; one device has the same form as many."""
    return {
        "release": rollout.release,
        "waves": [
            {"is_canary": wave.is_canary, "devices": [device.name for device in wave.devices]} for wave in rollout.waves
        ],
        "stopped": rollout.stopped,
        "devices": [to_plain(outcome) for outcome in rollout.outcomes],
    }


def rollout_rows(rollout: Rollout) -> list[tuple[str, ...]]:
    """Returns one row of text for each device, in the order of the waves, for columns `ROLLOUT_HEADER`."""
    return [_row(outcome) for outcome in rollout.outcomes]


def rollout_summary(rollout: Rollout) -> str:
    """Returns how many devices ended how, and why the rollout stopped: `2 deployed, 1 failed; stopped: ...`."""
    counted = Counter(outcome.outcome for outcome in rollout.outcomes)
    words = ", ".join(f"{counted[result]} {result.value}" for result in Result if counted[result])
    return words if rollout.stopped is None else f"{words}; stopped: {rollout.stopped}"


def _row(outcome: Outcome) -> tuple[str, ...]:
    if outcome.outcome is Result.NOT_STARTED:
        return (outcome.device, outcome.outcome.value, "", "", "")
    return (
        outcome.device,
        outcome.outcome.value,
        outcome.runs or "unknown",
        f"{outcome.seconds:.1f}",
        outcome.reason or "",
    )
