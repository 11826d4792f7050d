"""ONNX Runtime against the integer interpreter: layer by layer (`isolated`) and as a whole (`end_to_end`).

Isolated means: each integer unit is cut out of the graph as DequantizeLinear, operator, QuantizeLinear with integers at
both ends, and fed the interpreter's own integers, so an earlier difference cannot hide or make a later one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgert.bundle import Variant
from edgert.plugins import EngineOptions
from edgert.quant import quantize
from edgert.runtime.engines.onnxruntime import OnnxRuntimeEngine
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops.spec import Array, QTensor
from edgert_converters.units import IntegerUnit, dequantizer_of, static_params

__all__ = ["EndToEnd", "LayerSteps", "compare_end_to_end", "compare_isolated", "cut_unit", "steps_between"]

_QDQ = {"QuantizeLinear", "DequantizeLinear"}
_INTERNAL_IR_VERSION = 10


@dataclass(frozen=True, slots=True)
class LayerSteps:
    """How far one layer's integers lie from the interpreter's.

    `max_steps` is the largest difference in quantization steps, `differing` of `count` values differ. `kernels` are the
    operators ONNX Runtime really executed: an integer kernel (QLinearConv), or DequantizeLinear, Conv, QuantizeLinear
    where it did not fuse.
    """

    layer: str
    op: str
    max_steps: int
    differing: int
    count: int
    kernels: tuple[str, ...] = ()

    @property
    def is_fused(self) -> bool:
        """True when an integer kernel ran: no conversion to float and back."""
        return bool(self.kernels) and not _QDQ & set(self.kernels)


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """How far one model output lies from the interpreter's: in steps where it has them, and in real units."""

    output: str
    max_steps: int | None
    max_difference: float
    differing: int
    count: int


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
    kept = interpreter.run(inputs, keep_quantized=True).quantized
    options = engine_options or EngineOptions(threads=1)
    profiled = EngineOptions(options.threads, dict(options.options), profile_layers=True)
    wanted = [unit for unit in interpreter.units if layers is None or unit.name in layers]
    return tuple(_compare_unit(model, unit, kept, inputs, profiled) for unit in wanted)


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
    found, _ = _run_onnxruntime(model, inputs, engine_options or EngineOptions(threads=1))
    return tuple(_compare_output(value, expected, found) for value in model.graph.outputs)


def cut_unit(model: ir.Model, unit: IntegerUnit, kept: Mapping[str, QTensor | Array]) -> ir.Model:
    """Returns a model of one unit: graph inputs and outputs are its integers, with the shapes they have in `kept`."""
    names = _activation_names(unit)
    graph = ir.convenience.extract(model.graph, names, [str(node.outputs[0].name) for node in unit.quantize])
    for value in graph.inputs:
        array = _values(kept[str(value.name)])
        value.dtype = ir.DataType.from_numpy(array.dtype)
        value.shape = ir.Shape(array.shape)
    for value in graph.outputs:
        value.dtype = ir.DataType.from_numpy(_values(kept[str(value.name)]).dtype)
        value.shape = None
    graph.name = unit.name
    return ir.Model(graph, ir_version=model.ir_version or _INTERNAL_IR_VERSION)


def steps_between(found: Array, expected: Array) -> tuple[int, int]:
    """Returns the largest difference of two integer tensors of one shape and how many values differ.

    Raises:
        ValueError: the shapes or types differ.
    """
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise ValueError(f"{found.dtype}{found.shape} cannot be compared with {expected.dtype}{expected.shape}")
    gap = np.abs(found.astype(np.int64) - expected.astype(np.int64))
    return int(gap.max(initial=0)), int(np.count_nonzero(gap))


def _compare_unit(
    model: ir.Model,
    unit: IntegerUnit,
    kept: Mapping[str, QTensor],
    inputs: Mapping[str, Array],
    options: EngineOptions,
) -> LayerSteps:
    known: dict[str, QTensor | Array] = {**inputs, **kept}
    cut = cut_unit(model, unit, known)
    feeds = {str(value.name): _values(known[str(value.name)]) for value in cut.graph.inputs}
    found, kernels = _run_onnxruntime(cut, feeds, options)
    worst = differing = count = 0
    for name, values in found.items():
        steps, different = steps_between(values, kept[name].values)
        worst, differing, count = max(worst, steps), differing + different, count + values.size
    return LayerSteps(unit.name, unit.op, worst, differing, count, kernels)


def _activation_names(unit: IntegerUnit) -> list[str]:
    """Returns the names of the integer values, in order and once each, that a unit reads and that are no constants."""
    names: dict[str, None] = {}
    for value in unit.node.inputs:
        node = dequantizer_of(value) if value is not None else None
        source = node.inputs[0] if node is not None else value
        if source is not None and source.const_value is None:
            names[str(source.name)] = None
    return list(names)


def _run_onnxruntime(
    model: ir.Model, inputs: Mapping[str, Array], options: EngineOptions
) -> tuple[dict[str, Array], tuple[str, ...]]:
    data = ir.to_proto(model).SerializeToString()
    variant = Variant("isolated", "onnx", "int8", "", (), (), (), 0)
    executor = OnnxRuntimeEngine().load(data, variant, options)
    try:
        results = executor.run([np.asarray(inputs[spec.name]) for spec in executor.inputs])
        names = [spec.name for spec in executor.outputs]
        kernels = tuple(layer.op for layer in executor.layer_times()) if options.profile_layers else ()
        return dict(zip(names, results, strict=True)), kernels
    finally:
        executor.close()


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


def _values(value: QTensor | Array) -> Array:
    return value.values if isinstance(value, QTensor) else np.asarray(value)
