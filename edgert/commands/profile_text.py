"""A profile record in words."""

from __future__ import annotations

from edgert.commands.console import format_table
from edgert.commands.energy_arguments import energy_lines
from edgert.profiler.record import Record
from edgert.units import format_bytes, format_ms

__all__ = ["profile_text"]

_LAYERS_SHOWN = 10


def profile_text(record: Record) -> str:
    """Returns what `edgert profile` prints."""
    latency, memory, stages = record.latency, record.memory, record.stages
    low, high = (format_ms(bound) for bound in latency.p50_ci95_ms)
    lines = [
        f"{record.model.name} {record.variant} on {record.device.name}{_processor(record)}",
        f"engine      {record.engine.name} {record.engine.version}, threads {record.engine.threads or 'default'}, "
        f"dot product {record.engine.dot_product}",
        *_places(record),
        f"latency     p50 {format_ms(latency.p50_ms)} (95 % interval {low} to {high}), "
        f"p90 {format_ms(latency.p90_ms)}, p99 {format_ms(latency.p99_ms)}, mean {format_ms(latency.mean_ms)}, "
        f"{record.method.samples} samples",
        f"stages      pre-process {_stage(stages.preprocess_ms)}, inference {format_ms(stages.inference_ms)}, "
        f"post-process {_stage(stages.postprocess_ms)}",
        f"start       load {format_ms(memory.load_ms)}, first run {format_ms(memory.first_run_ms)}",
        f"memory      peak {_bytes(memory.peak_rss_bytes)}, before load {_bytes(memory.rss_before_load_bytes)}, "
        f"after load {_bytes(memory.rss_after_load_bytes)}",
        *energy_lines(record),
    ]
    if record.sustained is not None:
        lines.append(f"sustained   last {record.sustained.span_s:g} s over first: {record.sustained.ratio:.2f}x")
    lines.append(f"verdict     {record.verdict.value}")
    lines += [f"            {reason.code}: {reason.text}" for reason in record.reasons]
    return "\n".join([*lines, *_layer_lines(record)])


def _places(record: Record) -> list[str]:
    """Which layers ran where, for engines that have several places."""
    places = record.engine.layers_by_place
    return [f"layers      {', '.join(f'{count} on {place}' for place, count in places.items())}"] if places else []


def _processor(record: Record) -> str:
    device = record.device
    words = [word for word in (device.soc, device.core) if word not in {None, device.name}]
    return f" ({', '.join(map(str, words))})" if words else ""


def _layer_lines(record: Record) -> list[str]:
    if record.layers_reason is not None:
        return ["", f"no times of single layers: {record.layers_reason}"]
    total = sum(row.mean_ms for row in record.layers)
    if not total:
        return []
    slowest = sorted(record.layers, key=lambda row: -row.mean_ms)[:_LAYERS_SHOWN]
    rows = [(row.name, row.op, format_ms(row.mean_ms), f"{row.mean_ms / total:.1%}") for row in slowest]
    head = f"slowest {len(slowest)} of {len(record.layers)} layers, from a separate profiled run"
    return ["", head, format_table(("layer", "operator", "mean", "share"), rows)]


def _stage(time_ms: float | None) -> str:
    return "none" if time_ms is None else format_ms(time_ms)


def _bytes(size_bytes: int | None) -> str:
    return "unreadable" if size_bytes is None else format_bytes(size_bytes)
