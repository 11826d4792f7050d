"""ReduceMean, ReduceSum, ReduceMax and ReduceMin: axes as attribute or input, by opset.

Integer rules: the mean as average pooling does it; the sum rint(f32(acc) * f32(s_x / s_y)) + zp_y with
acc = sum(q - zp_x); maximum and minimum select integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_int, read_axes, require_input
from edgert_converters.ops.averaging import mean_of_integers, mean_q31
from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.q31 import move_q31
from edgert_converters.ops.reduce_norms_tflite import LOGICAL_READERS
from edgert_converters.ops.reduce_tflite import reduce_reader, reduce_writer
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import (
    Array,
    Case,
    ChannelRule,
    IntegerRule,
    Node,
    Operator,
    QTensor,
    QuantRule,
    ReferenceRule,
)

__all__ = ["SPECS", "count_inputs", "reduced_axes"]

Reduction = Callable[..., NDArray[Any]]  # Any and ...: numpy's sum, mean, max and min share no narrower type


def count_inputs(node: Node) -> int:
    """Returns one addition per input element."""
    return int(np.prod(node.input_shapes[0] or (0,), dtype=np.int64))


def reduced_axes(node: Node, inputs: Sequence[Any], rank: int) -> tuple[int, ...]:
    """Returns the axes that a Reduce node goes over: all where it names none, unless the node says that means none."""
    axes = read_axes(node, inputs, rank)
    if axes is not None:
        return axes
    return () if get_int(node, "noop_with_empty_axes", 0) else tuple(range(rank))


def _reference(reduction: Reduction, *, sums: bool) -> ReferenceRule:
    def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = require_input(node, inputs, 0)
        axes = reduced_axes(node, inputs, x.ndim)
        wide = x.astype(np.float64) if sums and np.issubdtype(x.dtype, np.floating) else x
        result = reduction(wide, axis=axes, keepdims=get_int(node, "keepdims", 1) == 1)
        return [np.asarray(result).astype(x.dtype)]

    return reference


def _sum_integers(node: Node, inputs: Sequence[QTensor | Array | None]) -> tuple[NDArray[np.int64], int, QuantParams]:
    x = require_input(node, inputs, 0)
    axes = reduced_axes(node, inputs, x.values.ndim)
    centred = x.values.astype(np.int64) - x.params.zero_point[0]
    acc = np.asarray(centred.sum(axis=axes, keepdims=get_int(node, "keepdims", 1) == 1), np.int64)
    return acc, int(np.prod([x.values.shape[a] for a in axes], dtype=np.int64)), x.params


def integer_mean(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns rint(f32(acc) * f32(s_x / f32(s_y * n))) + zp_y."""
    acc, count, params = _sum_integers(node, inputs)
    return [mean_of_integers(acc, count, params, outputs[0])]


def integer_sum(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns rint(f32(acc) * f32(s_x / s_y)) + zp_y."""
    acc, _, params = _sum_integers(node, inputs)
    return [mean_of_integers(acc, 1, params, outputs[0])]


def q31_mean(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns what TensorFlow Lite's MEAN gives."""
    acc, count, params = _sum_integers(node, inputs)
    return [mean_q31(acc, count, params, outputs[0])]


def q31_sum(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns what TensorFlow Lite's SUM gives."""
    acc, _, params = _sum_integers(node, inputs)
    return [mean_q31(acc, 1, params, outputs[0])]


def _operator(
    op_type: str,
    reduction: Reduction,
    tflite: str,
    integer: IntegerRule | None = None,
    integer_q31: IntegerRule | None = None,
) -> Operator:
    sums = integer is not None
    reference = _reference(reduction, sums=sums)
    x = normal(2, 3, 4, 5, seed=1)
    return Operator(
        op_type=op_type,
        macs=count_inputs if sums else no_macs,
        reference=reference,
        quantization=QuantRule.OWN if sums else QuantRule.SHARED,
        channels=ChannelRule.KEEPS,
        cases=(
            Case("spatial", (x, ints(2, 3)), {}, (1,)),
            Case("drop_axes", (x, ints(-1, 1)), {"keepdims": 0}, (1,)),
            Case("all", (x,)),
        ),
        integer=integer or move_integers(reference),
        integer_q31=integer_q31 or move_q31(reference),
        from_tflite={tflite: reduce_reader(op_type)},
        to_tflite=reduce_writer(tflite),
        onnxruntime_int8=not sums,
    )


SPECS: Final = with_hooks(
    (
        _operator("ReduceMax", np.max, "REDUCE_MAX"),
        _operator("ReduceMean", np.mean, "MEAN", integer_mean, q31_mean),
        _operator("ReduceMin", np.min, "REDUCE_MIN"),
        _operator("ReduceSum", np.sum, "SUM", integer_sum, q31_sum),
    ),
    LOGICAL_READERS,
    {},
)
