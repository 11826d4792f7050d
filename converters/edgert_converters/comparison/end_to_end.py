"""The whole model: outputs and intermediate integers of an engine against the interpreter's, in graph order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgert.errors import ModelError
from edgert.plugins import EngineOptions
from edgert.quant import quantize
from edgert.verification import LayerSteps, Mode, NotCompared, Pair
from edgert_converters.comparison.cut import steps_between
from edgert_converters.comparison.peer import Known, Peer, Subject
from edgert_converters.engine import load_runner
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops.spec import Array
from edgert_converters.units import dequantizer_of, find_units, is_standard, static_params

__all__ = ["EndToEnd", "compare_end_to_end", "compare_whole", "count_steps", "quantized_layers"]

_NO_VALUE = "its integers are no value of their own there"


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """How far one model output lies from the interpreter's: in steps where it has them, and in real units."""

    output: str
    max_steps: int | None
    max_difference: float
    differing: int
    count: int


def quantized_layers(model: ir.Model) -> tuple[tuple[str, str, str], ...]:
    """Returns what makes each QuantizeLinear output, in graph order: value, layer, operator.

    The layer of a unit is the unit's; an input that is quantized carries its own name.
    """
    units = {node: unit for unit in find_units(model.graph) for node in unit.quantize}
    found = []
    for node in model.graph:
        source = node.inputs[0] if is_standard(node, "QuantizeLinear") else None
        if source is None or source.const_value is not None:
            continue
        maker, value = source.producer(), str(node.outputs[0].name)
        if node in units:
            found.append((value, units[node].name, units[node].op))
        elif maker is None:
            found.append((value, str(source.name), "QuantizeLinear"))
        else:
            found.append((value, maker.name or str(source.name), maker.op_type))
    return tuple(found)


def compare_whole(
    peer: Peer, subject: Subject, samples: Sequence[Known], version: str
) -> tuple[Pair, tuple[NotCompared, ...]]:
    """Compares the whole model over all samples; says at which layers the peer shows no integers.

    Raises:
        ModelError: the model has no form that the peer's engine reads, or nothing of it can be compared; says why.
        EngineError: the engine is missing or failed.
    """
    layers = quantized_layers(subject.model)
    ran = peer.run_whole(subject, samples, [value for value, _, _ in layers])
    found = _with_integers(subject.model, ran.values)
    inputs = {value.name for value in subject.model.graph.inputs}
    rows, missing = [], []
    for value, layer, op in layers:
        if value not in found[0]:
            if layer in inputs:
                continue  # fed as integers
            missing.append(NotCompared(peer.name, Mode.END_TO_END, layer, op, _NO_VALUE))
            continue
        rows.append(
            count_steps(layer, op, [(one[value], known[value]) for one, known in zip(found, samples, strict=True)])
        )
    if not rows:
        raise ModelError(f"{peer.name} shows no integers of this model; {'; '.join(ran.notes) or 'nothing to compare'}")
    pair = Pair(peer.name, version, Mode.END_TO_END, tuple(rows), ran.kernels, ran.same_kernels, ran.notes)
    return pair, tuple(missing)


def compare_end_to_end(
    model: ir.Model, inputs: Mapping[str, Array], engine_options: EngineOptions | None = None
) -> tuple[EndToEnd, ...]:
    """Compares the outputs of the whole model in ONNX Runtime with the interpreter's.

    Outputs that come from DequantizeLinear are compared in quantization steps.

    Raises:
        EngineError: ONNX Runtime is missing or failed.
        ModelError: the interpreter cannot execute the model, or ONNX Runtime cannot load it.
    """
    expected = Interpreter(model).run(inputs).outputs
    run = load_runner(ir.to_proto(model).SerializeToString(), "end to end", engine_options or EngineOptions(threads=1))
    found = run(inputs)
    return tuple(_compare_output(value, expected, found) for value in model.graph.outputs)


def _with_integers(model: ir.Model, values: Sequence[Known]) -> list[dict[str, Array]]:
    """Adds the integers of outputs that were given as real numbers behind a DequantizeLinear."""
    found = [dict(one) for one in values]
    for value in model.graph.outputs:
        node = dequantizer_of(value)
        source = node.inputs[0] if node is not None else None
        for one in found:
            if node is not None and source is not None and str(source.name) not in one and str(value.name) in one:
                real = one[str(value.name)]
                one[str(source.name)] = quantize(real, static_params(node, real.ndim))
    return found


def count_steps(layer: str, op: str, pairs: Sequence[tuple[Array, Array]]) -> LayerSteps:
    """Returns how far the first of each pair of integer tensors lies from the second, over all pairs.

    Raises:
        ModelError: a pair has different shapes or types; names the layer.
    """
    worst = differing = count = 0
    for found, expected in pairs:
        if found.shape != expected.shape or found.dtype != expected.dtype:
            theirs, ours = (f"{array.dtype}{list(array.shape)}" for array in (found, expected))
            raise ModelError(
                f"the engine gives {theirs}, the interpreter {ours}; the file contradicts itself", node=layer
            )
        steps, different = steps_between(found, expected)
        worst, differing, count = max(worst, steps), differing + different, count + expected.size
    return LayerSteps(layer, op, worst, differing, count)


def _compare_output(value: ir.Value, expected: Mapping[str, Array], found: Mapping[str, Array]) -> EndToEnd:
    name = str(value.name)
    ours, theirs = expected[name], found[name]
    gap = float(np.max(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)), initial=0.0))
    node = dequantizer_of(value)
    if node is None:
        return EndToEnd(name, None, gap, int(np.count_nonzero(ours != theirs)), ours.size)
    params = static_params(node, ours.ndim)
    steps, differing = steps_between(quantize(theirs, params), quantize(ours, params))
    return EndToEnd(name, steps, gap, differing, ours.size)
