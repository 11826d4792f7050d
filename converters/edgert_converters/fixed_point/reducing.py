"""Means, sums, softmax and normalization: integer rules that look at a whole axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.errors import ModelError
from edgert_converters.fixed_point.arithmetic import align_over, bit_length, divide_even, rescale, to_format
from edgert_converters.fixed_point.elementwise import add_aligned
from edgert_converters.fixed_point.formats import FixedTensor, Format, Ints
from edgert_converters.fixed_point.step import Step, Value, bind, fixed_input, plain_input
from edgert_converters.fixed_point.tables import exp_negative, inverse_root, reciprocal
from edgert_converters.ops.attributes import get_int, get_ints, normalise_axis
from edgert_converters.ops.reduce import reduced_axes
from edgert_converters.ops.windows import count_taken, pad_spatial, resolve_windows, view_windows

__all__ = ["run_average_pool", "run_global_average_pool", "run_layer_normalization", "run_reduce", "run_softmax"]

_MEAN_BITS = 14
_STATISTICS_BITS = 21
"""Mantissas of a normalization before its sums: squares have 42 bits, so 2^20 of them fit int64."""

_MAX_NORMALISED, _MAX_SOFTMAX = 1 << 20, 1 << 15


def _sum_bits(count: int) -> int:
    """Width of each addend so that `count` of them fit int32."""
    return 31 - int(bit_length(np.asarray(count - 1 if count > 1 else 0)))


def _mean(total: Ints, exponents: Ints, counts: Ints, form: Format) -> FixedTensor:
    """Returns total / counts: times 2^(14 + c) / count rounded half to even, c the bit length of the largest count."""
    extra = _MEAN_BITS + int(bit_length(counts.max()))
    inverse = np.asarray([int(divide_even(np.asarray(1 << extra), int(n))) for n in counts.reshape(-1)], np.int64)
    return to_format(total * inverse.reshape(counts.shape), exponents - extra, form)


def run_reduce(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns ReduceMean, ReduceSum, ReduceMax or ReduceMin: sums in int32, aligned so that they cannot overflow."""
    x = fixed_input(step, inputs, 0)
    node = bind(step, [x.values])
    axes = reduced_axes(node, [None, plain_input(inputs, 1)], x.values.ndim)
    keep = get_int(node, "keepdims", 1) == 1
    count = int(np.prod([x.values.shape[a] for a in axes], dtype=np.int64))
    values, exponents = align_over(x, axes, _sum_bits(count))
    exponents = exponents if keep else exponents.squeeze(axes)
    if step.op in {"ReduceMax", "ReduceMin"}:
        reduction = np.max if step.op == "ReduceMax" else np.min
        return [to_format(np.asarray(reduction(values, axis=axes, keepdims=keep)), exponents, formats[0])]
    total = np.asarray(values.sum(axis=axes, keepdims=keep))
    if step.op == "ReduceSum":
        return [to_format(total, exponents, formats[0])]
    return [_mean(total, exponents, np.asarray(count, np.int64), formats[0])]


def run_global_average_pool(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns the mean over all spatial axes."""
    x = fixed_input(step, inputs, 0)
    axes = tuple(range(2, x.values.ndim))
    count = int(np.prod(x.values.shape[2:], dtype=np.int64))
    values, exponents = align_over(x, axes, _sum_bits(count))
    total = np.asarray(values.sum(axis=axes, keepdims=True))
    return [_mean(total, exponents, np.asarray(count, np.int64), formats[0])]


def run_average_pool(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns the mean of each window; the count of elements as for the float operator."""
    x = fixed_input(step, inputs, 0)
    node = bind(step, [x.values])
    windows = resolve_windows(node, x.values.shape[2:], get_ints(node, "kernel_shape", ()))
    counts = count_taken(node, x.values.shape[2:], windows)
    values, exponents = align_over(x, tuple(range(2, x.values.ndim)), _sum_bits(int(counts.max())))
    view = view_windows(pad_spatial(values, windows, 0), windows)
    total = np.asarray(view.sum(axis=tuple(range(-len(windows.kernel), 0))))
    return [_mean(total, exponents, counts, formats[0])]


def run_softmax(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns exp(x - max) / sum: exponentials in Q15 by table, an int32 sum, its reciprocal by table.

    Raises:
        ModelError: more than 32,768 elements are normalised together; their sum would not fit int32.
    """
    x = fixed_input(step, inputs, 0)
    axes = _softmax_axes(step, x.values.ndim)
    count = int(np.prod([x.values.shape[a] for a in axes], dtype=np.int64))
    if count > _MAX_SOFTMAX:
        raise ModelError(f"Softmax over {count} elements does not fit an int32 sum (32768 do)", node=step.name)
    values, exponents = align_over(x, axes, 30)
    power = exp_negative(values.max(axis=axes, keepdims=True) - values, exponents)
    inverse, scale = reciprocal(power.sum(axis=axes, keepdims=True))
    return [to_format(power * inverse, scale, formats[0])]


def _softmax_axes(step: Step, rank: int) -> tuple[int, ...]:
    node = bind(step, [])
    if step.opset >= 13:
        return (normalise_axis(get_int(node, "axis", -1), rank),)
    return tuple(range(normalise_axis(get_int(node, "axis", 1), rank), rank))


def run_layer_normalization(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns (x - mean) / sqrt(variance + epsilon) * scale + shift.

    x moves to 21 bits; sum, mean, centred squares and their mean are int64, mean and variance rounded half to even;
    the inverse root by table. The standardised value keeps 16 bits, enough for sqrt(n), the most it can be.

    Raises:
        ModelError: more than 2^20 elements are normalised together.
    """
    x, scale = fixed_input(step, inputs, 0), fixed_input(step, inputs, 1)
    axes = tuple(range(normalise_axis(get_int(bind(step, []), "axis", -1), x.values.ndim), x.values.ndim))
    count = int(np.prod([x.values.shape[a] for a in axes], dtype=np.int64))
    if count > _MAX_NORMALISED:
        raise ModelError(f"LayerNormalization over {count} elements does not fit 64-bit sums", node=step.name)
    values, exponents = align_over(x, axes, _STATISTICS_BITS)
    centred = values - divide_even(values.sum(axis=axes, keepdims=True), count)
    variance = divide_even((centred * centred).sum(axis=axes, keepdims=True), count)
    mantissa, power = (int(v) for v in step.data["epsilon"])
    epsilon = rescale(np.asarray(mantissa), power, 2 * exponents.astype(np.int64), 32)
    inverse, root = inverse_root(np.maximum(variance + epsilon, 1))
    standard_exponent = (int(bit_length(np.asarray(count))) + 1) // 2 - 15
    standard = rescale(centred * inverse, root, standard_exponent, 16)
    product = standard * scale.values
    total, common = product, scale.exponents.astype(np.int64) + standard_exponent
    if len(inputs) > 2 and inputs[2] is not None:
        shift = fixed_input(step, inputs, 2)
        narrow = rescale(product, common, common + 6, 26)
        total, common = add_aligned(narrow, common + 6, shift.values, shift.exponents, 26)
    return [to_format(total, common, formats[0])]
