"""What one operator does to a transform of the channels beside it: takes it up, lets it pass, or neither."""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx_ir as ir

from edgert_converters.quantize.transforms.axes import MOVERS, Step, dimension, follow
from edgert_converters.quantize.transforms.reader import Reader, find_reader, output_axis
from edgert_converters.quantize.transforms.region import Edit, Member, Seen
from edgert_converters.quantize.weighted import int_attribute

__all__ = ["Passing"]

_POOLS = frozenset({"AveragePool", "GlobalAveragePool", "Resize", "Upsample"})
_HOMOGENEOUS = frozenset({"Relu", "LeakyRelu", "Abs", "MaxPool", "GlobalMaxPool"})
_GATES = frozenset({"Sigmoid", "HardSigmoid", "Tanh", "HardSwish", "Softmax", "Gelu", "Erf", "Softplus", "Exp"})
"""Operators that no scaling passes: the other factor of a product takes it."""


@dataclass(slots=True)
class Passing:
    """The operators looked at so far: what takes T up, what reads it, and the products that it passes through one way.

    `linear`: T is dense, so only linear operators let it pass.
    """

    linear: bool
    edits: dict[tuple[str | None, int, bool], Edit] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    makers: dict[str | None, ir.Node] = field(default_factory=dict)
    products: dict[str | None, ir.Node] = field(default_factory=dict)

    def copy(self) -> Passing:
        """What is found from now on does not show in it."""
        return Passing(self.linear, dict(self.edits), dict(self.seen), dict(self.makers), dict(self.products))

    def steps(self, node: ir.Node, index: int, value: ir.Value, member: Member) -> list[Step] | None:
        """Returns what else joins the region with a value beside a node; None: the node does not let T pass.

        Args:
            node: reads or makes the value.
            index: of the input that the value is; -1: the node made it.
            value: it belongs to the region.
            member: how.
        """
        op = node.op_type
        if op in MOVERS:
            return follow(node, value, member)
        if op in {"Conv", "Gemm", "MatMul"}:
            return self._weighted(node, index, member)
        if op in {"Add", "Sub"}:
            return self._sum(node, member)
        if op in {"Mul", "Div"} and not self.linear:
            return self._product(node, index, value, member)
        if index == -1 and not self.linear and self._takes_up(node, value, member):
            return []
        return self._kept(node, member)

    def _kept(self, node: ir.Node, member: Member) -> list[Step] | None:
        """Operators whose output has the same channels on the same axis."""
        if node.op_type not in _POOLS and (self.linear or node.op_type not in _HOMOGENEOUS):
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
            if self.linear and reader.group != 1:
                return None
            self._edit(node, 1, _trailing(reader), member, inverse=True, group=reader.group)
            self.seen[reader.name] = Seen(reader, member, along_rows=False)
            return []
        return self._along_rows(node, reader, member)

    def _made(self, node: ir.Node, reader: Reader, member: Member) -> list[Step] | None:
        if member.axis != output_axis(node):
            return self._along_rows(node, reader, member)
        if self.linear and reader.group != 1:
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
        if node.op_type != "MatMul" or self.linear:
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
