"""What a release must keep on a device, from the newest profile record of its variant there."""

from __future__ import annotations

from pathlib import Path

from edgert.bundle import Bundle
from edgert.codec import JsonValue
from edgert.deploy.plan import Plan
from edgert.devices.names import Device
from edgert.errors import InputFileError
from edgert.profiler.record import Record, Verdict
from edgert.profiler.record_files import find_records, records_folder

__all__ = ["limits_of"]

_DEFAULT_RATE_HZ = 15.0


def limits_of(plan: Plan, device: Device, records: Path | None = None) -> dict[str, JsonValue]:
    """Returns fields of edgert.onboard.trial.Limits for one device.

    Flags and [deploy] win; else the newest record that is not invalid, of this variant and device in `records`
    (default: where edgert profile keeps them), times `slower`; else nothing, and the board compares with the release
    before.
    """
    health = plan.health
    limits: dict[str, JsonValue] = {"ready_s": health.ready_s, "alive_s": health.alive_s, "slower": health.slower}
    record = _newest(plan, device, records or records_folder())
    if health.max_p95_ms is not None:
        limits |= {"p95_ms": health.max_p95_ms, "p95_from": "max_p95_ms"}
    elif record is not None:
        limits |= {"p95_ms": health.slower * record.latency.p95_ms, "p95_from": _words(health.slower, record)}
    if health.max_energy_mj is not None:
        limits |= {"energy_mj": health.max_energy_mj, "energy_from": "max_energy_mj"}
    elif record is not None and (expected_mj := _energy_per_frame_mj(plan, record)) is not None:
        limits |= {"energy_mj": health.slower * expected_mj, "energy_from": _words(health.slower, record)}
    return limits


def _energy_per_frame_mj(plan: Plan, record: Record) -> float | None:
    """An inference, and the idle power (mW) for the rest of the time that a frame has; None without a measurement."""
    if record.energy is None:
        return None
    rate_hz = float(plan.settings.get("rate", _DEFAULT_RATE_HZ))
    idle_s = max(0.0, 1 / rate_hz - record.latency.mean_ms / 1e3)
    return record.energy.gross_mj + record.energy.idle_mw * idle_s


def _newest(plan: Plan, device: Device, folder: Path) -> Record | None:
    if not folder.is_dir():
        return None
    with Bundle.open(plan.bundle) as bundle:
        variant = plan.settings.get("variant")
        found = bundle.manifest.variant(None if variant is None else str(variant))
        sha256 = bundle.manifest.files[found.path].sha256
    try:
        records = [loaded.record for loaded in find_records([folder])[0]]
    except InputFileError:
        return None  # no record there, or a damaged one, which edgert compare names
    fitting = [
        record
        for record in records
        if isinstance(record, Record)
        and record.model.variant_sha256 == sha256
        and record.device.name == device.name
        and record.verdict is not Verdict.INVALID
    ]
    return max(fitting, key=lambda record: record.created, default=None)


def _words(factor: float, record: Record) -> str:
    return f"{factor:g} times the profile of {record.created[:10]}"
