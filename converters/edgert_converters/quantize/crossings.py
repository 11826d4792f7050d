"""Operators without weights that go over to float, because fewer values then cross between integers and float.

Between two operators without an integer form (a LayerNormalization, an attention product) integers gain nothing: what
an addition reads is quantized for it, what it makes is restored at once, and both cost accuracy and time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

import onnx_ir as ir

from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import QuantRule
from edgert_converters.quantize.refusals import is_activation, label_of

__all__ = ["needless_integers"]

_JOINING = frozenset({"Add", "Sub", "Mul", "Div", "Concat"})


def needless_integers(model: ir.Model, integer: Set[str]) -> dict[str, str]:
    """Returns the integer nodes that make more values cross than they would in float or round for nothing, and why.

    Nodes are judged in runs: those without weights that are joined by what they make. A value counts once, however
    many read it; inputs and outputs of the graph do not count, since a caller may hold integers.

    Args:
        model: the float graph.
        integer: names of the nodes that would run in integers.
    """
    found: dict[str, str] = {}
    for run in _runs(model, integer):
        names = {label_of(node) for node in run}
        as_integers, as_float = (_crossings(run, names, integer, integers=kind) for kind in (True, False))
        if as_float < as_integers:
            reason = f"values that cross between integers and float: {as_float} with it in float, else {as_integers}"
            found.update(dict.fromkeys(names, reason))
        elif as_float == as_integers > 0 and _only_rounds(run, names, integer):
            found.update(dict.fromkeys(names, "float operators read it: integers would only round it once more"))
    return found


def _runs(model: ir.Model, integer: Set[str]) -> Iterator[list[ir.Node]]:
    """Largest connected sets of integer nodes without weights."""
    left = {label_of(node): node for node in model.graph if label_of(node) in integer and not _with_weights(node)}
    while left:
        run, pending = [], [left.popitem()[1]]
        while pending:
            node = pending.pop()
            run.append(node)
            around = (label_of(other) for other in (*node.predecessors(), *node.successors()))
            pending.extend(left.pop(name) for name in around if name in left)
        yield run


def _with_weights(node: ir.Node) -> bool:
    """True for a weighted operator, and for a clamp behind one, whose output range does the clamp's work."""
    before = node.predecessors()
    clamps = _rule(node) is QuantRule.CLAMP and len(before) == 1
    return QuantRule.COMPUTE in {_rule(node), _rule(before[0]) if clamps else None}


def _only_rounds(run: Sequence[ir.Node], names: Set[str], integer: Set[str]) -> bool:
    """True where a run rounds once more what float operators alone read, such as a bias behind a MatMul.

    Functions of one operand are another matter: in integers they are a table.
    """
    if any(_rule(node) is QuantRule.OWN and node.op_type not in _JOINING for node in run):
        return False
    made = {value for node in run for value in node.outputs}
    outside = {label_of(user) for value in made for user in value.consumers()} - names
    to_caller = any(value.is_graph_output() for value in made)
    return not to_caller and not outside & integer and any(_rule(node) is QuantRule.OWN for node in run)


def _rule(node: ir.Node) -> QuantRule:
    operator = OPERATORS.get(node.op_type)
    return QuantRule.FLOAT if operator is None else operator.quantization


def _crossings(run: Sequence[ir.Node], names: Set[str], integer: Set[str], *, integers: bool) -> int:
    """How many values that a run reads or makes cross, with the run in `integers` or in float."""

    def in_integers(node: ir.Node) -> bool:
        return integers if label_of(node) in names else label_of(node) in integer

    values = {value for node in run for value in (*node.inputs, *node.outputs) if value is not None}
    count = 0
    for value in values:
        producer = value.producer()
        if producer is not None and is_activation(value):
            made = in_integers(producer)
            count += any(in_integers(user) is not made for user in value.consumers())
    return count
