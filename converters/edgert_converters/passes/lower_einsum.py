"""Turns Einsum into Transpose, ReduceSum, Reshape, MatMul and Mul, which engines and the quantizer know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgert_converters.passes.graph_edits import add_initializer, is_onnx_op, replace_node

__all__ = ["lower_einsum"]

_DYNAMIC = -1


def lower_einsum(model: ir.Model) -> int:
    """Returns how many Einsum nodes were lowered.

    One operand becomes a sum and a transposition; two become a matrix product, or a product of elements where no index
    is summed over both. Left alone: more operands, an index twice in one operand (a diagonal), an ellipsis, and more
    than one dynamic axis.
    """
    return sum(_lower(model.graph, node) for node in list(model.graph) if is_onnx_op(node, "Einsum"))


@dataclass(frozen=True, slots=True)
class _Operand:
    """A value and the index letter of each of its axes."""

    value: ir.Value
    letters: str


def _lower(graph: ir.Graph, node: ir.Node) -> bool:
    found = _parse(node)
    if found is None:
        return False
    operands, target = found
    sizes = _sizes(operands)
    if sizes is None:
        return False
    builder = _Builder(graph, node)
    reduced = [builder.sum_out(x, _unneeded(x, operands, target)) for x in operands]
    result = reduced[0] if len(reduced) == 1 else builder.multiply(reduced[0], reduced[1], target, sizes)
    builder.finish(builder.order(result, target))
    return True


def _parse(node: ir.Node) -> tuple[list[_Operand], str] | None:
    """Returns the operands and the letters of the result, or None where the equation is not of the kind we lower."""
    equation = node.attributes.get_string("equation", "").replace(" ", "")
    left, arrow, target = equation.partition("->")
    terms = left.split(",")
    if "." in equation or len(terms) > 2 or len(terms) != len(node.inputs):
        return None
    if not arrow:
        target = "".join(sorted(c for c in set(left) - {","} if left.count(c) == 1))
    operands = []
    for term, value in zip(terms, node.inputs, strict=True):
        if value is None or not term or len(set(term)) != len(term):
            return None
        operands.append(_Operand(value, term))
    return operands, target


def _sizes(operands: Sequence[_Operand]) -> dict[str, int] | None:
    """Returns the size of every letter, -1 for a dynamic one, which a Reshape can infer.

    None where two are dynamic or a letter has two sizes: an axis of size 1 would have to be spread.
    """
    sizes: dict[str, int] = {}
    for operand in operands:
        shape = operand.value.shape
        if shape is None or len(shape) != len(operand.letters):
            return None
        for letter, dim in zip(operand.letters, shape, strict=True):
            size = dim if isinstance(dim, int) else _DYNAMIC
            if sizes.setdefault(letter, size) != size:
                return None
    return sizes if list(sizes.values()).count(_DYNAMIC) <= 1 else None


def _product(sizes: Sequence[int]) -> int:
    return _DYNAMIC if _DYNAMIC in sizes else int(np.prod(sizes, dtype=np.int64))


def _unneeded(operand: _Operand, operands: Sequence[_Operand], target: str) -> str:
    """Returns the letters that only this operand has and the result has not."""
    others = "".join(x.letters for x in operands if x is not operand)
    return "".join(c for c in operand.letters if c not in others and c not in target)


class _Builder:
    """Makes nodes in front of one Einsum node."""

    def __init__(self, graph: ir.Graph, node: ir.Node) -> None:
        self.graph = graph
        self.node = node
        self.name = str(node.outputs[0].name)
        self.count = 0

    def sum_out(self, x: _Operand, letters: str) -> _Operand:
        """Returns x summed over `letters`."""
        if not letters:
            return x
        axes = np.asarray([x.letters.index(c) for c in letters], np.int64)
        value = self._add("ReduceSum", [x.value, self._constant("axes", axes)], {"keepdims": 0})
        return _Operand(value, "".join(c for c in x.letters if c not in letters))

    def order(self, x: _Operand, letters: str) -> _Operand:
        """Returns x with its axes in the order of `letters`, which are its own."""
        if x.letters == letters:
            return x
        perm = tuple(x.letters.index(c) for c in letters)
        return _Operand(self._add("Transpose", [x.value], {"perm": perm}), letters)

    def multiply(self, a: _Operand, b: _Operand, target: str, sizes: dict[str, int]) -> _Operand:
        """Returns the product summed over the letters that both have and `target` has not."""
        summed = "".join(c for c in a.letters if c in b.letters and c not in target)
        batch = "".join(c for c in target if c in a.letters and c in b.letters)
        rows = "".join(c for c in target if c in a.letters and c not in batch)
        columns = "".join(c for c in target if c in b.letters and c not in batch)
        if not summed:
            return self._multiply_elements(a, b, target, sizes)
        left = self._group(a, (batch, rows, summed), sizes)
        right = self._group(b, (batch, summed, columns), sizes)
        product = self._add("MatMul", [left, right])
        letters = batch + rows + columns
        whole = len(rows) == 1 and len(columns) == 1
        return _Operand(product if whole else self._reshape(product, [sizes[c] for c in letters]), letters)

    def finish(self, result: _Operand) -> None:
        """Puts the result in the place of the Einsum node."""
        replace_node(self.graph, self.node, "Identity", [result.value])

    def _multiply_elements(self, a: _Operand, b: _Operand, target: str, sizes: dict[str, int]) -> _Operand:
        values = []
        for x in (a, b):
            ordered = self.order(x, "".join(c for c in target if c in x.letters))
            full = [sizes[c] if c in x.letters else 1 for c in target]
            values.append(ordered.value if ordered.letters == target else self._reshape(ordered.value, full))
        return _Operand(self._add("Mul", values), target)

    def _group(self, x: _Operand, groups: tuple[str, str, str], sizes: dict[str, int]) -> ir.Value:
        """Returns x as the stack of matrices [batch..., second group, third group]."""
        ordered = self.order(x, "".join(groups))
        if len(groups[1]) == 1 and len(groups[2]) == 1:
            return ordered.value
        matrix = [_product([sizes[c] for c in group]) for group in groups[1:]]
        return self._reshape(ordered.value, [*(sizes[c] for c in groups[0]), *matrix])

    def _reshape(self, value: ir.Value, shape: Sequence[int]) -> ir.Value:
        return self._add("Reshape", [value, self._constant("shape", np.asarray(shape, np.int64))])

    def _constant(self, name: str, array: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> ir.Value:
        return add_initializer(self.graph, f"{self.name}/{name}", array)

    def _add(
        self, op_type: str, inputs: Sequence[ir.Value], attributes: dict[str, int | tuple[int, ...]] | None = None
    ) -> ir.Value:
        new = ir.node(op_type, list(inputs), attributes or {}, name=f"{self.name}/{op_type}_{self.count}")
        self.count += 1
        output = new.outputs[0]
        output.name, output.type = f"{new.name}_output", self.node.outputs[0].type
        self.graph.insert_before(self.node, new)
        return output
