"""Times a network and its layers in one engine, in a child process (stopwatch.py), and keeps the results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

import edgert
import edgert_converters
from edgert.bundle import TensorSpec
from edgert.codec import CodecError, from_plain, to_plain
from edgert.errors import EdgertError, ModelError
from edgert_converters.comparison.encoding import with_real_ends
from edgert_converters.exporters.onnx import serialize
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.payoff.cache import Place, Timed
from edgert_converters.payoff.network import Network
from edgert_converters.payoff.pieces import Piece
from edgert_converters.payoff.place import THREADS, Site
from edgert_converters.payoff.stopwatch import (
    REQUEST,
    RESULTS,
    Form,
    PairRequest,
    Request,
    Result,
    SingleRequest,
)

__all__ = ["BASE", "measure_site"]

BASE = ""
"""Key of the engine's own time per run among the layers."""

_CHILD = "edgert_converters.payoff.stopwatch"
_PAIR_S = 1.2
_LAYERS_S = 2.0
_MOST_LAYERS = 120
_TIME_LIMIT_S = 40.0
_TAIL_SHARE = 10.0
_LEAST_DOUBT = 0.03
"""Between two measurements of one pair the ratio moves by this share even on a quiet computer."""


@dataclass(frozen=True, slots=True)
class _Job:
    folder: Path
    site: Site
    network: Network


def measure_site(network: Network, site: Site, place: Place) -> str | None:
    """Times the network and, for two seconds, its layers, those that compute most first.

    Args:
        network: not quantized.
        site: the engine.
        place: its part of the cache, which gets the times.

    Returns:
        Why there is no time of the network, or None.
    """
    with tempfile.TemporaryDirectory(prefix="edgert-payoff-") as name:
        job = _Job(Path(name), site, network)
        try:
            pair = _write_pair(job)
        except EdgertError as error:
            return str(error)
        singles = _write_singles(job, place) if site.cuts_layers else ()
        request = Request(site.engine, THREADS, pair, tuple(singles), _LAYERS_S)
        (job.folder / REQUEST).write_text(json.dumps(to_plain(request)))
        trouble = _run_child(job.folder)
        return _take(_read_results(job.folder), place, network, trouble)


def _take(results: Iterable[Result], place: Place, network: Network, trouble: str | None) -> str | None:
    reason = trouble
    for result in results:
        if result.error is not None:
            reason = result.error if not result.key else reason
        elif result.ratios:
            reason = None
            place.networks[network.structure] = _timed(result)
        else:
            place.layers[result.key.removeprefix("layer ")] = result.least_ms
    return reason


def _timed(result: Result) -> Timed:
    """The interval holds the middle 80 % of the rounds, the ratio of the least times, and 3 % to each side of it."""
    ratio = result.int8_ms / result.float_ms
    low, high = np.percentile(result.ratios, [_TAIL_SHARE, 100.0 - _TAIL_SHARE])
    return Timed(
        result.float_ms,
        result.int8_ms,
        min(float(low), ratio * (1.0 - _LEAST_DOUBT)),
        max(float(high), ratio * (1.0 + _LEAST_DOUBT)),
    )


def _write_pair(job: _Job) -> PairRequest:
    network, site = job.network, job.site
    forms = [
        _write(job, name, graph, network.inputs, network.outputs)
        for name, graph in (("float", network.model), ("int8", network.quantized(site.encoding)))
    ]
    return PairRequest(forms[0], forms[1], network.inputs, network.outputs, _PAIR_S)


def _write(
    job: _Job, name: str, model: ir.Model, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> Form:
    file = f"{name}.{job.site.format}"
    if job.site.format == "tflite":
        exported = export_tflite(model)
        (job.folder / file).write_bytes(exported.data)
        return Form(file, "tflite", exported.inputs, exported.outputs)
    (job.folder / file).write_bytes(serialize(model))
    return Form(file, "onnx", inputs, outputs)


def _write_singles(job: _Job, place: Place) -> list[SingleRequest]:
    """Layers that are not known yet, of both forms, those that compute most first."""
    network = job.network
    wanted: dict[str, Piece] = {}
    for piece in sorted([*network.float_pieces, *network.int8_pieces(job.site.encoding)], key=lambda p: -p.work):
        if piece.structure not in place.layers:
            wanted.setdefault(piece.structure, piece)
    graphs = {} if BASE in place.layers else {BASE: _nothing()}
    graphs |= {structure: piece.model for structure, piece in list(wanted.items())[:_MOST_LAYERS]}
    made = [_write_single(job, f"layer {structure}", graph) for structure, graph in graphs.items()]
    return [request for request in made if request is not None]


def _write_single(job: _Job, key: str, model: ir.Model) -> SingleRequest | None:
    """Returns None for an operator without a form of its own there: the whole network tells."""
    try:
        graph = with_real_ends(model) if job.site.format == "tflite" else model
        form = _write(job, f"single{len(list(job.folder.iterdir()))}", graph, (), ())
    except ModelError:
        return None
    return SingleRequest(key, Form(form.file, form.format))


def _nothing() -> ir.Model:
    """A Relu of one number: what a run costs before it computes anything."""
    value = ir.Value(name="x", shape=ir.Shape((1,)), type=ir.TensorType(ir.DataType.FLOAT))
    node = ir.node("Relu", [value], name="nothing")
    result = node.outputs[0]
    result.name, result.shape, result.type = "y", value.shape, value.type
    return ir.Model(ir.Graph([value], [result], nodes=[node], opset_imports={"": 18}), ir_version=8)


def _run_child(folder: Path) -> str | None:
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


def _read_results(folder: Path) -> list[Result]:
    """What the child wrote; the last line of one that was stopped while it wrote is left out."""
    results: list[Result] = []
    try:
        for line in (folder / RESULTS).read_text(encoding="utf-8").splitlines():
            results.append(from_plain(Result, json.loads(line)))  # noqa: PERF401  # those before a broken line count
    except (OSError, ValueError, CodecError):
        return results
    return results
