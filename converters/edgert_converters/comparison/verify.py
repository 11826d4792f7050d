"""Behind `edgert verify`: the same inputs through the interpreter and every peer, alone and end to end."""

from __future__ import annotations

from collections.abc import Sequence

from edgert.errors import EngineError, ModelError
from edgert.plugins import ProgressReporter
from edgert.runtime.cpu import dot_product
from edgert.verification import FloatError, LayerSteps, Mode, NotCompared, Pair, VerifyReport, VerifyRequest
from edgert_converters.comparison.end_to_end import compare_whole
from edgert_converters.comparison.float_error import measure_float_errors
from edgert_converters.comparison.isolated import compare_unit, known_values
from edgert_converters.comparison.load import Loaded, load
from edgert_converters.comparison.peer import Known, Peer, Subject
from edgert_converters.comparison.peers import choose_peers
from edgert_converters.interpreter import Interpreter

__all__ = ["verify"]

_Outcome = tuple[Pair | None, tuple[NotCompared, ...]]


def verify(request: VerifyRequest, progress: ProgressReporter) -> VerifyReport:
    """Compares every peer with the integer interpreter; see edgert.plugins.Converter.verify."""
    peers = choose_peers(request.peers)
    progress("reading", 0, 0)
    loaded = load(request)
    interpreter = Interpreter(loaded.subject.model)
    progress("interpreter", 0, 0)
    samples = [known_values(interpreter, sample) for sample in loaded.samples]
    outcomes = [
        _compare(mode, peer, loaded.subject, interpreter, samples, progress) for mode in request.modes for peer in peers
    ]
    return VerifyReport(
        name=loaded.name,
        variant=loaded.variant,
        requantize=interpreter.requantize.value,
        samples=loaded.samples_text,
        layer_count=len(interpreter.units),
        dot_product=dot_product().value,
        pairs=tuple(pair for pair, _ in outcomes if pair is not None),
        not_compared=tuple(row for _, rows in outcomes for row in rows),
        float_errors=_float_errors(loaded, samples),
    )


def _compare(
    mode: Mode,
    peer: Peer,
    subject: Subject,
    interpreter: Interpreter,
    samples: Sequence[Known],
    progress: ProgressReporter,
) -> _Outcome:
    version = peer.version()
    if version is None:
        return None, (NotCompared(peer.name, mode, "", "", peer.hint()),)
    if mode is Mode.ISOLATED:
        return _isolated(peer, version, subject, interpreter, samples, progress)
    progress(f"end to end, {peer.name}", 0, 0)
    try:
        return compare_whole(peer, subject, samples, version)
    except (ModelError, EngineError) as error:
        return None, (NotCompared(peer.name, mode, "", "", str(error)),)


def _isolated(
    peer: Peer,
    version: str,
    subject: Subject,
    interpreter: Interpreter,
    samples: Sequence[Known],
    progress: ProgressReporter,
) -> _Outcome:
    rows: list[LayerSteps] = []
    missing: list[NotCompared] = []
    for done, unit in enumerate(interpreter.units, 1):
        try:
            rows.append(compare_unit(peer, subject, unit, samples))
        except (ModelError, EngineError) as error:
            missing.append(NotCompared(peer.name, Mode.ISOLATED, unit.name, unit.op, str(error)))
        progress(f"isolated, {peer.name}", done, len(interpreter.units))
    if not rows:
        return None, tuple(missing)
    kernels = tuple(sorted({kernel for row in rows for kernel in row.kernels}))
    return Pair(peer.name, version, Mode.ISOLATED, tuple(rows), kernels), tuple(missing)


def _float_errors(loaded: Loaded, samples: Sequence[Known]) -> tuple[FloatError, ...]:
    if loaded.float_model is None:
        return ()
    return measure_float_errors(loaded.float_model, loaded.subject.model, loaded.samples, samples)
