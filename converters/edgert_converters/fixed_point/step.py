"""One node of an integer network: what the executor reads and what a planner writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np

from edgert.errors import ModelError
from edgert_converters.fixed_point.formats import FixedTensor, Format, Ints
from edgert_converters.ops.spec import Array, AttributeValue, Node

__all__ = ["Kernel", "Step", "Value", "bind", "fixed_input", "plain_input"]

Value: TypeAlias = "FixedTensor | Array"
"""A fixed-point tensor, or a plain one: shapes, indices and other integers that stand for themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One operation on named values.

    `kernel` names the integer rule, `op` the ONNX operator that it stands for. `data` are integer arrays that belong to
    this step alone (biases, tables, exponents of accumulators).
    """

    kernel: str
    op: str
    name: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    opset: int = 18
    data: Mapping[str, Ints] = field(default_factory=dict)


class Kernel(Protocol):
    """The integer rule of one operator."""

    def __call__(self, step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
        """Returns the outputs in `formats`; every array in between holds integers."""
        ...


def bind(step: Step, arrays: Sequence[Array | None]) -> Node:
    """Returns the operator table's view of a step for these inputs."""
    shapes = tuple(None if a is None else a.shape for a in arrays)
    return Node(step.op, step.name, step.attributes, shapes, ((),) * len(step.outputs), {}, step.opset)


def fixed_input(step: Step, inputs: Sequence[Value | None], index: int) -> FixedTensor:
    """Returns input `index`, which must be a fixed-point tensor.

    Raises:
        ModelError: it is absent or holds plain integers.
    """
    value = inputs[index] if index < len(inputs) else None
    if not isinstance(value, FixedTensor):
        raise ModelError(f"input {index} of {step.op} must be a tensor of numbers, not of indices", node=step.name)
    return value


def plain_input(inputs: Sequence[Value | None], index: int) -> Array | None:
    """Returns input `index` where it is given as plain integers, else None."""
    value = inputs[index] if index < len(inputs) else None
    return None if value is None or isinstance(value, FixedTensor) else np.asarray(value)
