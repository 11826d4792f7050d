"""Finds the region that must change together when a value's channels are transformed.

From one weighted operator's input it goes up to what can take up T and down to what can take up T^-1, through operators
that let it pass: everything positively homogeneous for a scaling, everything linear for a dense T.
"""

from __future__ import annotations

from collections.abc import Set

import numpy as np
import onnx_ir as ir

from edgert_converters.quantize.transforms.axes import MOVERS, dimension
from edgert_converters.quantize.transforms.passing import Passing
from edgert_converters.quantize.transforms.reader import Reader, output_axis
from edgert_converters.quantize.transforms.region import Member, Region, Use, is_whole

__all__ = ["find_output_region", "find_region"]


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
    if not any(not seen.along_rows for seen in growth.passing.seen.values()):
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
        self.passing = Passing(linear)
        self.sources: dict[ir.Value, set[Use]] = {}
        self.sinks: dict[ir.Value, set[Use]] = {}

    def region(self) -> Region:
        """What was found."""
        found = self.passing
        edits, seen, makers = tuple(found.edits.values()), tuple(found.seen.values()), tuple(found.makers.values())
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
        for node in self.passing.products.values():
            if sum(operand in self.members for operand in node.inputs) != 1:
                raise _RefusalError(f"both factors of {node.name!r} are in the region")

    def widen(self) -> None:
        """Takes the other readers of the source values in, each that can: they gain as well, and T is paid once."""
        for value in list(self.sources):
            for use in [(node, index) for node, index in value.uses()]:
                if use in self.sources[value]:
                    continue
                members, passing = dict(self.members), self.passing.copy()
                sources = {source: set(uses) for source, uses in self.sources.items()}
                try:
                    self.join(value, self.members[value], use)
                    self.settle()
                except _RefusalError:
                    self.members, self.passing, self.sources, self._pending = members, passing, sources, []

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
        steps = self.passing.steps(node, index, value, member)
        if steps is None and index != -1 and self._sink and node.name not in self._integer:
            self.sinks.setdefault(value, set()).add((node, index))
            return
        if steps is None:
            raise _RefusalError(f"{node.name!r} ({node.op_type}) does not let it pass")
        for other, its in steps:
            self.join(other, its, next(((node, i) for i, x in enumerate(node.inputs) if x is other), None))


def _ordered(uses: dict[ir.Value, set[Use]]) -> dict[ir.Value, tuple[Use, ...]]:
    return {value: tuple(sorted(found, key=lambda use: (str(use[0].name), use[1]))) for value, found in uses.items()}
