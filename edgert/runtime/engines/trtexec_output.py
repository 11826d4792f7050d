"""Reads what trtexec prints and writes: the banner, the performance summary, times of runs and of layers.

Formats of 8.5 to 10.2, from public logs: the summary's lines begin with a time stamp and `[I]`, statistics are
`min = 5.38672 ms, max = ..., percentile(99%) = ...`; --exportTimes writes a list of objects, --exportProfile one whose
first entry is `{"count": N}`. Older releases (7.x) print other lines and are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.errors import EngineError
from edgert.plugins import LayerTime

__all__ = ["Summary", "parse_layers", "parse_summary", "parse_times_ms", "parse_version"]

_BANNER = re.compile(r"&&&& RUNNING TensorRT\.trtexec \[TensorRT v(\d+)\]")
_FAILED = re.compile(r"&&&& FAILED")
_ERROR = re.compile(r"\[E\] (.+)")
_THROUGHPUT = re.compile(r"Throughput: ([\d.eE+-]+) qps")
_STATISTIC = re.compile(r"(min|max|mean|median|percentile\(\d+%\)) = ([\d.eE+-]+) ms")
_ROWS = {"latency": "Latency", "gpu": "GPU Compute Time", "enqueue": "Enqueue Time", "h2d": "H2D Latency"}
_ERRORS_SHOWN = 2


@dataclass(frozen=True, slots=True)
class Summary:
    """The performance summary. Each statistic has min, max, mean, median and percentiles, in milliseconds."""

    version: str
    throughput_per_s: float
    latency_ms: Mapping[str, float]
    gpu_ms: Mapping[str, float]
    enqueue_ms: Mapping[str, float]
    h2d_ms: Mapping[str, float]


def parse_version(text: str) -> str | None:
    """Returns the version of the banner, None where there is none: v8601 is 8.6.1, v100300 is 10.3.0."""
    found = _BANNER.search(text)
    if found is None:
        return None
    number = int(found.group(1))
    major = number // 10000 if number >= 100000 else number // 1000
    rest = number - major * (10000 if number >= 100000 else 1000)
    return f"{major}.{rest // 100}.{rest % 100}"


def parse_summary(text: str) -> Summary:
    """Returns the summary at the end of a run.

    Raises:
        EngineError: trtexec failed, or printed no summary; its own words are kept.
    """
    throughput = _THROUGHPUT.search(text)
    if _FAILED.search(text) or throughput is None:
        words = "; ".join(_ERROR.findall(text)[:_ERRORS_SHOWN]) or "it printed no performance summary"
        raise EngineError(f"trtexec failed: {words}")
    rows = {key: _statistics(text, title) for key, title in _ROWS.items()}
    if not rows["latency"] or not rows["gpu"]:
        raise EngineError("trtexec printed a summary without latency: edgert reads those of TensorRT 8.5 and later")
    version = parse_version(text) or "unknown"
    return Summary(version, float(throughput.group(1)), rows["latency"], rows["gpu"], rows["enqueue"], rows["h2d"])


def parse_times_ms(text: str) -> NDArray[np.float64]:
    """Returns the latency of every run, float64[runs] in milliseconds, of a file of --exportTimes.

    Raises:
        EngineError: it is no such file, or holds no run.
    """
    rows = [row["latencyMs"] for row in _read_rows(text, "times") if isinstance(row.get("latencyMs"), (int, float))]
    if not rows:
        raise EngineError("trtexec wrote no times of runs")
    return np.array(rows, np.float64)


def parse_layers(text: str, dla: str | None = None) -> tuple[LayerTime, ...]:
    """Returns mean times per fused layer of a file of --exportProfile; () where it has none.

    Args:
        text: of the file.
        dla: name of the DLA that was asked for, None: everything ran on the GPU.

    Raises:
        EngineError: it is no such file.
    """
    return tuple(
        LayerTime(str(row["name"]), "fused", float(row["averageMs"]), _place(str(row["name"]), dla))
        for row in _read_rows(text, "profile")
        if isinstance(row.get("averageMs"), (int, float)) and "name" in row
    )


def _place(name: str, dla: str | None) -> str:
    """What the profile tells by names: `{ForeignNode[...]}` is what a DLA runs, `to nvm` and `from nvm` its copies.

    Without a DLA, TensorRT calls blocks that another compiler of its own made for the GPU a ForeignNode, too.
    """
    is_dla = name.startswith("{ForeignNode") or name.endswith((" to nvm", " from nvm"))
    return dla if dla is not None and is_dla else "GPU"


def _statistics(text: str, title: str) -> dict[str, float]:
    line = re.search(rf"^.*\[I\] {re.escape(title)}: (.+)$", text, re.MULTILINE)
    return {} if line is None else {key: float(value) for key, value in _STATISTIC.findall(line.group(1))}


def _read_rows(text: str, what: str) -> Sequence[Mapping[str, float | str]]:
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise EngineError(f"trtexec wrote a file of {what} that is no JSON ({error})") from error
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise EngineError(f"trtexec wrote a file of {what} that is no list of objects")
    return rows
