"""LpPool and GlobalLpPool: the p-norm of each window; padding counts as zero. Float only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.attributes import get_int, get_ints, require_input
from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.index_tflite import INDEX_READERS, INDEX_WRITERS
from edgert_converters.ops.rules import count_outputs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, MacsRule, Node, Operator, QuantRule, ReferenceRule
from edgert_converters.ops.windows import pad_spatial, resolve_windows, view_windows

__all__ = ["SPECS"]


def pool_macs(node: Node) -> int:
    """Returns one multiply-accumulate per window element."""
    return count_outputs(node) * int(np.prod(get_ints(node, "kernel_shape", ()), dtype=np.int64))


def global_macs(node: Node) -> int:
    """Returns one multiply-accumulate per input element."""
    return int(np.prod(node.input_shapes[0] or (0,), dtype=np.int64))


def lp_pool(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the p-norm of each window, in float64 and rounded once to x's type."""
    x = require_input(node, inputs, 0)
    windows = resolve_windows(node, x.shape[2:], get_ints(node, "kernel_shape", ()))
    view = view_windows(pad_spatial(_powers(node, x), windows, 0), windows)
    return [_root(node, view.sum(axis=tuple(range(-len(windows.kernel), 0)))).astype(x.dtype)]


def global_lp_pool(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the p-norm of each channel."""
    x = require_input(node, inputs, 0)
    return [_root(node, _powers(node, x).sum(axis=tuple(range(2, x.ndim)), keepdims=True)).astype(x.dtype)]


def _powers(node: Node, x: NDArray[Any]) -> NDArray[np.float64]:
    powers: NDArray[np.float64] = np.abs(x.astype(np.float64)) ** get_int(node, "p", 2)
    return powers


def _root(node: Node, total: NDArray[Any]) -> NDArray[Any]:
    root: NDArray[Any] = total ** (1.0 / get_int(node, "p", 2))
    return root


def _operator(op_type: str, macs: MacsRule, reference: ReferenceRule, *cases: Case) -> Operator:
    return Operator(
        op_type=op_type,
        macs=macs,
        reference=reference,
        quantization=QuantRule.FLOAT,
        channels=ChannelRule.KEEPS,
        cases=cases,
    )


_X = normal(2, 3, 9, 8, seed=1)
SPECS: Final = with_hooks(
    (
        _operator(
            "LpPool",
            pool_macs,
            lp_pool,
            Case("l2", (_X,), {"kernel_shape": (2, 3), "strides": (2, 2)}),
            Case("l3_padded", (_X,), {"kernel_shape": (3, 3), "p": 3, "pads": (1, 1, 1, 1)}),
            Case("dilated", (_X,), {"kernel_shape": (2, 2), "p": 1, "dilations": (2, 3)}),
            Case("same_upper", (_X,), {"kernel_shape": (3, 2), "strides": (2, 2), "auto_pad": "SAME_UPPER"}),
        ),
        _operator("GlobalLpPool", global_macs, global_lp_pool, Case("l2", (_X,)), Case("l1", (_X,), {"p": 1})),
    ),
    INDEX_READERS,
    INDEX_WRITERS,
)
