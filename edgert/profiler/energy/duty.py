"""Energy at a duty cycle, and energy estimated from power that the user states: both computed, never measured."""

from __future__ import annotations

import dataclasses

from edgert.errors import UsageError
from edgert.profiler.energy.settings import parse_words
from edgert.profiler.record import DutyCycle, EnergyRecord, Reason

__all__ = ["estimate_from_power", "is_estimate", "with_duty_cycle"]

ESTIMATED = "estimated"


def with_duty_cycle(energy: EnergyRecord, mean_ms: float, rate_hz: float, battery_wh: float | None) -> EnergyRecord:
    """Returns the energy with what the device draws at `rate_hz` inferences a second of `mean_ms` each.

    Mean power is that of idling and, for each inference, its net energy: millijoule times 1/s is milliwatt. Where the
    device cannot keep up there is no such power, and the reason `rate-too-high`.
    """
    busy_share = rate_hz * mean_ms / 1000
    if busy_share > 1:
        reason = Reason("rate-too-high", f"{rate_hz:g} runs a second do not fit: one takes {mean_ms:.4g} ms")
        return dataclasses.replace(energy, reasons=(*energy.reasons, reason))
    mean_mw = energy.idle_mw + energy.net_mj * rate_hz
    hours = None if battery_wh is None or mean_mw <= 0 else 1000 * battery_wh / mean_mw
    return dataclasses.replace(energy, duty=DutyCycle(rate_hz, busy_share, mean_mw, battery_wh, hours))


def is_estimate(words: str) -> bool:
    """True where the words of `--energy` ask for an estimate."""
    return parse_words(words).name == ESTIMATED


def estimate_from_power(words: str, mean_ms: float) -> EnergyRecord:
    """Returns the energy of `estimated:5W?idle=2W`: power while it runs, and at rest, times the measured time.

    Raises:
        UsageError: one of the two figures is missing, or running takes less than resting.
    """
    settings = parse_words(words)
    busy_w = _watts(settings.place)
    idle_w = _watts(settings.text("idle", ""))
    settings.finish()
    if busy_w < idle_w:
        raise UsageError(f"--energy {words}: {busy_w:g} W while it runs is less than {idle_w:g} W at rest")
    return EnergyRecord(
        sensor=ESTIMATED,
        rails=(),
        rate_hz=0.0,
        accuracy="none: the user stated the power, only the time was measured",
        leaves_out="everything that the stated power leaves out",
        idle_mw=1000 * idle_w,
        gross_mj=busy_w * mean_ms,
        net_mj=(busy_w - idle_w) * mean_ms,
        net_ci95_mj=None,
        source=ESTIMATED,
        sensor_source=f"stated by the user: {busy_w:g} W running, {idle_w:g} W at rest",
    )


def _watts(text: str) -> float:
    try:
        value = float(text.removesuffix("W"))
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise UsageError(f"{text!r} is no power; write --energy 'estimated:5W?idle=2W'")
    return value
