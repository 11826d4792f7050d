"""Conv, Gemm and MatMul: integer rules, and what is known about them before they run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.fixed_point.arithmetic import to_format
from edgert_converters.fixed_point.dot import (
    Operands,
    accumulate,
    accumulator_exponents,
    chain_exponents,
    cut_chains,
    exponent_runs,
)
from edgert_converters.fixed_point.formats import FixedTensor, Format, Ints
from edgert_converters.fixed_point.step import Step, Value, bind, fixed_input
from edgert_converters.ops.attributes import get_int
from edgert_converters.ops.spec import Node
from edgert_converters.ops.windows import pad_spatial, resolve_windows, view_windows

__all__ = ["conv_exponents", "conv_weights", "run_conv", "run_gemm", "run_matmul"]


def run_conv(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns the convolution of x [N, C, spatial...]: one matrix product per group and sample."""
    x, w = fixed_input(step, inputs, 0), fixed_input(step, inputs, 1)
    node = bind(step, [x.values, w.values])
    groups = get_int(node, "group", 1)
    left = conv_weights(w.values, groups)
    windows = resolve_windows(node, x.values.shape[2:], w.values.shape[2:])
    view = view_windows(pad_spatial(x.values, windows, 0), windows)
    left_exponents, right_exponents = conv_exponents(x.format, w, groups)
    outputs = []
    for sample in view:
        operands = Operands(left, _columns(sample, groups, len(windows.kernel)), left_exponents, right_exponents)
        outputs.append(_weighted(step, operands).reshape(w.values.shape[0], *windows.output))
    spatial = (1,) * len(windows.kernel)
    exponents = step.data["accumulator"].reshape(-1, *spatial)[None]
    return [to_format(np.stack(outputs), exponents, formats[0])]


def _columns(view: Ints, groups: int, rank: int) -> Ints:
    """Unfolds one sample's windows [C, output..., kernel...] to [groups, C / groups * taps, pixels]."""
    spatial, taps = range(1, 1 + rank), range(1 + rank, 1 + 2 * rank)
    length = view.shape[0] // groups * int(np.prod(view.shape[1 + rank :], dtype=np.int64))
    return view.transpose(0, *taps, *spatial).reshape(groups, length, -1)


def conv_weights(values: Ints, groups: int) -> Ints:
    """Returns weights [O, C / groups, kernel...] as [groups, O / groups, C / groups * taps]."""
    return values.reshape(groups, values.shape[0] // groups, -1)


def conv_exponents(form: Format, w: FixedTensor, groups: int) -> tuple[Ints, Ints]:
    """Returns the exponents of `conv_weights` and of the unfolded input, which broadcast as `Operands` needs them.

    The input's blocks lie along its channels only (axis 1).
    """
    shape = w.values.shape
    taps = int(np.prod(shape[2:], dtype=np.int64))
    channels = form.expand((1, shape[1] * groups, *(1,) * len(shape[2:]))).reshape(-1)
    right = channels.reshape(1, 1, 1) if channels.size == 1 else _spread(channels, groups, taps)
    exponents = w.exponents
    if exponents.size == 1:
        return exponents.reshape(1, 1, 1), right
    left = np.broadcast_to(exponents, shape).reshape(groups, shape[0] // groups, -1)
    return left, right


def _spread(channels: Ints, groups: int, taps: int) -> Ints:
    return np.repeat(channels.reshape(groups, -1), taps, axis=1)[..., None]


def _weighted(step: Step, operands: Operands) -> Ints:
    total = accumulate(operands, step.data["chains"].astype(np.int64), step.data["accumulator"].astype(np.int64))
    return total + step.data["bias"] if "bias" in step.data else total


def run_gemm(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns x w + bias for x [..., K] (or transposed, by transA) and constant w [K, N], planned as [N, K]."""
    x, w = fixed_input(step, inputs, 0), fixed_input(step, inputs, 1)
    node: Node = bind(step, [x.values, w.values])
    is_transposed = get_int(node, "transA", 0) == 1
    values = x.values.T if is_transposed else x.values
    exponents = _as_matrix(x.exponents.T if is_transposed else x.exponents, values)
    rows = values.reshape(-1, values.shape[-1])
    operands = Operands(w.values[None], rows.T[None], w.exponents[None], exponents.T[None])
    total = _weighted(step, operands)[0].T.reshape(*values.shape[:-1], -1)
    return [to_format(total, step.data["accumulator"].reshape(-1), formats[0])]


def _as_matrix(exponents: Ints, values: Ints) -> Ints:
    """Returns exponents of [..., K] for its rows taken together, [rows or 1, K or 1]."""
    if exponents.size == 1:
        return exponents.reshape(1, 1)
    if exponents.size == exponents.shape[-1]:
        return exponents.reshape(1, -1)
    return np.broadcast_to(exponents, values.shape).reshape(-1, values.shape[-1])


def run_matmul(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns a b for two activations [..., M, K] and [..., K, N]; leading axes broadcast."""
    a, b = fixed_input(step, inputs, 0), fixed_input(step, inputs, 1)
    left, right = _at_least_matrix(a, 0), _at_least_matrix(b, 1)
    lead = np.broadcast_shapes(left[0].shape[:-2], right[0].shape[:-2])
    parts = [_flatten_lead(v, e, lead) for v, e in (left, right)]
    operands = Operands(parts[0][0], parts[1][0], parts[0][1], parts[1][1])
    largest = np.full((1, operands.left.shape[2]), a.format.largest * b.format.largest, np.int64)
    starts = cut_chains(largest, exponent_runs(operands.left_exponents, operands.right_exponents))
    bounds = np.add.reduceat(largest, starts, axis=1)[..., None, None]
    exponents = chain_exponents(operands.left_exponents, operands.right_exponents, starts)
    target = accumulator_exponents(bounds, exponents)
    total = accumulate(operands, starts, target)
    shape = [*lead, *total.shape[1:]]
    scales = np.broadcast_to(target, total.shape).reshape(shape)
    gone = tuple(axis for axis, tensor in ((-2, a), (-1, b)) if tensor.values.ndim == 1)
    return [to_format(total.reshape(shape).squeeze(gone), scales.squeeze(gone), formats[0])]


def _at_least_matrix(tensor: FixedTensor, axis: int) -> tuple[Ints, Ints]:
    if tensor.values.ndim > 1:
        return tensor.values, tensor.exponents
    return np.expand_dims(tensor.values, axis), np.expand_dims(tensor.exponents, axis)


def _flatten_lead(values: Ints, exponents: Ints, lead: tuple[int, ...]) -> tuple[Ints, Ints]:
    full = np.broadcast_to(values, (*lead, *values.shape[-2:])).reshape(-1, *values.shape[-2:])
    if all(n == 1 for n in exponents.shape[:-2]):
        return full, exponents.reshape(1, *exponents.shape[-2:])
    tail = exponents.shape[-2:]
    return full, np.broadcast_to(exponents, (*lead, *tail)).reshape(-1, *tail)
