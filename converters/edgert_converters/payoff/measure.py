"""Times a network and its layers in one engine, in a child process (stopwatch.py), and keeps the results."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from edgert.codec import to_plain
from edgert.errors import EdgertError, ModelError
from edgert_converters.comparison.encoding import with_real_ends
from edgert_converters.payoff.cache import Place
from edgert_converters.payoff.child import PAIR_S, read_results, run_child, timed_pair, write_form
from edgert_converters.payoff.network import Network
from edgert_converters.payoff.pieces import Piece
from edgert_converters.payoff.place import THREADS, Site
from edgert_converters.payoff.stopwatch import (
    REQUEST,
    Form,
    PairRequest,
    Request,
    Result,
    SingleRequest,
)

__all__ = ["BASE", "measure_site"]

BASE = ""
"""Key of the engine's own time per run among the layers."""

_LAYERS_S = 2.0
_MOST_LAYERS = 120


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
        trouble = run_child(job.folder)
        return _take(read_results(job.folder), place, network, trouble)


def _take(results: Iterable[Result], place: Place, network: Network, trouble: str | None) -> str | None:
    reason = trouble
    for result in results:
        if result.error is not None:
            reason = result.error if not result.key else reason
        elif result.ratios:
            reason = None
            place.networks[network.structure] = timed_pair(result)
        else:
            place.layers[result.key.removeprefix("layer ")] = result.least_ms
    return reason


def _write_pair(job: _Job) -> PairRequest:
    network, site = job.network, job.site
    forms = [
        write_form(job.folder, name, graph, site, network.inputs, network.outputs)
        for name, graph in (("float", network.model), ("int8", network.quantized(site.encoding)))
    ]
    return PairRequest(forms[0], forms[1], network.inputs, network.outputs, PAIR_S)


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
        form = write_form(job.folder, f"single{len(list(job.folder.iterdir()))}", graph, job.site)
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
