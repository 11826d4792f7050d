"""Normalizations as TFLite operators on floats, and its L2_NORMALIZATION and LOCAL_RESPONSE_NORMALIZATION."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from edgert_converters.ops.attributes import get_float, get_int, get_ints, normalise_axis
from edgert_converters.ops.spec import Array, TfliteReader, TfliteWriter
from edgert_converters.tflite.formula import Formula
from edgert_converters.tflite.layout import Order, channels_first, channels_last, identity

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["NORMALIZATION_READERS", "NORMALIZATION_WRITERS"]

_L2_EPSILON: Final = 1e-6  # TFLite's smallest norm
_SMALLEST: Final = 1e-37  # keeps 0 / 0 at 0 and is lost in any other sum


def read_l2_normalization(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds x over its Euclidean norm along the last axis, which is at least 1e-6."""
    x = graph.read(operator.inputs[0])
    axis = graph.ints([x.order.index(len(x.order) - 1)])
    norm = graph.add("ReduceL2", [x.value, axis], {"keepdims": 1})
    floor = graph.initializer("epsilon", np.asarray(_L2_EPSILON, np.float32))
    graph.finish(operator, graph.add("Div", [x.value, graph.add("Max", [norm, floor])]), x.order)


def read_local_response_normalization(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds an LRN; ONNX divides alpha by the number of neighbours."""
    options = {name: float(operator.options[name]) for name in ("alpha", "beta", "bias")}  # type: ignore[arg-type]  # numbers by schema
    size = 2 * int(operator.options["radius"]) + 1  # type: ignore[arg-type]  # a number by schema
    x = graph.channels_first(operator.inputs[0])
    y = graph.add("LRN", [x], {**options, "alpha": options["alpha"] * size, "size": size})
    graph.finish(operator, y, channels_first(4), activation="NONE")


def write_lrn(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a LOCAL_RESPONSE_NORMALIZATION, which takes as many neighbours before as behind."""
    spec = graph.describe(node)
    size, rank = get_int(spec, "size", 1), len(graph.shape(node.inputs[0]))
    if size % 2 == 0 or rank != 4:
        raise graph.unsupported(node, f"it needs an odd size and 4 axes, found size {size} and {rank} axes")
    formula = Formula(node, graph)
    y = formula.apply(
        "LOCAL_RESPONSE_NORMALIZATION",
        graph.channels_last(node),
        radius=size // 2,
        alpha=get_float(spec, "alpha", 1e-4) / size,
        beta=get_float(spec, "beta", 0.75),
        bias=get_float(spec, "bias", 1.0),
    )
    formula.finish(y, channels_last(4))


def write_batch_normalization(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a MUL and an ADD; clean-up has folded those behind a convolution."""
    formula = Formula(node, graph)
    spec = formula.spec
    if any(index not in spec.constants for index in range(1, 5)):
        raise graph.unsupported(node, "its parameters are computed; a file needs constant ones")
    if get_int(spec, "training_mode", 0):
        raise graph.unsupported(node, "it is in training mode")
    scale, shift, mean, variance = (spec.constants[i].astype(np.float64) for i in range(1, 5))
    factor = scale / np.sqrt(variance + get_float(spec, "epsilon", 1e-5))
    x = graph.read(node, 0)
    y = _scaled(formula, x.index, x.order, factor, shift - mean * factor)
    formula.finish(y, x.order)


def write_instance_normalization(node: ir.Node, graph: ExportGraph) -> None:
    """Writes the standardised channels of each sample, scaled and shifted."""
    formula = Formula(node, graph)
    spec = formula.spec
    scale, shift = _per_channel(node, graph)
    x = graph.read(node, 0)
    axes = [x.order.index(axis) for axis in range(2, len(x.order))]
    plain = _standardised(formula, x.index, sorted(axes), get_float(spec, "epsilon", 1e-5))
    formula.finish(_scaled(formula, plain, x.order, scale, shift), x.order)


def write_group_normalization(node: ir.Node, graph: ExportGraph) -> None:
    """Writes standardised groups of channels, scaled and shifted per group or per channel."""
    formula = Formula(node, graph)
    spec = formula.spec
    shape = graph.shape(node.inputs[0])
    factors = [np.repeat(values, shape[1] // values.size) for values in _per_channel(node, graph)]
    groups = get_int(spec, "num_groups", 1)
    grouped = formula.reshaped(graph.plain(node, 0), (shape[0], groups, int(np.prod(shape[1:])) // groups))
    plain = formula.reshaped(_standardised(formula, grouped, [2], get_float(spec, "epsilon", 1e-5)), shape)
    formula.finish(_scaled(formula, plain, identity(len(shape)), *factors))


def write_layer_normalization(node: ir.Node, graph: ExportGraph) -> None:
    """Writes the standardised last axes, scaled and shifted; and, where used, mean and 1 / deviation."""
    formula = Formula(node, graph)
    spec = formula.spec
    rank = len(graph.shape(node.inputs[0]))
    axes = list(range(normalise_axis(get_int(spec, "axis", -1), rank), rank))
    x = graph.plain(node, 0)
    mean, centred, inverse = _statistics(formula, x, axes, get_float(spec, "epsilon", 1e-5))
    y = formula.apply("MUL", formula.apply("MUL", centred, inverse), graph.plain(node, 1))
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        y = formula.apply("ADD", y, graph.plain(node, 2))
    for output, result in enumerate((y, mean, inverse)[: len(node.outputs)]):
        if node.outputs[output].name:
            formula.finish(result, output=output)


def write_lp_normalization(node: ir.Node, graph: ExportGraph) -> None:
    """Writes x over its L1 or L2 norm; 0 stays 0."""
    formula = Formula(node, graph)
    x = graph.read(node, 0)
    axis = x.order.index(normalise_axis(get_int(formula.spec, "axis", -1), len(x.order)))
    if get_int(formula.spec, "p", 2) == 1:
        norm = formula.reduced("SUM", formula.apply("ABS", x.index), [axis])
        norm = formula.apply("MAXIMUM", norm, formula.number(_SMALLEST, norm))
    else:
        total = formula.reduced("SUM", formula.apply("MUL", x.index, x.index), [axis])
        norm = formula.apply("SQRT", formula.apply("MAXIMUM", total, formula.number(_SMALLEST, total)))
    formula.finish(formula.apply("DIV", x.index, norm), x.order)


def write_mean_variance_normalization(node: ir.Node, graph: ExportGraph) -> None:
    """Writes (x - mean) / (deviation + 1e-9)."""
    formula = Formula(node, graph)
    x = graph.read(node, 0)
    axes = sorted(x.order.index(normalise_axis(a, len(x.order))) for a in get_ints(formula.spec, "axes", (0, 2, 3)))
    mean = formula.reduced("MEAN", x.index, axes)
    centred = formula.apply("SUB", x.index, mean)
    variance = formula.reduced("MEAN", formula.apply("MUL", centred, centred), axes)
    deviation = formula.apply("ADD", formula.apply("SQRT", variance), formula.number(1e-9, variance))
    formula.finish(formula.apply("DIV", centred, deviation), x.order)


def _per_channel(node: ir.Node, graph: ExportGraph) -> tuple[Array, Array]:
    scale, shift = graph.constant(node.inputs[1]), graph.constant(node.inputs[2])
    if scale is None or shift is None:
        raise graph.unsupported(node, "its scale or shift is computed; a file needs constant ones")
    return scale, shift


def _scaled(formula: Formula, x: int, order: Order, factor: Array, summand: Array) -> int:
    """Adds x * factor + summand, one number each per channel (ONNX's axis 1)."""
    shape = [1] * len(order)
    shape[order.index(1)] = -1
    one, two = (formula.numbers(values.astype(np.float32).reshape(shape)) for values in (factor, summand))
    return formula.apply("ADD", formula.apply("MUL", x, one), two)


def _standardised(formula: Formula, x: int, axes: Sequence[int], epsilon: float) -> int:
    _, centred, inverse = _statistics(formula, x, axes, epsilon)
    return formula.apply("MUL", centred, inverse)


def _statistics(formula: Formula, x: int, axes: Sequence[int], epsilon: float) -> tuple[int, int, int]:
    """Adds the mean, x - mean, and 1 / sqrt(variance + epsilon)."""
    mean = formula.reduced("MEAN", x, axes)
    centred = formula.apply("SUB", x, mean)
    variance = formula.reduced("MEAN", formula.apply("MUL", centred, centred), axes)
    inverse = formula.apply("RSQRT", formula.apply("ADD", variance, formula.number(epsilon, variance)))
    return mean, centred, inverse


NORMALIZATION_READERS: Final[Mapping[str, Mapping[str, TfliteReader]]] = {
    "LRN": {"LOCAL_RESPONSE_NORMALIZATION": read_local_response_normalization},
    "LpNormalization": {"L2_NORMALIZATION": read_l2_normalization},
}
"""By ONNX operator."""

NORMALIZATION_WRITERS: Final[Mapping[str, TfliteWriter]] = {
    "BatchNormalization": write_batch_normalization,
    "GroupNormalization": write_group_normalization,
    "InstanceNormalization": write_instance_normalization,
    "LRN": write_lrn,
    "LayerNormalization": write_layer_normalization,
    "LpNormalization": write_lp_normalization,
    "MeanVarianceNormalization": write_mean_variance_normalization,
}
"""By ONNX operator."""
