"""Behind `edgert verify`: the same inputs through the interpreter and every peer, alone and end to end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

import edgert
from edgert.errors import EngineError, ModelError
from edgert.plugins import ProgressReporter
from edgert.runtime.cpu import dot_product
from edgert.verification import FloatError, LayerSteps, Mode, NotCompared, Pair, VerifyReport, VerifyRequest
from edgert_converters.comparison.block_layers import block_layers, compare_block_layers
from edgert_converters.comparison.board_peer import BoardPeer
from edgert_converters.comparison.encoding import to_signed, to_signed_values, values_of
from edgert_converters.comparison.end_to_end import compare_whole, count_steps, quantized_layers
from edgert_converters.comparison.float_error import measure_float_errors
from edgert_converters.comparison.isolated import compare_unit, known_values
from edgert_converters.comparison.load import Loaded, load
from edgert_converters.comparison.peer import Known, Peer, Subject
from edgert_converters.comparison.peers import board_peers, choose_peers
from edgert_converters.comparison.tflite_form import ExportedForm
from edgert_converters.interpreter import Interpreter
from edgert_converters.units import find_units

__all__ = ["verify"]

_Outcome = tuple[Pair | None, tuple[NotCompared, ...]]
SIGNED = "interpreter-int8"
"""As a peer: the interpreter on the same graph with int8 instead of uint8 activations."""


@dataclass(frozen=True, slots=True)
class _Judge:
    """The interpreter's integers on one graph, for every sample."""

    subject: Subject
    interpreter: Interpreter
    samples: tuple[Known, ...]


def verify(request: VerifyRequest, progress: ProgressReporter) -> VerifyReport:
    """Compares every peer with the integer interpreter; see edgert.plugins.Converter.verify."""
    peers = _peers(request)
    progress("reading", 0, 0)
    loaded = load(request)
    if not find_units(loaded.subject.model.graph):
        return _block_report(loaded, request, progress)
    progress("interpreter", 0, 0)
    own = _judge(loaded.subject, loaded)
    signed = _signed_judge(own, loaded) if any(peer.is_signed for peer in peers) else own
    outcomes = [
        _compare(mode, peer, signed if peer.is_signed else own, progress) for mode in request.modes for peer in peers
    ]
    if signed is not own and Mode.END_TO_END in request.modes:
        outcomes.append((_encodings(own, signed), ()))
    return VerifyReport(
        name=loaded.name,
        variant=loaded.variant,
        requantize=own.interpreter.requantize.value,
        samples=loaded.samples_text,
        layer_count=len(own.interpreter.units),
        dot_product=_dot_products(request),
        pairs=tuple(pair for pair, _ in outcomes if pair is not None),
        not_compared=tuple(row for _, rows in outcomes for row in rows),
        float_errors=_float_errors(loaded, own),
    )


def _peers(request: VerifyRequest) -> list[Peer]:
    if request.engines is not None:
        return board_peers(request.peers, request.engines)
    if request.board is None:
        return choose_peers(request.peers)
    named = choose_peers(request.peers) if request.peers else []
    return [*named, BoardPeer(request.board)]


def _block_report(loaded: Loaded, request: VerifyRequest, progress: ProgressReporter) -> VerifyReport:
    model = loaded.subject.model
    progress("end to end", 0, 0)
    pairs, missing = compare_block_layers(model, loaded.samples, request)
    count, dots = len(block_layers(model.graph)), _dot_products(request)
    return VerifyReport(loaded.name, loaded.variant, "no", loaded.samples_text, count, dots, pairs, missing, ())


def _dot_products(request: VerifyRequest) -> str:
    here = dot_product().value
    there = request.engines
    return here if there is None else f"{here} here, {there.dot_product()} on {there.place}"


def _judge(subject: Subject, loaded: Loaded) -> _Judge:
    interpreter = Interpreter(subject.model)
    return _Judge(subject, interpreter, tuple(known_values(interpreter, sample) for sample in loaded.samples))


def _signed_judge(own: _Judge, loaded: Loaded) -> _Judge:
    exported = isinstance(own.subject.tflite, ExportedForm)  # a .tflite file that was given stays as it is
    if not exported or not values_of(own.subject.model, ir.DataType.UINT8):
        return own
    model = to_signed(own.subject.model)
    return _judge(Subject(model, ExportedForm(model, loaded.tflite_data)), loaded)


def _encodings(own: _Judge, signed: _Judge) -> Pair:
    """Compares the interpreter with itself: Add and Mul round the zero points' sum, so the encoding can show."""
    shifted = [
        {name: to_signed_values(array) if array.dtype == np.uint8 else array for name, array in known.items()}
        for known in own.samples
    ]
    rows = []
    for value, layer, op in quantized_layers(own.subject.model):
        pairs = [(theirs[value], ours[value]) for theirs, ours in zip(signed.samples, shifted, strict=True)]
        rows.append(count_steps(layer, op, pairs))
    return Pair(SIGNED, edgert.__version__, Mode.END_TO_END, tuple(rows), ("int8 instead of uint8 activations",))


def _compare(mode: Mode, peer: Peer, judge: _Judge, progress: ProgressReporter) -> _Outcome:
    version = peer.version()
    if version is None:
        return None, (NotCompared(peer.name, mode, "", "", peer.hint()),)
    if mode is Mode.ISOLATED:
        return _isolated(peer, version, judge, progress)
    progress(f"end to end, {peer.name}", 0, 0)
    try:
        return compare_whole(peer, judge.subject, judge.samples, version)
    except (ModelError, EngineError) as error:
        return None, (NotCompared(peer.name, mode, "", "", str(error)),)


def _isolated(peer: Peer, version: str, judge: _Judge, progress: ProgressReporter) -> _Outcome:
    rows: list[LayerSteps] = []
    missing: list[NotCompared] = []
    units = judge.interpreter.units
    for done, unit in enumerate(units, 1):
        try:
            rows.append(compare_unit(peer, judge.subject, unit, judge.samples))
        except (ModelError, EngineError) as error:
            missing.append(NotCompared(peer.name, Mode.ISOLATED, unit.name, unit.op, str(error)))
        progress(f"isolated, {peer.name}", done, len(units))
    if not rows:
        return None, tuple(missing)
    kernels = tuple(sorted({kernel for row in rows for kernel in row.kernels}))
    return Pair(peer.name, version, Mode.ISOLATED, tuple(rows), kernels), tuple(missing)


def _float_errors(loaded: Loaded, judge: _Judge) -> tuple[FloatError, ...]:
    if loaded.float_model is None:
        return ()
    return measure_float_errors(loaded.float_model, judge.subject.model, loaded.samples, judge.samples)
