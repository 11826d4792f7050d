"""How far the interpreter lies from the float model, layer by layer: float has no steps, so in dB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from edgert.quant import dequantize
from edgert.verification import FloatError
from edgert_converters.comparison.end_to_end import quantized_layers
from edgert_converters.comparison.peer import Known
from edgert_converters.engine import load_runner
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import expose_values
from edgert_converters.sqnr import OutputErrorMeter
from edgert_converters.units import is_standard, static_params

__all__ = ["measure_float_errors"]

_SUFFIX = "__q"


def measure_float_errors(
    float_model: ir.Model, model: ir.Model, inputs: Sequence[Mapping[str, Array]], samples: Sequence[Known]
) -> tuple[FloatError, ...]:
    """Returns the SQNR of every quantized value that the float model also has, in graph order.

    Args:
        float_model: the reference.
        model: the QDQ graph made from it; its integers of the value NAME are called NAME__q.
        inputs: what is fed, by name.
        samples: the interpreter's integers for each of them.

    Raises:
        EngineError: ONNX Runtime is missing or failed.
    """
    params = {
        str(node.outputs[0].name): static_params(node) for node in model.graph if is_standard(node, "QuantizeLinear")
    }
    made = {str(value.name) for node in float_model.graph for value in node.outputs if value.name}
    rows = [row for row in quantized_layers(model) if row[0].removesuffix(_SUFFIX) in made]
    if not rows:
        return ()
    names = [value.removesuffix(_SUFFIX) for value, _, _ in rows]
    run = load_runner(expose_values(float_model, names))
    meters = {name: OutputErrorMeter(name) for name in names}
    for given, known in zip(inputs, samples, strict=True):
        expected = run(given)
        for (value, _, _), name in zip(rows, names, strict=True):
            meters[name].add(expected[name], dequantize(known[value], params[value]))
    return tuple(
        FloatError(layer, op, meters[name].result().sqnr_db_mean)
        for (_, layer, op), name in zip(rows, names, strict=True)
    )
