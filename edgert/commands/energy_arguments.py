"""`--energy`, `--rate` and `--battery` of `edgert profile`: what measures, and what that means for a battery."""

from __future__ import annotations

import argparse
import dataclasses
import math
from typing import TypeVar

from edgert.errors import UsageError
from edgert.profiler.board_record import BoardRecord
from edgert.profiler.energy.duty import with_duty_cycle
from edgert.profiler.record import EnergyRecord, Record

__all__ = ["add_energy_arguments", "energy_lines", "parse_duty", "with_asked_duty"]

Measured = TypeVar("Measured", Record, BoardRecord)

_PER_S = {"s": 1.0, "min": 60.0, "h": 3600.0}
_MOST_REASONS = 2


def add_energy_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments about energy."""
    parser.add_argument(
        "--energy",
        default="auto",
        metavar="SENSOR",
        help="auto, none, a sensor of the device, a meter on this computer, or estimated:5W?idle=2W (default: auto)",
    )
    parser.add_argument("--rate", metavar="1/s", help="also mean power at so many runs per s, min or h")
    parser.add_argument("--battery", metavar="10Wh", help="with --rate: how long such a battery lasts")


def with_asked_duty(record: Measured, arguments: argparse.Namespace) -> Measured:
    """Returns the record with the duty cycle of `--rate` and `--battery`, or as it is without them or without energy.

    Raises:
        UsageError: one of them is no such figure, or `--battery` stands alone.
    """
    rate_hz, battery_wh = parse_duty(arguments.rate, arguments.battery)
    if rate_hz is None or record.energy is None:
        return record
    energy = with_duty_cycle(record.energy, _mean_ms(record), rate_hz, battery_wh)
    return dataclasses.replace(record, energy=energy)


def parse_duty(rate: str | None, battery: str | None) -> tuple[float | None, float | None]:
    """Returns runs per second and watt-hours.

    Raises:
        UsageError: see `with_asked_duty`.
    """
    if rate is None and battery is not None:
        raise UsageError("--battery needs --rate: how often the model runs, such as --rate 1/s")
    return (None if rate is None else _parse_rate(rate)), (None if battery is None else _parse_battery(battery))


def energy_lines(record: Record | BoardRecord) -> list[str]:
    """Returns the lines about energy of a record's text."""
    told = record.reasons if isinstance(record, Record) else ()
    energy = record.energy
    if energy is None:
        return [f"energy      not measured: {_short_reason(str(record.energy_reason))}"]
    interval = "" if energy.net_ci95_mj is None else " (95 % interval {:.3g} to {:.3g})".format(*energy.net_ci95_mj)
    lines = [
        f"energy      {energy.net_mj:.3g} mJ per inference above idle{interval}, {energy.gross_mj:.3g} mJ with it",
        f"            {_basis(energy)}",
    ]
    lines += [f"            {reason.code}: {reason.text}" for reason in energy.reasons if reason not in told]
    duty = energy.duty
    if duty is not None:
        lasts = "" if duty.hours is None else f"; {duty.battery_wh:g} Wh last {duty.hours:.3g} h"
        lines.append(f"            at {duty.rate_hz:g} runs a second {duty.mean_mw:.4g} mW on average{lasts}")
    return lines


def _short_reason(reason: str) -> str:
    """The reason, or for those of many sensors how many they are: the record has them all."""
    sensors = reason.split("; ")
    if len(sensors) <= _MOST_REASONS:
        return reason
    return (
        f"none of {len(sensors)} kinds of sensors is here (edgert doctor and edgert devices doctor NAME list them); "
        "for a USB meter on this computer see docs/energy.md"
    )


def _mean_ms(record: Record | BoardRecord) -> float:
    if isinstance(record, Record):
        return record.latency.mean_ms
    return 1000 * (record.cycles or 0) / record.clock_hz


def _basis(energy: EnergyRecord) -> str:
    if energy.source == "estimated":
        return f"estimated, not measured: {energy.sensor_source}"
    return f"measured by {energy.sensor}; idle {energy.idle_mw:.4g} mW; leaves out {energy.leaves_out}"


def _parse_rate(text: str) -> float:
    number, _, unit = text.partition("/")
    value = _number(number)
    if value is None or unit not in _PER_S:
        raise UsageError(f"--rate {text}: no rate; write 1/s, 5/min or 20/h")
    return value / _PER_S[unit]


def _parse_battery(text: str) -> float:
    value = _number(text.removesuffix("Wh")) if text.endswith("Wh") else None
    if value is None:
        raise UsageError(f"--battery {text}: no battery; write 10Wh (capacity in Ah times its voltage)")
    return value


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None
