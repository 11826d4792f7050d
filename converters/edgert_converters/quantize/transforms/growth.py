"""Finds the region that must change together when a value's channels are transformed.

From one weighted operator's input it goes up to what can take up T and down to what can take up T^-1, through operators
that let it pass: everything positively homogeneous for a scaling, everything linear for a dense T.
"""

from __future__ import annotations

from collections.abc import Set

import numpy as np
import onnx_ir as ir

from edgert_converters.quantize.transforms.axes import MOVERS, Step, dimension, follow
from edgert_converters.quantize.transforms.reader import Reader, find_reader, output_axis
from edgert_converters.quantize.transforms.region import Edit, Member, Region, Seen, Use, is_whole
from edgert_converters.quantize.weighted import int_attribute

__all__ = ["find_output_region", "find_region"]

_POOLS = frozenset({"AveragePool", "GlobalAveragePool", "Resize", "Upsample"})
_HOMOGENEOUS = frozenset({"Relu", "LeakyRelu", "Abs", "MaxPool", "GlobalMaxPool"})
_GATES = frozenset({"Sigmoid", "HardSigmoid", "Tanh", "HardSwish", "Softmax", "Gelu", "Erf", "Softplus", "Exp"})
"""Operators that no scaling passes: the other factor of a product takes it."""


class _RefusalError(Exception):
    """Why there is no such region."""


def find_region(reader: Reader, axis: int, integer: Set[str], *, linear: bool, insert: bool) -> Region | str:
    """Returns the region around a reader's input, or why there is none.

    Args:
        reader: where to start.
        axis: axis of its input.
        integer: names of nodes that run in integers.
        linear: for a dense T; then every axis holds all channels in their order, and readers have no groups.
        insert: put T behind every value that is made in float, instead of looking for constants further up.
    """
    size = dimension(reader.value, axis)
    if size is None:
        return f"the size of axis {axis} of {reader.value.name!r} is not known"
    growth = _Growth(size, integer, linear, insert)
    try:
        growth.join(reader.value, Member(axis, np.arange(size)), (reader.node, 0))
        growth.settle()
    except _RefusalError as refusal:
        return str(refusal)
    if not any(not seen.along_rows for seen in growth.seen.values()):
        return "no operator in reach takes up the inverse"
    growth.widen()
    return growth.region()


def find_output_region(node: ir.Node, integer: Set[str]) -> Region | str:
    """Returns the region around a weighted operator's output, scaled back in front of float operators, or why not.

    Args:
        node: a reader (reader.py), which takes the scaling up in its weights.
        integer: names of nodes that run in integers.
    """
    value, axis = node.outputs[0], output_axis(node)
    size = dimension(value, axis)
    if size is None:
        return f"the size of axis {axis} of {value.name!r} is not known"
    growth = _Growth(size, integer, linear=False, insert=True, sink=True)
    try:
        growth.join(value, Member(axis, np.arange(size)), None)
        growth.settle()
    except _RefusalError as refusal:
        return str(refusal)
    return growth.region() if growth.sinks else "no float operator reads it"


