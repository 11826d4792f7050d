"""CONCATENATION and PACK: every input goes to its place in the output."""

from __future__ import annotations

import numpy as np

from edgert_converters.exporters.c.kernels.moves import item_bytes
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, View
from edgert_converters.exporters.c.strides import Loops, find_loops
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_concat", "lower_pack"]


def lower_concat(operator: TfOperator, network: Lowering) -> None:
    """Adds a layer per input. Inputs have the output's parameters: a QUANTIZE stands before others.

    Raises:
        ModelError: an input has other parameters, or an activation is fused.
    """
    if network.option(operator, "fused_activation_function"):
        raise network.refusal(operator, "it has a fused activation")
    axis = network.option(operator, "axis") % len(network.result(operator).shape)
    _stack(operator, network, axis, [network.tensor(operator, i).shape[axis] for i in range(len(operator.inputs))])


def lower_pack(operator: TfOperator, network: Lowering) -> None:
    """Adds a layer per input, along an axis that only the output has."""
    axis = network.option(operator, "axis") % len(network.result(operator).shape)
    _stack(operator, network, axis, [1] * len(operator.inputs))


def _stack(operator: TfOperator, network: Lowering, axis: int, sizes: list[int]) -> None:
    y = network.result(operator)
    size = item_bytes(y)
    places = np.arange(int(np.prod(y.shape, dtype=np.int64)), dtype=np.int64).reshape(y.shape)
    target = network.add_buffer(y)
    first = 0
    for read, width in enumerate(sizes):
        if network.tensor(operator, read).quant != y.quant:
            raise network.refusal(operator, f"its input {read} has other parameters than its output")
        taken = np.take(places, range(first, first + width), axis=axis)
        loops = find_loops(np.arange(taken.size, dtype=np.int64).reshape(taken.shape), taken)
        if loops is None:
            raise AssertionError(f"{y.name!r}: a block that is none")
        offset = int(taken.flat[0]) * size
        last = read == len(sizes) - 1
        name = y.name if last else f"{y.name} part {read}"
        network.add_part(operator, _call(loops, size), read=read, target=View(target.buffer, offset), name=name)
        first += width


def _call(loops: Loops, size: int) -> Call:
    if loops.is_whole:
        return Call("copy", "move", {"bytes": loops.run * size})
    return Call("move", "move", loops.arguments(size), {"run": loops.run * size})
