"""Parts of a TFLite file that can be run alone: which tensors they take and give, and what those hold in the graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgert_converters.ops.spec import Array
from edgert_converters.tflite.layout import Order, invert

__all__ = ["Port", "TflitePart"]


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a file that holds the graph's value `value`.

    Its axis k is the value's axis `order[k]`, and its integers are the value's plus `shift`.
    """

    value: str
    order: Order
    shift: int = 0

    def store(self, array: Array) -> Array:
        """Returns what the file holds for the graph's `array`."""
        return self._moved(np.transpose(array, self.order), self.shift)

    def restore(self, array: Array) -> Array:
        """Returns the graph's array for what the file holds."""
        return self._moved(np.transpose(array, invert(self.order)), -self.shift)

    def _moved(self, array: Array, shift: int) -> Array:
        if shift and array.dtype in {np.dtype(np.int8), np.dtype(np.uint8)}:
            target = np.uint8 if shift > 0 else np.int8
            array = (array.astype(np.int16) + shift).astype(target)
        return np.ascontiguousarray(array)


@dataclass(frozen=True, slots=True)
class TflitePart:
    """The bytes of a file and its ports in order."""

    data: bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
