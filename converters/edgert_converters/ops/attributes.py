"""Reading attributes and the inputs that replaced them in later opsets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from edgert.errors import ModelError
from edgert_converters.ops.spec import Array, Node

__all__ = [
    "get_float",
    "get_int",
    "get_ints",
    "get_str",
    "input_or_attribute",
    "normalise_axis",
    "read_axes",
    "require_input",
]

T = TypeVar("T")


def get_int(node: Node, name: str, default: int) -> int:
    """Returns an integer attribute.

    Raises:
        ModelError: the attribute has another type.
    """
    return _typed(node, name, node.attributes.get(name, default), int)


def get_float(node: Node, name: str, default: float) -> float:
    """Returns a float attribute.

    Raises:
        ModelError: the attribute has another type.
    """
    value = node.attributes.get(name, default)
    return float(_typed(node, name, value, (int, float)))


def get_str(node: Node, name: str, default: str) -> str:
    """Returns a string attribute.

    Raises:
        ModelError: the attribute has another type.
    """
    return _typed(node, name, node.attributes.get(name, default), str)


def get_ints(node: Node, name: str, default: Sequence[int]) -> tuple[int, ...]:
    """Returns a list-of-integers attribute.

    Raises:
        ModelError: the attribute has another type.
    """
    value = _typed(node, name, node.attributes.get(name, tuple(default)), tuple)
    return tuple(int(v) for v in value)


def require_input(node: Node, inputs: Sequence[Any], index: int) -> Any:  # Any: Array or QTensor, the caller knows
    """Returns input `index`.

    Raises:
        ModelError: it is absent.
    """
    value = inputs[index] if index < len(inputs) else None
    if value is None:
        raise ModelError(f"{node.op_type} needs input {index}, which is absent", node=node.name)
    return value


def input_or_attribute(node: Node, inputs: Sequence[Any], index: int, name: str) -> Array | None:
    """Returns the value that stood in attribute `name` in old opsets and is input `index` in new ones, or None."""
    if index < len(inputs) and inputs[index] is not None:
        return np.asarray(inputs[index])
    if name in node.attributes:
        return np.asarray(node.attributes[name])
    if index in node.constants:
        return np.asarray(node.constants[index])
    return None


def read_axes(node: Node, inputs: Sequence[Any], rank: int, index: int = 1) -> tuple[int, ...] | None:
    """Returns `axes` (attribute or input) as sorted non-negative numbers, or None where absent or empty."""
    value = input_or_attribute(node, inputs, index, "axes")
    if value is None or value.size == 0:
        return None
    return tuple(sorted(normalise_axis(int(a), rank) for a in value.reshape(-1)))


def normalise_axis(axis: int, rank: int) -> int:
    """Returns `axis` counted from the front; `axis` lies in [-rank, rank - 1]."""
    return axis + rank if axis < 0 else axis


def _typed(node: Node, name: str, value: object, kind: type[T] | tuple[type, ...]) -> T:
    if not isinstance(value, kind):
        raise ModelError(f"attribute {name!r} of {node.op_type} has the type {type(value).__name__}", node=node.name)
    return value  # type: ignore[return-value]  # isinstance with a tuple of types does not narrow to T
