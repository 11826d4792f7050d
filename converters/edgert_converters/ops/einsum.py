"""Einsum by the definition; clean-up turns the common equations into MatMul, Transpose and their kin. Float only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.attributes import get_str
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def macs(node: Node) -> int:
    """Returns the product of the sizes of all indices where two operands meet, else 0: nothing is multiplied."""
    terms = get_str(node, "equation", "").replace(" ", "").split("->")[0].split(",")
    if len(terms) < 2:
        return 0
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, node.input_shapes, strict=True):
        letters, hidden = term.replace("...", ""), term.find("...")
        extra = len(shape or ()) - len(letters)
        names = list(letters)
        if hidden >= 0:
            names[hidden:hidden] = [f"...{i}" for i in range(-extra, 0)]
        for name, size in zip(names, shape or (), strict=True):
            sizes[name] = max(sizes.get(name, 1), size)
    return int(np.prod(list(sizes.values()), dtype=np.int64))


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the sum of products, in float64 and rounded once to the operands' type."""
    operands = [x for x in inputs if x is not None]
    dtype = operands[0].dtype
    kind = dtype if dtype.kind in "iub" else np.dtype(np.float64)
    wide: list[NDArray[Any]] = [x.astype(kind) for x in operands]
    total = np.einsum(get_str(node, "equation", ""), *wide, optimize=len(operands) > 1)
    return [np.asarray(total).astype(dtype)]


_A, _B = normal(2, 3, 4, seed=1), normal(2, 4, 5, seed=2)
CASES = (
    Case("batch_matmul", (_A, _B), {"equation": "bij,bjk->bik"}),
    Case("transpose", (_A,), {"equation": "bij->jbi"}),
    Case("sum", (_A,), {"equation": "bij -> i"}),
    Case("inner", (_A, normal(3, 4, seed=3)), {"equation": "bij,ij->b"}),
    Case("implicit", (normal(3, 4, seed=4), normal(4, 5, seed=5)), {"equation": "ij,jk"}),
    Case("ellipsis", (normal(2, 3, 4, seed=6), normal(2, 4, 5, seed=7)), {"equation": "...ij,...jk->...ik"}),
    Case("diagonal", (normal(4, 4, seed=8),), {"equation": "ii->i"}),
    Case("attention", (normal(2, 3, 4, 5, seed=9), normal(2, 6, 4, 5, seed=10)), {"equation": "bqhd,bkhd->bhqk"}),
)

SPEC = Operator(
    op_type="Einsum",
    macs=macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    note="clean-up lowers the common equations to MatMul, Transpose, Mul and ReduceSum",
)
