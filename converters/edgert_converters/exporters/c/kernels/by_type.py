"""Which rule an operator takes: by the type of what it reads, and for ADD by whether one operand is spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgert.dtypes import DType
from edgert_converters.exporters.c.kernels.pairs import lower_pair
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.tflite.model import TfOperator

__all__ = ["by_type", "same_shape_or_pair"]

Rule = Callable[[TfOperator, Lowering], None]


def by_type(rules: Mapping[DType, Mapping[str, Rule]]) -> dict[str, Rule]:
    """Returns one rule per operator that any of the types has one for."""
    return {name: _dispatch(name, rules) for name in sorted({name for table in rules.values() for name in table})}


def same_shape_or_pair(rule: Rule) -> Rule:
    """Returns `rule` for two computed tensors of one shape, the general one for pairs otherwise."""

    def lower(operator: TfOperator, network: Lowering) -> None:
        a, b = network.tensor(operator, 0), network.tensor(operator, 1)
        is_plain = a.shape == b.shape and a.data is None and b.data is None
        (rule if is_plain else lower_pair)(operator, network)

    return lower


def _dispatch(name: str, rules: Mapping[DType, Mapping[str, Rule]]) -> Rule:
    def lower(operator: TfOperator, network: Lowering) -> None:
        kind = network.tensor(operator, 0).dtype
        rule = None if kind is None else rules.get(kind, {}).get(name)
        if rule is None:
            known = ", ".join(dtype.value for dtype, table in rules.items() if name in table)
            found = "nothing" if kind is None else kind.value
            raise network.refusal(operator, f"there is no kernel for it on {found}", f"there is one on {known}")
        rule(operator, network)

    return lower
