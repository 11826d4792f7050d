"""The stopwatch's child process: files written for it, its run, what it said; and a pair of graphs timed in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx_ir as ir

import edgert
import edgert_converters
from edgert.bundle import TensorSpec
from edgert.codec import CodecError, from_plain, to_plain
from edgert.errors import EdgertError
from edgert_converters.exporters.onnx import serialize
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.payoff.cache import Timed
from edgert_converters.payoff.place import THREADS, Site
from edgert_converters.payoff.stopwatch import REQUEST, RESULTS, Form, PairRequest, Request, Result

__all__ = ["PAIR_S", "measure_pair", "read_results", "run_child", "timed_pair", "write_form"]

PAIR_S = 1.2
"""Seconds spent on one pair."""
_CHILD = "edgert_converters.payoff.stopwatch"
_TIME_LIMIT_S = 40.0
_TAIL_SHARE = 10.0
_LEAST_DOUBT = 0.03
"""Between two measurements of one pair the ratio moves by this share even on a quiet computer."""


def measure_pair(
    site: Site,
    graphs: tuple[ir.Model, ir.Model],
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
) -> Timed | str:
    """Returns the times of two graphs, run in turns in a child process, the second as `int8`; or why there are none."""
    with tempfile.TemporaryDirectory(prefix="edgert-pair-") as name:
        folder = Path(name)
        try:
            forms = [
                write_form(folder, file, graph, site, inputs, outputs)
                for file, graph in zip(("float", "int8"), graphs, strict=True)
            ]
        except EdgertError as error:
            return str(error)
        request = Request(site.engine, THREADS, PairRequest(forms[0], forms[1], inputs, outputs, PAIR_S), (), 0.0)
        (folder / REQUEST).write_text(json.dumps(to_plain(request)))
        trouble = run_child(folder)
        results = read_results(folder)
    if not results or results[0].error is not None:
        return trouble or (results[0].error if results else None) or "the engine gave no time"
    return timed_pair(results[0])


def timed_pair(result: Result) -> Timed:
    """The interval holds the middle 80 % of the rounds, the ratio of the least times, and 3 % to each side of it."""
    ratio = result.int8_ms / result.float_ms
    low, high = np.percentile(result.ratios, [_TAIL_SHARE, 100.0 - _TAIL_SHARE])
    return Timed(
        result.float_ms,
        result.int8_ms,
        min(float(low), ratio * (1.0 - _LEAST_DOUBT)),
        max(float(high), ratio * (1.0 + _LEAST_DOUBT)),
    )


def write_form(
    folder: Path,
    name: str,
    model: ir.Model,
    site: Site,
    inputs: tuple[TensorSpec, ...] = (),
    outputs: tuple[TensorSpec, ...] = (),
) -> Form:
    """Writes a graph as the file that the site's engine reads; () for both ports: what the engine says.

    Raises:
        ModelError: the graph has no TFLite form.
    """
    file = f"{name}.{site.format}"
    if site.format == "tflite":
        exported = export_tflite(model, for_xnnpack=True)  # as convert writes it for this computer
        (folder / file).write_bytes(exported.data)
        return Form(file, "tflite", exported.inputs, exported.outputs)
    (folder / file).write_bytes(serialize(model))
    return Form(file, "onnx", inputs, outputs)


def run_child(folder: Path) -> str | None:
    """Runs the stopwatch; returns what went wrong, or None. What it wrote before counts."""
    roots = [str(Path(package.__path__[0]).resolve().parent) for package in (edgert, edgert_converters)]
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([*roots, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-P", "-m", _CHILD, str(folder)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=_TIME_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"timing it took longer than {_TIME_LIMIT_S:.0f} s and was stopped"
    if done.returncode == 0:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return f"the engine ended with code {done.returncode} while it ran ({lines[-1] if lines else 'no message'})"


def read_results(folder: Path) -> list[Result]:
    """What the child wrote; the last line of one that was stopped while it wrote is left out."""
    results: list[Result] = []
    try:
        for line in (folder / RESULTS).read_text(encoding="utf-8").splitlines():
            results.append(from_plain(Result, json.loads(line)))  # noqa: PERF401  # those before a broken line count
    except (OSError, ValueError, CodecError):
        return results
    return results
