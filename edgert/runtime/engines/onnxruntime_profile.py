"""Reads the JSON that ONNX Runtime's profiler writes into per-layer means."""

from __future__ import annotations

import json
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
    """Returns one row per executed node: the mean of the middle half of its executions, without the first, cold one."""
    durations_us: dict[tuple[str, str, str], list[float]] = {}
    arguments: dict[tuple[str, str, str], dict[str, JsonValue]] = {}
    for event in sorted((e for e in events if e.get("cat") == "Node"), key=lambda e: float(e["ts"])):
        name = str(event["name"])
        if name.endswith(_SUFFIX):
            told = event["args"]
            key = (name.removesuffix(_SUFFIX), str(told["op_name"]), str(told["provider"]))
            durations_us.setdefault(key, []).append(float(event["dur"]))
            arguments[key] = told
    return tuple(_row(key, times, arguments[key]) for key, times in durations_us.items())


def _row(key: tuple[str, str, str], times_us: list[float], told: dict[str, JsonValue]) -> LayerTime:
    name, op, provider = key
    inputs, outputs = (_tensors(told.get(f"{side}_type_shape", [])) for side in ("input", "output"))
    return LayerTime(
        name,
        op,
        _middle_mean(times_us[1:] or times_us) / 1000,
        provider,
        input_shapes=tuple(shape for _, shape in inputs),
        output_shapes=tuple(shape for _, shape in outputs),
        dtypes=tuple(dtype for dtype, _ in inputs),
    )


def _middle_mean(times: list[float]) -> float:
    """Mean of the middle half: other work on the computer meets single runs, and the clock ticks in microseconds."""
    outside = len(times) // 4
    middle = sorted(times)[outside : len(times) - outside]
    return sum(middle) / len(middle)


def _tensors(told: list[dict[str, list[int]]]) -> list[tuple[str, tuple[int, ...]]]:
    """Dtype and shape of each, from e.g. ``[{"float": [1, 3, 8, 8]}]``."""
    return [(dtype, tuple(int(size) for size in shape)) for tensor in told for dtype, shape in tensor.items()]
