"""Operators that move numbers, of any type, or only call them by another shape.

Each is an index array made by numpy on the places of its input; what lies together is not moved at all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.exporters.c.strides import find_loops, find_places
from edgert_converters.tflite.model import TfOperator, TfTensor

__all__ = ["item_bytes", "lower_move", "lower_reshape", "lower_split", "lower_unpack", "move_rule"]

Indices = NDArray[np.int64]
Rearrange = Callable[[TfOperator, Lowering, Indices], Indices]
_ALIGNED_BYTES = 4


def lower_reshape(operator: TfOperator, network: Lowering) -> None:
    """Moves nothing."""
    network.alias(operator)


def move_rule(rearrange: Rearrange, *, data: int = 0) -> Callable[[TfOperator, Lowering], None]:
    """Returns the rule of an operator whose output is `rearrange` of the places of input `data`."""

    def lower(operator: TfOperator, network: Lowering) -> None:
        places = _places(network.tensor(operator, data))
        lower_move(operator, network, rearrange(operator, network, places), data=data)

    return lower


def lower_move(operator: TfOperator, network: Lowering, indices: Indices, *, data: int = 0, output: int = 0) -> None:
    """Adds the move that takes output element i from place `indices[i]` of input `data`.

    Raises:
        ModelError: the output's scale differs from the input's, which a move cannot change.
    """
    x, y = network.tensor(operator, data), network.result(operator, output)
    if x.quant != y.quant:
        raise network.refusal(operator, "it moves integers and its output has other parameters than its input")
    size = item_bytes(x)
    loops = find_loops(indices)
    if loops is not None and loops.is_whole and loops.first * size % _ALIGNED_BYTES == 0:
        network.alias(operator, read=data, output=output, offset_bytes=loops.first * size)
        return
    if loops is None:
        network.add_output(operator, _gather(indices, size), read=data, output=output)
        return
    call = Call("move", "move", loops.arguments(size), {"run": loops.run * size})
    network.add_output(operator, call, read=data, output=output, offset_bytes=loops.first * size)


def item_bytes(tensor: TfTensor) -> int:
    """Returns the bytes of one element."""
    return (tensor.dtype or DType.FLOAT).itemsize_bytes


def lower_split(operator: TfOperator, network: Lowering) -> None:
    """Adds a move per output of a SPLIT (axis, input) or SPLIT_V (input, sizes, axis)."""
    data, axis_input = (1, 0) if operator.name == "SPLIT" else (0, 2)
    axis = int(network.constant(operator, axis_input).reshape(-1)[0])
    places, first = _places(network.tensor(operator, data)), 0
    for output in range(len(operator.outputs)):
        size = network.result(operator, output).shape[axis]
        taken = np.take(places, range(first, first + size), axis=axis)
        lower_move(operator, network, taken, data=data, output=output)
        first += size


def lower_unpack(operator: TfOperator, network: Lowering) -> None:
    """Adds a move per output of an UNPACK."""
    axis, places = network.option(operator, "axis"), _places(network.tensor(operator, 0))
    for output in range(len(operator.outputs)):
        lower_move(operator, network, np.take(places, output, axis=axis), output=output)


def _places(tensor: TfTensor) -> Indices:
    return np.arange(int(np.prod(tensor.shape, dtype=np.int64)), dtype=np.int64).reshape(tensor.shape)


def _gather(indices: Indices, size: int) -> Call:
    places = find_places(indices)
    constants = tuple(
        Constant(name, "int32_t", (table * size).astype(np.int32), "places, in bytes", is_payload=False)
        for name, table in (("outer", places.outer), ("inner", places.inner))
    )
    counts = {"outer_count": len(places.outer), "inner_count": len(places.inner)}
    return Call("gather", "move", counts, {"run": places.run * size}, constants)
