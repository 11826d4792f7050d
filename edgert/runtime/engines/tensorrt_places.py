"""Where the layers of a built engine run, and in which type: read from TensorRT's build log and its inspector.

The log of a build for a DLA lists every layer behind `[DlaLayer]` or `[GpuLayer]`. The inspector gives the fused
layers as JSON, `{"Layers": [...]}`: objects with a name, a type and tensors where the engine was built with detailed
verbosity, bare names otherwise. Formats as in public logs of TensorRT 8.4 to 10.3; no board was at hand to see them.
"""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Mapping, Sequence

__all__ = ["count_places", "count_types", "read_layer_types"]

_LOGGED = re.compile(r"\[(Dla|Gpu)Layer\]")
_TYPE = re.compile(r"\b(INT8|INT4|FP8|FP16|BF16|FP32|INT32|INT64|BOOL|HALF|FLOAT)\b", re.IGNORECASE)
_SAME = {"HALF": "FP16", "FLOAT": "FP32"}


def count_places(log: Sequence[str], information: str, dla: str | None) -> dict[str, int]:
    """Returns how many layers run where: on `GPU`, and on the DLA by its name.

    Args:
        log: lines of the build.
        information: the inspector's JSON.
        dla: name of the DLA that was asked for; None: everything runs on the GPU.
    """
    counts: collections.Counter[str] = collections.Counter()
    if dla is not None:
        for line in log:
            for kind in _LOGGED.findall(line):
                counts[dla if kind == "Dla" else "GPU"] += 1
    if not counts:
        for _, kind, _ in _layers(information):
            counts[dla if dla is not None and "dla" in kind.lower() else "GPU"] += 1
    return dict(sorted(counts.items()))


def count_types(information: str) -> dict[str, int]:
    """Returns how many fused layers give which type; {} where the inspector gives names only."""
    counts: collections.Counter[str] = collections.Counter()
    for _, _, made in _layers(information):
        found = _TYPE.search(made)
        if found:
            word = found.group(1).upper()
            counts[_SAME.get(word, word)] += 1
    return dict(sorted(counts.items()))


def read_layer_types(information: str) -> dict[str, str]:
    """Returns the type of every fused layer by its name (`CaskConvolution`, `Reformat`); empty where not told."""
    return {name: kind for name, kind, _ in _layers(information)}


def _layers(information: str) -> list[tuple[str, str, str]]:
    """Name, type, and the words for the type of the first output."""
    try:
        parsed = json.loads(information)
    except ValueError:
        return []
    rows = parsed.get("Layers") if isinstance(parsed, Mapping) else None
    return [_layer(row) for row in rows] if isinstance(rows, list) else []


def _layer(row: object) -> tuple[str, str, str]:
    if not isinstance(row, Mapping):
        return str(row), "", ""
    outputs = row.get("Outputs")
    first = outputs[0] if isinstance(outputs, list) and outputs and isinstance(outputs[0], Mapping) else {}
    made = str(first.get("Format/Datatype") or first.get("Datatype") or "")
    return str(row.get("Name", "")), str(row.get("LayerType", "")), made
