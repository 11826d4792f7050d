"""Comparisons, choices by them, logic, and CAST."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from edgert.dtypes import DType
from edgert_converters.exporters.c.kernels.moves import item_bytes
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call
from edgert_converters.exporters.c.strides import pair_arguments
from edgert_converters.tflite.model import TfOperator

__all__ = ["SELECT_RULES"]

Rule = Callable[[TfOperator, Lowering], None]
_NUMBERS: Final = {DType.FLOAT: "float", DType.INT32: "s32"}
_NAMES: Final = {**_NUMBERS, DType.BOOL: "bool", DType.INT64: "s64"}
_WITHOUT_CAST: Final = frozenset({("bool", "s64"), ("s64", "bool")})
_COMPARISONS: Final = ("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL")


def lower_comparison(operator: TfOperator, network: Lowering) -> None:
    """Adds a comparison of two tensors of floats or of whole numbers.

    Raises:
        ModelError: the types have no kernel.
    """
    _compare(operator, network, {**_NUMBERS, DType.BOOL: "u8"} if operator.name == "NOT_EQUAL" else _NUMBERS)


def lower_logic(operator: TfOperator, network: Lowering) -> None:
    """Adds a combination of two tensors of booleans.

    Raises:
        ModelError: the types have no kernel.
    """
    _compare(operator, network, {DType.BOOL: "u8"})


def _compare(operator: TfOperator, network: Lowering, suffixes: dict[DType, str]) -> None:
    a, b = network.tensor(operator, 0), network.tensor(operator, 1)
    loops = pair_arguments(a.shape, b.shape, network.result(operator).shape)
    suffix = suffixes.get(a.dtype) if a.dtype is not None and a.dtype is b.dtype else None
    if loops is None or suffix is None:
        raise network.refusal(operator, f"there is a kernel for it on {_listed(suffixes)} only, over four axes")
    network.add(operator, Call(f"{operator.name.lower()}_{suffix}", "select", loops), reads=(0, 1))


def lower_not(operator: TfOperator, network: Lowering) -> None:
    """Adds the opposite of booleans."""
    count = math.prod(network.result(operator).shape)
    network.add(operator, Call("logical_not", "select", {"count": count}), overwrites=(0,))


def lower_select(operator: TfOperator, network: Lowering) -> None:
    """Adds a choice between two tensors, element by element.

    Raises:
        ModelError: an operand is neither of the output's shape nor a single element, or integers change parameters.
    """
    y = network.result(operator)
    count, size = math.prod(y.shape), item_bytes(y)
    steps = []
    for position in range(3):
        tensor = network.tensor(operator, position)
        if math.prod(tensor.shape) not in {1, count}:
            raise network.refusal(operator, f"{tensor.name!r} is spread over {list(y.shape)}; C spreads single numbers")
        if position and (tensor.dtype is not y.dtype or tensor.quant != y.quant):
            raise network.refusal(operator, "what it chooses from has another type or scale than its output")
        steps.append(int(math.prod(tensor.shape) == count) * (size if position else 1))
    arguments = {"count": count, "chosen_step": steps[0], "a_step": steps[1], "b_step": steps[2]}
    network.add(operator, Call("select", "select", arguments, {"bytes": size}), reads=(0, 1, 2))


def lower_cast(operator: TfOperator, network: Lowering) -> None:
    """Adds a change of type, or nothing where it stays.

    Raises:
        ModelError: a type has no kernel.
    """
    x, y = network.tensor(operator, 0), network.result(operator)
    if x.dtype is y.dtype:
        network.alias(operator)
        return
    names = [None if tensor.dtype is None else _NAMES.get(tensor.dtype) for tensor in (x, y)]
    if None in names or (names[0], names[1]) in _WITHOUT_CAST:
        raise network.refusal(operator, f"there is a kernel for it between {_listed(_NAMES)} only")
    network.add(operator, Call(f"cast_{names[0]}_{names[1]}", "select", {"count": math.prod(x.shape)}))


def _listed(kinds: dict[DType, str]) -> str:
    return ", ".join(kind.value for kind in kinds)


SELECT_RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(_COMPARISONS, lower_comparison),
    "CAST": lower_cast,
    "LOGICAL_AND": lower_logic,
    "LOGICAL_NOT": lower_not,
    "LOGICAL_OR": lower_logic,
    "SELECT": lower_select,
    "SELECT_V2": lower_select,
}
"""By TFLite operator."""
