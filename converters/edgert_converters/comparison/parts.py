"""Parts of a TFLite file that can be run alone: which tensors they take and give, and what those hold in the graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgert_converters.ops.spec import Array
from edgert_converters.tflite.layout import Order, invert

__all__ = ["Port", "TflitePart"]


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a file that holds the graph's value `value`: its axis k is the value's axis `order[k]`."""

    value: str
    order: Order

    def store(self, array: Array) -> Array:
        """Returns what the file holds for the graph's `array`."""
        return np.ascontiguousarray(np.transpose(array, self.order))

    def restore(self, array: Array) -> Array:
        """Returns the graph's array for what the file holds."""
        return np.ascontiguousarray(np.transpose(array, invert(self.order)))


@dataclass(frozen=True, slots=True)
class TflitePart:
    """The bytes of a file, its ports in order, and its operators."""

    data: bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: tuple[str, ...]
