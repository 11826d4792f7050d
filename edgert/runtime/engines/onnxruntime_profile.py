"""Reads the JSON that ONNX Runtime's profiler writes into per-layer means."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from edgert.codec import JsonValue
from edgert.errors import EngineError
from edgert.plugins import LayerTime

__all__ = ["parse_layer_times", "read_layer_times"]

_SUFFIX = "_kernel_time"


def read_layer_times(path: str) -> tuple[LayerTime, ...]:
    """Returns the per-layer means of one profile file, in order of execution.

    Raises:
        EngineError: the file is missing or has another form.
    """
    try:
        events = json.loads(Path(path).read_text(encoding="utf-8"))
        return parse_layer_times(events)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"cannot read the profile of onnxruntime at {path}: {error}") from error


def parse_layer_times(events: list[JsonValue]) -> tuple[LayerTime, ...]:
    """Returns one row per executed node: its mean over the fastest quarter of the runs, the first, cold one left out.

    Other work on the computer slows whole runs; a mean, for the clock ticks in microseconds.
    """
    durations_us: dict[tuple[str, str, str], list[float]] = {}
    arguments: dict[tuple[str, str, str], dict[str, JsonValue]] = {}
    for event in sorted((e for e in events if e.get("cat") == "Node"), key=lambda e: float(e["ts"])):
        name = str(event["name"])
        if name.endswith(_SUFFIX):
            told = event["args"]
            key = (name.removesuffix(_SUFFIX), str(told["op_name"]), str(told["provider"]))
            durations_us.setdefault(key, []).append(float(event["dur"]))
            arguments[key] = told
    counts = Counter(map(len, durations_us.values()))
    runs = max(counts, key=counts.__getitem__, default=0)  # but for branches and loops each node runs once in each
    fastest = _fastest_runs([times for times in durations_us.values() if len(times) == runs])
    return tuple(
        _row(key, [times[run] for run in fastest] if len(times) == runs else times, arguments[key])
        for key, times in durations_us.items()
    )


def _fastest_runs(durations_us: list[list[float]]) -> list[int]:
    """Numbers of the quarter of the runs in which all nodes together took least; the first, cold one only if alone."""
    totals = [sum(times) for times in zip(*durations_us, strict=True)]
    warm = sorted(range(1, len(totals)), key=totals.__getitem__)
    return warm[: max(1, len(warm) // 4)] or [0]


def _row(key: tuple[str, str, str], times_us: list[float], told: dict[str, JsonValue]) -> LayerTime:
    name, op, provider = key
    inputs, outputs = (_tensors(told.get(f"{side}_type_shape", [])) for side in ("input", "output"))
    return LayerTime(
        name,
        op,
        sum(times_us) / len(times_us) / 1000,
        provider,
        input_shapes=tuple(shape for _, shape in inputs),
        output_shapes=tuple(shape for _, shape in outputs),
        dtypes=tuple(dtype for dtype, _ in inputs),
    )


def _tensors(told: list[dict[str, list[int]]]) -> list[tuple[str, tuple[int, ...]]]:
    """Dtype and shape of each, from e.g. ``[{"float": [1, 3, 8, 8]}]``."""
    return [(dtype, tuple(int(size) for size in shape)) for tensor in told for dtype, shape in tensor.items()]