class _Growth:
    """The region so far; `_pending` are values whose neighbours have not been looked at."""

    def __init__(self, size: int, integer: Set[str], linear: bool, insert: bool, sink: bool = False) -> None:
        self._size, self._integer, self._linear, self._insert, self._sink = size, integer, linear, insert, sink
        self._pending: list[ir.Value] = []
        self.members: dict[ir.Value, Member] = {}
        self.edits: dict[tuple[str | None, int, bool], Edit] = {}
        self.seen: dict[str, Seen] = {}
        self.makers: dict[str | None, ir.Node] = {}
        self.sources: dict[ir.Value, set[Use]] = {}
        self.sinks: dict[ir.Value, set[Use]] = {}
        self.products: dict[str | None, ir.Node] = {}

    def region(self) -> Region:
        """What was found."""
        edits, seen, makers = tuple(self.edits.values()), tuple(self.seen.values()), tuple(self.makers.values())
        return Region(self._size, self.members, edits, seen, makers, _ordered(self.sources), _ordered(self.sinks))

    def join(self, value: ir.Value, member: Member, use: Use | None) -> None:
        """Adds a value: as the input `use` of a node of the region, or (None) as what such a node makes."""
        if value.const_value is not None:
            raise _RefusalError(f"{value.name!r} is a constant that more than one axis of the region reads")
        if dimension(value, member.axis) != member.channels.size:
            raise _RefusalError(f"{value.name!r} is broadcast along the channels")
        if self._linear and not is_whole(member, self._size):
            raise _RefusalError(f"{value.name!r} holds other channels too")
        old = self.members.get(value)
        if use is None and value in self.sources:
            raise _RefusalError(f"{value.name!r} is both a source and made in the region")
        if use is not None and (value in self.sources or (old is None and self._is_source(value))):
            served = self.sources.setdefault(value, set())
            if use not in served:
                served.add(use)
                self._pending.append(value)
        if old is None:
            self.members[value] = member
            self._pending.append(value)
            return
        if old.axis != member.axis:
            raise _RefusalError(f"{value.name!r} is reached along two axes")
        if ((old.channels >= 0) & (member.channels >= 0) & (old.channels != member.channels)).any():
            raise _RefusalError(f"{value.name!r} is reached with two orders of channels")
        merged = np.where(old.channels >= 0, old.channels, member.channels)
        if (merged != old.channels).any():
            self.members[value] = Member(old.axis, merged)
            self._pending.append(value)

    def settle(self) -> None:
        """Looks at the neighbours of what joined until nothing new joins."""
        while self._pending:
            value = self._pending.pop()
            member = self.members[value]
            if value in self.sources:
                for node, index in sorted(self.sources[value], key=lambda use: (str(use[0].name), use[1])):
                    self._pass(node, index, value, member)
                continue
            if value.is_graph_output():
                raise _RefusalError(f"{value.name!r} is an output of the model")
            producer = value.producer()
            if producer is None:
                raise _RefusalError(f"{value.name!r} is an input of the model")
            self._pass(producer, -1, value, member)
            for node, index in value.uses():
                self._pass(node, index, value, member)
        for node in self.products.values():
            if sum(operand in self.members for operand in node.inputs) != 1:
                raise _RefusalError(f"both factors of {node.name!r} are in the region")

    def widen(self) -> None:
        """Takes the other readers of the source values in, each that can: they gain as well, and T is paid once."""
        for value in list(self.sources):
            for use in [(node, index) for node, index in value.uses()]:
                if use in self.sources[value]:
                    continue
                before = self._copy()
                try:
                    self.join(value, self.members[value], use)
                    self.settle()
                except _RefusalError:
                    self._restore(before)

    def _copy(self) -> tuple[dict[str, object], dict[ir.Value, set[Use]]]:
        kept = {name: dict(getattr(self, name)) for name in ("members", "edits", "seen", "makers", "products")}
        return dict(kept), {value: set(uses) for value, uses in self.sources.items()}

    def _restore(self, before: tuple[dict[str, object], dict[ir.Value, set[Use]]]) -> None:
        for name, found in before[0].items():
            setattr(self, name, found)
        self.sources, self._pending = before[1], []

    def _is_source(self, value: ir.Value) -> bool:
        producer = value.producer()
        if producer is None:
            return value.is_graph_input()
        moves = producer.op_type in MOVERS
        return self._insert and not moves and producer.name not in self._integer

    def _pass(self, node: ir.Node, index: int, value: ir.Value, member: Member) -> None:
        """One node beside a value of the region: it takes T up, lets it pass, or refuses. `index` -1: it made it."""
        if node.graph is not value.graph and value.graph is not None:
            raise _RefusalError(f"{value.name!r} is read inside of control flow")
        op = node.op_type
        if op in MOVERS:
            steps = follow(node, value, member)
        elif op in {"Conv", "Gemm", "MatMul"}:
            steps = self._weighted(node, index, member)
        elif op in {"Add", "Sub"}:
            steps = self._sum(node, member)
        elif op in {"Mul", "Div"} and not self._linear:
            steps = self._product(node, index, value, member)
        elif index == -1 and not self._linear and self._takes_up(node, value, member):
            steps = []
        else:
            steps = self._kept(node, member)
        if steps is None and index != -1 and self._sink and node.name not in self._integer:
            self.sinks.setdefault(value, set()).add((node, index))
            return
        if steps is None:
            raise _RefusalError(f"{node.name!r} ({op}) does not let it pass")
        for other, its in steps:
            self.join(other, its, next(((node, i) for i, x in enumerate(node.inputs) if x is other), None))

    def _kept(self, node: ir.Node, member: Member) -> list[Step] | None:
        """Operators whose output has the same channels on the same axis."""
        if node.op_type not in _POOLS and (self._linear or node.op_type not in _HOMOGENEOUS):
            return None
        x, y = node.inputs[0], node.outputs[0]
        pools = "Pool" in node.op_type or node.op_type in _POOLS
        if x is None or (pools and member.axis != 1) or len(node.outputs) > 1:
            return None
        return [(x, member), (y, member)]

    def _weighted(self, node: ir.Node, index: int, member: Member) -> list[Step] | None:
        reader = find_reader(node)
        if reader is None:
            return None
        if index == -1:
            return self._made(node, reader, member)
        if index != 0:
            return None
        if member.axis == reader.axis:
            if self._linear and reader.group != 1:
                return None
            self._edit(node, 1, _trailing(reader), member, inverse=True, group=reader.group)
            self.seen[reader.name] = Seen(reader, member, along_rows=False)
            return []
        return self._along_rows(node, reader, member)

    def _made(self, node: ir.Node, reader: Reader, member: Member) -> list[Step] | None:
        if member.axis != output_axis(node):
            return self._along_rows(node, reader, member)
        if self._linear and reader.group != 1:
            return None
        weight = node.inputs[1]
        rank = len(weight.shape) if weight is not None and weight.shape is not None else 0
        transposed = node.op_type == "Conv" or int_attribute(node, "transB", 0)
        self._edit(node, 1, rank - 1 if transposed else 0, member)
        if len(node.inputs) > 2 and node.inputs[2] is not None:
            self._edit(node, 2, 0, member)
        self.makers[node.name] = node
        return []

    def _along_rows(self, node: ir.Node, reader: Reader, member: Member) -> list[Step] | None:
        """A MatMul does to every row the same: its other axes pass."""
        if node.op_type != "MatMul" or self._linear:
            return None
        self.seen[reader.name] = Seen(reader, member, along_rows=True)
        return [(reader.value, member), (node.outputs[0], member)]

    def _sum(self, node: ir.Node, member: Member) -> list[Step] | None:
        steps: list[Step] = [(node.outputs[0], member)]
        rank = len(node.outputs[0].shape or ())
        for index, value in enumerate(node.inputs):
            if value is None or value.shape is None:
                return None
            if value.const_value is not None:
                if len(value.shape) > rank:
                    return None
                self._edit(node, index, rank - 1 - member.axis, member)
            elif len(value.shape) != rank:
                return None
            else:
                steps.append((value, member))
        return steps

    def _product(self, node: ir.Node, index: int, value: ir.Value, member: Member) -> list[Step] | None:
        """A constant factor takes the scaling up; of two activations the one that is no gate passes it on."""
        rank = len(node.outputs[0].shape or ())
        operands = list(enumerate(node.inputs))
        constants = [place for place, operand in operands if operand is not None and operand.const_value is not None]
        if constants:
            if constants[0] == 0 and node.op_type == "Div":
                return None
            operand = node.inputs[constants[0]]
            if operand is None or len(operand.shape or ()) > rank:
                return None
            divides = node.op_type == "Div"
            self._edit(node, constants[0], rank - 1 - member.axis, member, inverse=(index != -1) is not divides)
            return []
        free = [place for place, operand in operands if _may_be_scaled(operand, rank)]
        chosen = index if index != -1 else next(iter(free if node.op_type == "Mul" else [0]), -1)
        if chosen == -1 or (node.op_type == "Div" and chosen != 0) or (index == -1 and len(free) == 2):
            return None
        operand = node.inputs[chosen]
        if operand is None or node.inputs[0] is node.inputs[1] or len(operand.shape or ()) != rank:
            return None
        self.products[node.name] = node
        return [(operand, member), (node.outputs[0], member)]

    def _takes_up(self, node: ir.Node, value: ir.Value, member: Member) -> bool:
        """Normalisations take a scaling up in their gain and bias."""
        if node.op_type == "LayerNormalization":
            gains = value is node.outputs[0] and member.axis == len(value.shape or ()) - 1
        else:
            gains = node.op_type in {"BatchNormalization", "InstanceNormalization"} and member.axis == 1
        constants = [x for x in node.inputs[1:3] if x is not None and x.name]
        if not gains or not constants or any(x.const_value is None for x in constants):
            return False
        if any(dimension(x, 0) != member.channels.size or len(x.shape or ()) != 1 for x in constants):
            return False
        for index in range(1, 1 + len(constants)):
            self._edit(node, index, 0, member)
        return True

    def _edit(
        self, node: ir.Node, index: int, trailing: int, member: Member, *, inverse: bool = False, group: int = 1
    ) -> None:
        key = (node.name, index, inverse)
        self.edits[key] = Edit(node, index, trailing, member.channels, inverse, group)


def _ordered(uses: dict[ir.Value, set[Use]]) -> dict[ir.Value, tuple[Use, ...]]:
    return {value: tuple(sorted(found, key=lambda use: (str(use[0].name), use[1]))) for value, found in uses.items()}


def _trailing(reader: Reader) -> int:
    """Axes of a reader's weights behind the one that it sums over."""
    weight = reader.node.inputs[1]
    rank = len(weight.shape) if weight is not None and weight.shape is not None else 0
    if reader.node.op_type == "Conv":
        return rank - 2
    return 0 if reader.node.op_type == "Gemm" and int_attribute(reader.node, "transB", 0) else 1


def _may_be_scaled(operand: ir.Value | None, rank: int) -> bool:
    producer = operand.producer() if operand is not None else None
    full = operand is not None and operand.shape is not None and len(operand.shape) == rank
    return full and (producer is None or producer.op_type not in _GATES)
