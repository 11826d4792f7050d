"""Layer by layer: each integer unit alone, fed the interpreter's own integers.

A unit is cut out of the graph as DequantizeLinear, operator, QuantizeLinear with integers at both ends (in TFLite: one
integer operator), so an earlier difference cannot hide or make a later one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx_ir as ir

from edgert.plugins import EngineOptions
from edgert.verification import LayerSteps
from edgert_converters.comparison.end_to_end import count_steps
from edgert_converters.comparison.onnxruntime_peer import OnnxRuntimePeer
from edgert_converters.comparison.peer import Known, Peer, Subject
from edgert_converters.comparison.tflite_form import ExportedForm
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops.spec import Array
from edgert_converters.units import IntegerUnit

__all__ = ["compare_isolated", "compare_unit", "known_values"]


def known_values(interpreter: Interpreter, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Returns the inputs of one sample and every QuantizeLinear output that the interpreter gives for it, by name."""
    kept = interpreter.run(inputs, keep_quantized=True).quantized
    return {**inputs, **{name: tensor.values for name, tensor in kept.items()}}


def compare_unit(peer: Peer, subject: Subject, unit: IntegerUnit, samples: Sequence[Known]) -> LayerSteps:
    """Compares one unit alone, over all samples.

    Raises:
        ModelError: the unit has no form that the peer's engine reads; says why.
        EngineError: the engine is missing or failed.
    """
    ran = peer.run_unit(subject, unit, samples)
    names = [str(node.outputs[0].name) for node in unit.quantize]
    pairs = [(found[n], known[n]) for found, known in zip(ran.values, samples, strict=True) for n in names]
    return replace(count_steps(unit.name, unit.op, pairs), kernels=ran.kernels)


def compare_isolated(
    model: ir.Model,
    inputs: Mapping[str, Array],
    engine_options: EngineOptions | None = None,
    *,
    layers: Sequence[str] | None = None,
) -> tuple[LayerSteps, ...]:
    """Compares ONNX Runtime with the interpreter at every integer unit of a QDQ model.

    Args:
        model: the QDQ model; it is not changed.
        inputs: one batch of real inputs by name.
        engine_options: threads and options of the ONNX Runtime engine (default: one thread, default optimisations).
        layers: only these units, by name.

    Raises:
        EngineError: ONNX Runtime is missing or failed.
        ModelError: the interpreter cannot execute the model, or ONNX Runtime cannot load a unit.
    """
    interpreter = Interpreter(model)
    known = known_values(interpreter, inputs)
    peer, subject = OnnxRuntimePeer(engine_options, integer_ends=True), Subject(model, ExportedForm(model))
    wanted = [unit for unit in interpreter.units if layers is None or unit.name in layers]
    return tuple(compare_unit(peer, subject, unit, [known]) for unit in wanted)
