"""REDUCE_MAX, REDUCE_MIN and ARG_MAX of any type, SUM, MEAN and REDUCE_PROD of floats, by runs of neighbouring axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Final

from edgert.dtypes import DType
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call
from edgert_converters.tflite.model import TfOperator

__all__ = ["FLOAT_REDUCTIONS", "lower_extreme", "lower_place"]

_SUFFIXES: Final = {DType.INT8: "s8", DType.UINT8: "u8", DType.INT16: "s16", DType.FLOAT: "float"}
_KERNELS: Final = {
    "MEAN": "mean_float",
    "REDUCE_MAX": "largest",
    "REDUCE_MIN": "smallest",
    "REDUCE_PROD": "product_float",
    "SUM": "total_float",
}


def lower_extreme(operator: TfOperator, network: Lowering) -> None:
    """Adds the largest or the smallest number over any axes.

    Raises:
        ModelError: the type has no kernel, or the output's parameters are not the input's.
    """
    x, y = network.tensor(operator, 0), network.result(operator)
    suffix = None if x.dtype is None else _SUFFIXES.get(x.dtype)
    if suffix is None:
        raise network.refusal(operator, f"there is a kernel for it on {', '.join(t.value for t in _SUFFIXES)} only")
    if x.quant != y.quant:
        raise network.refusal(operator, "it takes integers over and its output has other parameters than its input")
    _reduce(operator, network, f"{_KERNELS[operator.name]}_{suffix}")


def lower_place(operator: TfOperator, network: Lowering) -> None:
    """Adds the place of the largest or the smallest number along a constant axis, the first of equals.

    Raises:
        ModelError: the types have no kernel.
    """
    x, y = network.tensor(operator, 0), network.result(operator)
    suffix = None if x.dtype is None else _SUFFIXES.get(x.dtype)
    if suffix is None or y.dtype is not DType.INT32:
        raise network.refusal(
            operator, f"there is a kernel for int32 from {', '.join(t.value for t in _SUFFIXES)} only"
        )
    axis = int(network.constant(operator, 1).reshape(-1)[0]) % len(x.shape)
    arguments = {
        "batch": math.prod(x.shape[:axis]),
        "length": x.shape[axis],
        "depth": math.prod(x.shape[axis + 1 :]),
    }
    literals: dict[str, int | str] = {"is_largest": int(operator.name == "ARG_MAX")}
    network.add(operator, Call(f"place_{suffix}", "reduce", arguments, literals))


def _lower_float(operator: TfOperator, network: Lowering) -> None:
    _reduce(operator, network, _KERNELS[operator.name])


def _reduce(operator: TfOperator, network: Lowering, kernel: str) -> None:
    x, y = network.tensor(operator, 0), network.result(operator)
    runs = _runs(x.shape, {int(axis) % len(x.shape) for axis in network.constant(operator, 1).reshape(-1)})
    if not runs:
        network.alias(operator)
        return
    shape, source = list(x.shape), None
    for first, last in runs:
        arguments = {
            "batch": math.prod(shape[:first]),
            "length": math.prod(shape[first:last]),
            "depth": math.prod(shape[last:]),
        }
        shape[first:last] = [1] * (last - first)
        call = Call(kernel, "reduce", arguments)
        if (first, last) == runs[-1]:
            network.add_step(operator, call, source=source)
            return
        part = replace(x, name=f"{y.name} over axis {first}", shape=tuple(shape), data=None)
        source = network.add_step(operator, call, source=source, result=part)


def _runs(shape: tuple[int, ...], axes: set[int]) -> list[tuple[int, int]]:
    """First and end of every run of neighbouring axes; axes of 1 belong to whatever is beside them."""
    taken = [axis in axes and shape[axis] > 1 for axis in range(len(shape))]
    gaps = [axis not in axes and shape[axis] > 1 for axis in range(len(shape))]
    places = [axis for axis, is_taken in enumerate(taken) if is_taken]
    if not places:
        return []
    cuts = [after for before, after in pairwise(places) if any(gaps[before:after])]
    starts = [places[0], *cuts]
    ends = [max(place for place in places if place < cut) + 1 for cut in cuts] + [places[-1] + 1]
    return list(zip(starts, ends, strict=True))


FLOAT_REDUCTIONS: Final[dict[str, Callable[[TfOperator, Lowering], None]]] = dict.fromkeys(
    ("MEAN", "REDUCE_PROD", "SUM"), _lower_float
)
"""By TFLite operator, where its first input is float."""
