"""The order in which many devices get a release: a few canaries first, then wave after wave. Arithmetic only."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgert.devices.names import Device
from edgert.errors import UsageError

__all__ = ["Wave", "parse_amount", "plan_waves"]

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)%|(\d+)")


@dataclass(frozen=True, slots=True)
class Wave:
    """Devices that get a release together; the canary wave may lose none of them."""

    devices: tuple[Device, ...]
    is_canary: bool = False


def parse_amount(amount: str | int, total: int) -> tuple[int, float]:
    """Returns how many of `total` devices `3` or `25%` are: (whole devices, not rounded).

    Whole devices are rounded up, so that a share of some is never none.

    Raises:
        UsageError: it is neither a whole number nor a percentage up to 100.
    """
    match = _AMOUNT.fullmatch(str(amount))
    if match is None or (match[1] and float(match[1]) > 100):
        raise UsageError(f"{amount!r} is no number of devices; write a number like 3 or a share like 25%")
    exact = float(match[1]) * total / 100 if match[1] else float(match[2])
    return math.ceil(exact), exact


def plan_waves(devices: Sequence[Device], canary: int = 1, wave: str | int = "25%") -> tuple[Wave, ...]:
    """Returns the waves: the first `canary` devices, then `wave` at a time, each device once, in the order given.

    Args:
        devices: all of them, each once.
        canary: how many go first; 0 for none.
        wave: a number of devices, or a share of all of them (rounded up, at least 1).

    Raises:
        UsageError: an amount that cannot be.
    """
    if canary < 0:
        raise UsageError(f"--canary {canary}: write 0 or more devices")
    size = parse_amount(wave, len(devices))[0]
    if not devices:
        return ()
    if size < 1:
        raise UsageError(f"--wave {wave}: a wave has at least 1 device")
    first = [Wave(tuple(devices[:canary]), is_canary=True)] if canary else []
    rest = devices[canary:]
    return (*first, *(Wave(tuple(rest[start : start + size])) for start in range(0, len(rest), size)))
