"""Rules that several operators share: no arithmetic, moved values, tables, element-wise float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams, dequantize, quantize
from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.spec import Array, IntegerRule, Node, QTensor, ReferenceRule

__all__ = [
    "Float64Function",
    "build_table",
    "count_outputs",
    "double_precision_rule",
    "elementwise_float32",
    "move_integers",
    "no_macs",
    "real_values",
    "rescale",
    "round_to_steps",
    "table_rule",
    "table_rule_float32",
    "unary_reference",
]

Float64 = NDArray[np.float64]
Float64Function = Callable[[Node, Float64], Float64]


def no_macs(node: Node) -> int:
    """Returns 0: the operator moves, compares or looks up values."""
    return 0


def count_outputs(node: Node) -> int:
    """Returns one multiply-accumulate per output element."""
    return int(np.prod(node.output_shapes[0], dtype=np.int64))


def rescale(values: QTensor, params: QuantParams) -> QTensor:
    """Returns the same real values under other parameters: quantize(dequantize(q)), in float32."""
    if values.params == params:
        return values
    return QTensor(quantize(dequantize(values.values, values.params), params), params)


def move_integers(reference: ReferenceRule) -> IntegerRule:
    """Returns the integer rule of an operator that only moves or selects values of its first input.

    Outputs take the first input's parameters; where the model asks for others the result is rescaled.
    """

    def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
        x = require_input(node, inputs, 0)
        plain = [x.values, *(v.values if isinstance(v, QTensor) else v for v in inputs[1:])]
        moved = reference(node, plain)
        return [rescale(QTensor(v, x.params), p) for v, p in zip(moved, outputs, strict=True)]

    return integer


def elementwise_float32(reference: ReferenceRule) -> IntegerRule:
    """Returns the integer rule of a piecewise linear operator: dequantize, compute in float32, quantize.

    Each step is one correctly rounded float32 operation, so every engine that keeps the order gives the same integers.
    """

    def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
        real = [dequantize(v.values, v.params) if isinstance(v, QTensor) else v for v in inputs]
        return [QTensor(quantize(y, p), p) for y, p in zip(reference(node, real), outputs, strict=True)]

    return integer


def unary_reference(function: Float64Function) -> ReferenceRule:
    """Returns the float reference of y = function(x), evaluated in double precision and rounded to x's type."""

    def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = require_input(node, inputs, 0)
        return [function(node, x.astype(np.float64)).astype(x.dtype)]

    return reference


def table_rule(function: Float64Function) -> IntegerRule:
    """Returns the integer rule of a unary function: a 256-entry table filled in double precision.

    table[q] = clamp(rint(function(s_x * (q - zp_x)) / s_y) + zp_y); entries that are not finite take the nearest limit.
    """

    def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
        x = require_input(node, inputs, 0)
        table = build_table(node, function, x.params, outputs[0])
        index = x.values.astype(np.int64) - x.params.dtype.integer_range[0]
        return [QTensor(table[index], outputs[0])]

    return integer


def table_rule_float32(function: Float64Function) -> IntegerRule:
    """Returns the rule of TensorFlow Lite's tables: filled in float32, halves rounded away from zero.

    table[q] = clamp(round(f32(f32(function(s_x * (q - zp_x))) * f32(1 / s_y))) + zp_y); entries that are not finite
    take the nearest limit.
    """

    def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
        x, params = require_input(node, inputs, 0), outputs[0]
        low, high = x.params.dtype.integer_range
        steps = np.arange(low, high + 1, dtype=np.float32) - np.float32(x.params.zero_point[0])
        real = np.float32(x.params.scale[0]) * steps
        smallest, largest = params.dtype.integer_range
        with np.errstate(all="ignore"):
            value = function(node, real.astype(np.float64)).astype(np.float32)
            scaled = value * (np.float32(1) / np.float32(params.scale[0]))
            rounded = np.trunc(scaled + np.copysign(np.float64(0.5), scaled)) + params.zero_point[0]
        table = np.clip(np.nan_to_num(rounded, nan=smallest), smallest, largest).astype(params.dtype.numpy)
        return [QTensor(table[x.values.astype(np.int64) - low], params)]

    return integer


def real_values(x: QTensor) -> Float64:
    """Returns s_x * (q - zp_x) in double precision, with the scale as float32 holds it."""
    return float(np.float32(x.params.scale[0])) * (x.values.astype(np.float64) - x.params.zero_point[0])


def round_to_steps(value: Float64, params: QuantParams) -> Array:
    """Returns clamp(rint(value / s_y) + zp_y) in `params.dtype`; NaN becomes the smallest integer."""
    low, high = params.dtype.integer_range
    steps = np.rint(value / float(np.float32(params.scale[0]))) + params.zero_point[0]
    result: Array = np.clip(np.nan_to_num(steps, nan=low), low, high).astype(params.dtype.numpy)
    return result


def double_precision_rule(function: Float64Function) -> IntegerRule:
    """Returns the integer rule of a function of a whole tensor: real values, the function, integers of the output."""

    def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
        x = require_input(node, inputs, 0)
        return [QTensor(round_to_steps(function(node, real_values(x)), outputs[0]), outputs[0])]

    return integer


def build_table(node: Node, function: Float64Function, x: QuantParams, y: QuantParams) -> Array:
    """Returns y's integers for every integer of x in ascending order, filled in double precision."""
    low, high = x.dtype.integer_range
    real = float(np.float32(x.scale[0])) * (np.arange(low, high + 1, dtype=np.float64) - x.zero_point[0])
    with np.errstate(all="ignore"):
        value = function(node, real)
    return round_to_steps(value, y)
