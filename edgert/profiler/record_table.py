"""Records as a flat table, one row each: for spreadsheets (CSV) and data frames (parquet). Units stand in the names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edgert.bundle import replace_atomically
from edgert.codec import JsonValue, to_plain
from edgert.errors import MissingExtraError, UsageError
from edgert.profiler.record import Record
from edgert.profiler.record_files import LoadedRecord

__all__ = ["COLUMNS", "build_row", "export_records"]

Cell = str | int | float | bool | None

COLUMNS: Mapping[str, tuple[type[str | int | float | bool], str]] = {
    "file": (str, ""),
    "kind": (str, ""),
    "schema": (int, "schema"),
    "created": (str, "created"),
    "source": (str, "source"),
    "verdict": (str, "verdict"),
    "reasons": (str, ""),
    "model": (str, "model.name"),
    "variant": (str, "variant"),
    "format": (str, "model.format"),
    "precision": (str, "model.precision"),
    "model_bytes": (int, "model.bytes"),
    "source_sha256": (str, "model.source_sha256"),
    "variant_sha256": (str, "model.variant_sha256"),
    "device": (str, "device.name"),
    "target": (str, "device.target"),
    "board": (str, "device.board"),
    "soc": (str, "device.soc"),
    "core": (str, "device.core"),
    "architecture": (str, "device.architecture"),
    "cores": (int, "device.cores"),
    "ram_bytes": (int, "device.ram_bytes"),
    "system": (str, "device.system"),
    "kernel": (str, "device.kernel"),
    "release": (str, "device.release"),
    "engine": (str, "engine.name"),
    "engine_version": (str, "engine.version"),
    "threads": (int, "engine.threads"),
    "providers": (str, "engine.providers"),
    "dot_product": (str, "engine.dot_product"),
    "edgert_version": (str, "engine.edgert"),
    "python_version": (str, "engine.python"),
    "numpy_version": (str, "engine.numpy"),
    "power_mode": (str, "environment.power_mode"),
    "governors": (str, ""),
    "throttle_flags": (str, ""),
    "max_temperature_c": (float, ""),
    "max_competing_cores": (float, ""),
    "input": (str, ""),
    "warmup_runs": (int, "method.warmup_runs"),
    "steady": (bool, "method.steady"),
    "windows": (int, "method.windows"),
    "samples": (int, "method.samples"),
    "p50_ms": (float, "latency.p50_ms"),
    "p50_ci95_low_ms": (float, "latency.p50_ci95_ms.0"),
    "p50_ci95_high_ms": (float, "latency.p50_ci95_ms.1"),
    "p90_ms": (float, "latency.p90_ms"),
    "p95_ms": (float, "latency.p95_ms"),
    "p99_ms": (float, "latency.p99_ms"),
    "mean_ms": (float, "latency.mean_ms"),
    "min_ms": (float, "latency.min_ms"),
    "max_ms": (float, "latency.max_ms"),
    "preprocess_ms": (float, "stages.preprocess_ms"),
    "postprocess_ms": (float, "stages.postprocess_ms"),
    "load_ms": (float, "memory.load_ms"),
    "first_run_ms": (float, "memory.first_run_ms"),
    "rss_before_load_bytes": (int, "memory.rss_before_load_bytes"),
    "rss_after_load_bytes": (int, "memory.rss_after_load_bytes"),
    "peak_rss_bytes": (int, "memory.peak_rss_bytes"),
    "sustained_s": (float, "sustained.duration_s"),
    "sustained_ratio": (float, "sustained.ratio"),
    "energy_sensor": (str, "energy.sensor"),
    "energy_source": (str, "energy.source"),
    "energy_reason": (str, "energy_reason"),
    "idle_mw": (float, "energy.idle_mw"),
    "gross_mj": (float, "energy.gross_mj"),
    "net_mj": (float, "energy.net_mj"),
    "net_ci95_low_mj": (float, "energy.net_ci95_mj.0"),
    "net_ci95_high_mj": (float, "energy.net_ci95_mj.1"),
    "duty_rate_hz": (float, "energy.duty.rate_hz"),
    "duty_mean_mw": (float, "energy.duty.mean_mw"),
    "battery_hours": (float, "energy.duty.hours"),
    "instructions": (int, "instructions"),
    "cycles": (int, "cycles"),
    "clock_hz": (int, "clock_hz"),
    "arena_bytes": (int, "ram_bytes.arena"),
    "data_bss_bytes": (int, "ram_bytes.data_bss"),
    "stack_bytes": (int, "ram_bytes.stack"),
    "code_bytes": (int, "flash_bytes.code"),
    "weight_bytes": (int, "flash_bytes.weights"),
}
"""Column -> (type, path in the record); an empty path is filled by `build_row`. `kind` says what was counted: `time`
(p50_ms and the like), `instructions` or `cycles` of a microcontroller."""


def build_row(loaded: LoadedRecord) -> dict[str, Cell]:
    """Returns a record as one row; None where it does not tell."""
    record = loaded.record
    plain = to_plain(record)
    row: dict[str, Cell] = {name: _cell(plain, path) for name, (_, path) in COLUMNS.items()}
    row["file"] = str(loaded.path)
    if isinstance(record, Record):
        return row | _circumstances(record)
    counted = "cycles" if record.instructions is None else "instructions"
    return row | {"kind": counted, "input": record.input}


def export_records(records: Sequence[LoadedRecord], path: Path) -> Path:
    """Writes a table of records; the ending of the name says which format.

    Raises:
        UsageError: the name ends in neither .csv nor .parquet.
        MissingExtraError: parquet without pyarrow.
        OutputError: the file cannot be written.
    """
    rows = [build_row(loaded) for loaded in records]
    if path.suffix.lower() == ".csv":
        return replace_atomically(path, _csv(rows))
    if path.suffix.lower() == ".parquet":
        return replace_atomically(path, _parquet(rows))
    raise UsageError(f"--export {path}: end the name in .csv or .parquet")


def _circumstances(record: Record) -> dict[str, Cell]:
    samples = record.environment.samples()
    heat = [value for sample in samples for value in sample.temperatures_c.values()]
    competing = [sample.competing_cores for sample in samples if sample.competing_cores is not None]
    return {
        "kind": "time",
        "reasons": _joined(reason.code for reason in record.reasons),
        "governors": _joined(governor for sample in samples for governor in sample.governors),
        "throttle_flags": _joined(sample.throttle_flags for sample in samples if sample.throttle_flags),
        "max_temperature_c": max(heat, default=None),
        "max_competing_cores": max(competing, default=None),
        "input": record.method.input,
    }


def _joined(words: Iterable[str]) -> str | None:
    return ";".join(dict.fromkeys(words)) or None


def _cell(plain: JsonValue, path: str) -> Cell:
    found = plain if path else None
    for key in path.split("."):
        if isinstance(found, list) and key.isdigit():
            found = found[int(key)]
        else:
            found = found.get(key) if isinstance(found, dict) else None
    if isinstance(found, list):
        return _joined(str(item) for item in found)
    return found if isinstance(found, (str, int, float, bool)) else None


def _csv(rows: Sequence[Mapping[str, Cell]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _parquet(rows: Sequence[Mapping[str, Cell]]) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet", "writing parquet files") from error
    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, types[kind]) for name, (kind, _) in COLUMNS.items()])
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), buffer)
    return buffer.getvalue()
