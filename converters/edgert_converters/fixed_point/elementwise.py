"""Add, Sub, Mul, Div, Max, Min, Relu, Clip, Sqrt and functions by table: integer rules, one element at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from edgert_converters.fixed_point.arithmetic import bit_length, rescale, to_format
from edgert_converters.fixed_point.formats import FixedTensor, Format, Ints
from edgert_converters.fixed_point.step import Kernel, Step, Value, fixed_input
from edgert_converters.fixed_point.tables import Lookup, inverse_root, look_up, reciprocal

__all__ = [
    "add_aligned",
    "run_add",
    "run_clip",
    "run_div",
    "run_maximum",
    "run_minimum",
    "run_mul",
    "run_relu",
    "run_sqrt",
    "run_sub",
    "run_table",
]

_SUM_BITS = 30
"""Two addends of 30 bits each give a sum that fits int32."""


def add_aligned(a: Ints, a_exponents: Ints, b: Ints, b_exponents: Ints, width: int) -> tuple[Ints, Ints]:
    """Returns a + b and the exponents of the sum; `width` is the widest operand in bits.

    The common exponent is the smaller of the two, but so that nothing is shifted beyond 30 bits: then the operand with
    the smaller exponent is rounded half to even.
    """
    low, high = np.minimum(a_exponents, b_exponents), np.maximum(a_exponents, b_exponents)
    common = np.maximum(low, high - (_SUM_BITS - width))
    return rescale(a, a_exponents, common, 31) + rescale(b, b_exponents, common, 31), common


def _sum(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format], sign: int) -> list[FixedTensor]:
    """Sums at the smallest exponent of all inputs, or higher where an int32 sum would not hold the largest."""
    tensors = [fixed_input(step, inputs, i) for i in range(len(inputs))]
    exponents = [t.exponents.astype(np.int64) for t in tensors]
    spare = _SUM_BITS - 15 - int(bit_length(np.asarray(len(tensors) - 1)))
    low, high = functools.reduce(np.minimum, exponents), functools.reduce(np.maximum, exponents)
    common = np.maximum(low, high - spare)
    total: Ints = rescale(tensors[0].values, exponents[0], common, 31)
    for tensor, source in zip(tensors[1:], exponents[1:], strict=True):
        total = total + sign * rescale(tensor.values, source, common, 31)
    return [to_format(total, common, formats[0])]


def run_add(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns the sum of all inputs at a common exponent, in int32."""
    return _sum(step, inputs, formats, 1)


def run_sub(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns a - b at a common exponent."""
    return _sum(step, inputs, formats, -1)


def run_mul(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns a * b: products of 16-bit mantissas fit int32, exponents add."""
    a, b = fixed_input(step, inputs, 0), fixed_input(step, inputs, 1)
    product = a.values.astype(np.int32) * b.values.astype(np.int32)
    return [to_format(product, a.exponents + b.exponents, formats[0])]


def run_div(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns a / b as a times the reciprocal of |b| by table (64-bit product); b = 0 counts as one step."""
    a, b = fixed_input(step, inputs, 0), fixed_input(step, inputs, 1)
    divisor = b.values.astype(np.int64)
    inverse, exponents = reciprocal(np.maximum(np.abs(divisor), 1))
    quotient = a.values.astype(np.int64) * np.where(divisor < 0, -inverse, inverse)
    return [to_format(quotient, a.exponents - b.exponents.astype(np.int64) + exponents, formats[0])]


def run_sqrt(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns x / sqrt(x) by the table of inverse roots (64-bit product); a negative x counts as 0."""
    x = fixed_input(step, inputs, 0)
    odd = x.exponents.astype(np.int64) % 2
    values = np.maximum(x.values, 0).astype(np.int64) << odd
    inverse, exponents = inverse_root(np.maximum(values, 1))
    return [to_format(values * inverse, exponents + (x.exponents - odd) // 2, formats[0])]


def run_relu(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns max(x, 0) in the output's format."""
    x = fixed_input(step, inputs, 0)
    return [to_format(np.maximum(x.values, 0), x.exponents, formats[0])]


def run_clip(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns x in the output's format, limited by the limits rounded to that format."""
    x, form = fixed_input(step, inputs, 0), formats[0]
    exponents = form.expand(x.values.shape)
    result = rescale(x.values, x.exponents, exponents, form.bits)
    for index, limit in ((1, np.maximum), (2, np.minimum)):
        if index < len(inputs) and inputs[index] is not None:
            bound = fixed_input(step, inputs, index)
            scalar = bound.values.reshape(()), bound.exponents.reshape(())
            result = limit(result, rescale(scalar[0], scalar[1], exponents, form.bits))
    return [form.store(result)]


def _extreme(select: Callable[[Ints, Ints], Ints]) -> Kernel:
    def run(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
        tensors = [fixed_input(step, inputs, i) for i in range(len(inputs))]
        form = formats[0]
        exponents = form.expand(np.broadcast_shapes(*(t.values.shape for t in tensors)))
        result = rescale(tensors[0].values, tensors[0].exponents, exponents, form.bits)
        for other in tensors[1:]:
            result = select(result, rescale(other.values, other.exponents, exponents, form.bits))
        return [form.store(result)]

    return run


run_maximum: Kernel = _extreme(np.maximum)
run_minimum: Kernel = _extreme(np.minimum)


def run_table(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns a function of x by the step's look-up table."""
    x, data = fixed_input(step, inputs, 0), step.data
    index_bits = int(bit_length(np.asarray(data["rows"].shape[1] - 1))) - 1
    lookup = Lookup(data["rows"], data["row_exponents"], int(data["exponent"][0]), index_bits, x.format.bits)
    return [to_format(look_up(lookup, x.values, x.exponents), lookup.exponent, formats[0])]
