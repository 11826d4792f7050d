"""PAD and PADV2: the input amid a constant."""

from __future__ import annotations

import numpy as np

from edgert_converters.exporters.c.kernels.moves import item_bytes
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call
from edgert_converters.exporters.c.strides import find_loops
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_pad"]

_LARGEST_ITEM_BYTES = 4


def lower_pad(operator: TfOperator, network: Lowering) -> None:
    """Adds a padding by zero (integers: the zero point) or, for PADV2, by a constant.

    Raises:
        ModelError: input and output have different parameters, or elements of 8 bytes.
    """
    x, y = network.tensor(operator, 0), network.result(operator)
    if x.quant != y.quant:
        raise network.refusal(operator, "it moves integers and its output has other parameters than its input")
    size = item_bytes(y)
    if size > _LARGEST_ITEM_BYTES:
        raise network.refusal(operator, f"its elements have {size} bytes; C pads with 4 at most")
    amounts = network.constant(operator, 1).astype(np.int64)
    places = np.arange(int(np.prod(y.shape, dtype=np.int64)), dtype=np.int64).reshape(y.shape)
    inside = places[tuple(slice(int(before), int(before) + n) for (before, _), n in zip(amounts, x.shape, strict=True))]
    loops = find_loops(np.arange(inside.size, dtype=np.int64).reshape(inside.shape), inside)
    if loops is None:
        raise network.refusal(operator, "it pads more than four axes")
    arguments = {"first": int(inside.flat[0]) * size, "bytes": places.size * size, **loops.arguments(size)}
    literals: dict[str, int | str] = {"run": loops.run * size, "item": size, "fill": f"{_fill(operator, network)}u"}
    network.add(operator, Call("pad", "move", arguments, literals))


def _fill(operator: TfOperator, network: Lowering) -> int:
    """The bits of one element outside."""
    x = network.tensor(operator, 0)
    value = np.asarray(x.quant.zero_point[0] if x.quant is not None else 0)
    if network.has_input(operator, 2):
        value = network.constant(operator, 2).reshape(-1)[:1]
    kind = np.dtype(np.float32) if x.dtype is None else x.dtype.numpy
    return int.from_bytes(np.asarray(value).astype(kind).tobytes(), "little")
