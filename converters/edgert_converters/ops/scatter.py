"""ScatterElements and ScatterND: a copy of the data with single elements or whole slices replaced or reduced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert.errors import ModelError
from edgert_converters.ops.attributes import get_int, get_str, normalise_axis, require_input
from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.index_tflite import INDEX_READERS, INDEX_WRITERS
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule, ReferenceRule

__all__ = ["SPECS"]

_REDUCTIONS: Final[dict[str, Callable[..., None]]] = {
    "add": np.add.at,
    "mul": np.multiply.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


def scatter_elements(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the data with `updates` at `indices` along one axis; of equal indices the last wins."""
    data, indices, updates = (require_input(node, inputs, i) for i in range(3))
    axis = normalise_axis(get_int(node, "axis", 0), data.ndim)
    where = list(np.indices(indices.shape, sparse=True))
    where[axis] = np.where(indices < 0, indices + data.shape[axis], indices)
    return [_scatter(node, data, tuple(where), updates)]


def scatter_nd(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the data with slices `updates` at the positions in the last axis of `indices`."""
    data, indices, updates = (require_input(node, inputs, i) for i in range(3))
    sizes = np.asarray(data.shape[: indices.shape[-1]])
    where = np.moveaxis(np.where(indices < 0, indices + sizes, indices), -1, 0)
    return [_scatter(node, data, tuple(where), updates)]


def _scatter(node: Node, data: Array, where: tuple[NDArray[Any], ...], updates: Array) -> Array:
    reduction = get_str(node, "reduction", "none")
    result = data.copy()
    if reduction == "none":
        result[where] = updates
    elif reduction in _REDUCTIONS:
        _REDUCTIONS[reduction](result, where, updates)
    else:
        raise ModelError(f"{node.op_type} has the unknown reduction {reduction!r}", node=node.name)
    return result


def _operator(op_type: str, reference: ReferenceRule, *cases: Case) -> Operator:
    return Operator(
        op_type=op_type,
        macs=no_macs,
        reference=reference,
        quantization=QuantRule.FLOAT,
        channels=ChannelRule.BREAKS,
        cases=cases,
    )


_X = normal(4, 5, seed=1)
_COLUMNS = np.asarray([[0, 2, -1], [4, 1, 0]], np.int64)
_DOUBLE = np.asarray([[1, 1, 1], [4, 4, 0]], np.int64)
_POSITIONS = np.asarray([[0, 1], [3, -1], [2, 2]], np.int64)
SPECS: Final = with_hooks(
    (
        _operator(
            "ScatterElements",
            scatter_elements,
            Case("columns", (_X, _COLUMNS, normal(2, 3, seed=2)), {"axis": 1}),
            Case("rows", (_X, np.asarray([[0, 3, 1, 2, 1]], np.int64), normal(1, 5, seed=3))),
            *(
                Case(name, (_X, _DOUBLE, normal(2, 3, seed=4)), {"axis": -1, "reduction": name})
                for name in ("add", "mul", "max", "min")
            ),
        ),
        _operator(
            "ScatterND",
            scatter_nd,
            Case("elements", (_X, _POSITIONS, normal(3, seed=5))),
            Case("rows", (_X, ints(1, 3).reshape(2, 1), normal(2, 5, seed=6))),
            *(
                Case(name, (_X, ints(1, 3, 1).reshape(3, 1), normal(3, 5, seed=7)), {"reduction": name})
                for name in ("add", "mul", "max", "min")
            ),
        ),
    ),
    INDEX_READERS,
    INDEX_WRITERS,
)
