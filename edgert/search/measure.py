"""Measures one variant of a bundle for a search: the same calls as `edgert profile`, read as quantities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgert.devices.names import Device
from edgert.errors import EdgertError, RecipeError
from edgert.profiler.board import profile_board
from edgert.profiler.board_record import BoardRecord
from edgert.profiler.energy.duty import with_duty_cycle
from edgert.profiler.on_device import profile_on_device, target_name, time_now
from edgert.profiler.record import EnergyRecord, Record, Verdict
from edgert.profiler.record_files import AnyRecord
from edgert.profiler.request import ProfileRequest
from edgert.search.goals import Quantity

__all__ = ["MeasurementError", "Measuring", "check_figures", "check_quantities", "figures_of", "measure"]

_OF_FILES = (Quantity.ACCURACY, Quantity.SIZE_BYTES)
_ON_COMPUTERS = (*_OF_FILES, Quantity.LATENCY_MS, Quantity.RAM_BYTES, Quantity.ENERGY_MJ)
_EMULATED = (*_OF_FILES, Quantity.INSTRUCTIONS, Quantity.RAM_BYTES, Quantity.FLASH_BYTES)
_LONGER = 3.0
"""Times the duration where the first record is invalid, mostly for too few samples."""


class MeasurementError(EdgertError):
    """A candidate gave no figures that may be believed."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """How one candidate is measured.

    `engine` and `threads` None: as the device chooses. `rate_hz` is inferences per second at which gross energy is
    counted, None: back to back. `energy` False leaves the sensors alone.
    """

    variant: str
    engine: str | None = None
    threads: int | None = None
    duration_s: float = 1.0
    rate_hz: float | None = None
    energy: bool = False
    seed: int = 0


def check_quantities(quantities: Sequence[Quantity], device: Device) -> None:
    """Refuses, before anything is measured, what a device has no figure for.

    Raises:
        RecipeError: names the quantities that it has.
    """
    if device.is_board and not device.url.startswith("qemu:"):
        raise RecipeError(
            f"{device.name} is a microcontroller that would be flashed for every candidate; search on its emulated "
            "twin (qemu:mps2-an386) and measure what was chosen there"
        )
    known = _EMULATED if device.is_board else _ON_COMPUTERS
    for quantity in quantities:
        if quantity not in known:
            words = "an emulated microcontroller" if device.is_board else "a computer"
            raise RecipeError(
                f"{quantity.value} is no quantity of {device.name}, {words}; there is "
                f"{', '.join(item.value for item in known)}"
            )


def measure(device: Device, bundle: Path, how: Measuring) -> AnyRecord:
    """Returns the record of a variant; an invalid one is measured once again, for longer.

    Raises:
        MeasurementError: the second record is invalid, too.
        DeviceError: the device cannot be reached; as EngineError: its engine refuses the variant.
        ModelError: the model crashed the engine.
    """
    if device.is_board:
        return profile_board(
            device, bundle, {}, created=time_now(), variant=how.variant, duration_s=0.0, seed=how.seed, layers=False
        )
    record = _profile(device, bundle, how, how.duration_s)
    if record.verdict is Verdict.INVALID:
        record = _profile(device, bundle, how, how.duration_s * _LONGER)
    if record.verdict is Verdict.INVALID:
        reasons = "; ".join(f"{reason.code}: {reason.text}" for reason in record.reasons)
        raise MeasurementError(f"measured twice, and twice invalid: {reasons}")
    return record


def figures_of(record: AnyRecord, rate_hz: float | None) -> dict[Quantity, float]:
    """Returns what a record says, by quantity; what it does not hold is left out.

    RAM is the peak of the measuring process, engine and Python included, or all RAM of a microcontroller's firmware.

    Raises:
        MeasurementError: the device cannot keep up with the rate.
    """
    if isinstance(record, BoardRecord):
        flash = record.flash_bytes
        found: dict[Quantity, float] = {
            Quantity.RAM_BYTES: float(record.ram_bytes.total),
            Quantity.FLASH_BYTES: float(flash.code + flash.weights),
        }
        if record.instructions is not None:
            found[Quantity.INSTRUCTIONS] = float(record.instructions)
        return found
    found = {Quantity.LATENCY_MS: record.latency.p50_ms}
    if record.memory.peak_rss_bytes is not None:
        found[Quantity.RAM_BYTES] = float(record.memory.peak_rss_bytes)
    if record.energy is not None:
        found[Quantity.ENERGY_MJ] = _gross_mj(record.energy, record.latency.mean_ms, rate_hz)
    return found


def check_figures(figures: dict[Quantity, float], quantities: Sequence[Quantity], record: AnyRecord) -> None:
    """Checks that everything asked for is there.

    Raises:
        RecipeError: the device has no sensor for it: no other candidate would have the figure either.
    """
    for quantity in quantities:
        if quantity not in figures and quantity not in _OF_FILES:
            reason = record.energy_reason if quantity is Quantity.ENERGY_MJ else "the system does not tell"
            raise RecipeError(f"{quantity.value} cannot be measured on {record.device.name}: {reason}")


def _gross_mj(energy: EnergyRecord, mean_ms: float, rate_hz: float | None) -> float:
    """Energy of one inference with its share of idling at a rate; back to back without one."""
    if rate_hz is None:
        return energy.gross_mj
    duty = with_duty_cycle(energy, mean_ms, rate_hz, None).duty
    if duty is None:
        raise MeasurementError(f"{rate_hz:g} inferences a second do not fit: one takes {mean_ms:.4g} ms")
    return duty.mean_mw / rate_hz


def _profile(device: Device, bundle: Path, how: Measuring, duration_s: float) -> Record:
    request = ProfileRequest(
        path="",
        created=time_now(),
        variant=how.variant,
        threads=how.threads,
        engine=how.engine,
        duration_s=duration_s,
        energy="auto" if how.energy else "none",
        layers=False,
        seed=how.seed,
        tuned=False,
        target=target_name(device.name),
    )
    return profile_on_device(device.name, bundle, {}, request)[0]
