"""Runs a part of a float graph in torch, in float or with fake quantization where a plan has integers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import QuantRule
from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.reconstruct.torch_operations import Operation, build_operation
from edgert_converters.quantize.weighted import WEIGHTED, read_weighted

__all__ = ["Constants", "Instruction", "Quantizer", "build_instructions", "float_constants", "run_instructions"]

Constants: TypeAlias = Callable[[str], tuple[Tensor, Tensor | None]]
"""Weight and bias of a weighted operator, by node name."""
Quantizer: TypeAlias = Callable[[str, Tensor], Tensor]
"""What becomes of a value, by name."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One node: `operands` are value names or constant tensors; `weighted` ones take weight and bias by `name`.

    `moves`: the output keeps its input's integers, so it needs no quantizer. `fused`: a clamp that the plan leaves to
    the range of its producer's output.
    """

    name: str
    operands: tuple[str | Tensor | None, ...]
    output: str
    apply: Operation
    weighted: bool
    moves: bool
    fused: bool


def build_instructions(nodes: Iterable[ir.Node], plan: Plan) -> tuple[Instruction, ...]:
    """Returns the nodes' instructions, in order.

    Raises:
        UnsupportedError: a node cannot be run in torch.
    """
    return tuple(_build(node, plan) for node in nodes)


def _build(node: ir.Node, plan: Plan) -> Instruction:
    name = str(node.name)
    weighted = node.op_type in WEIGHTED and _has_constant_weights(node)
    read = node.inputs[:1] if weighted else node.inputs
    rule = OPERATORS[node.op_type].quantization if node.op_type in OPERATORS else None
    moves = name in plan.integer_nodes and rule is QuantRule.SHARED
    operands = tuple(None if value is None else _operand(value) for value in read)
    # a symmetric range reaches below zero, so insert.py leaves such clamps in
    fused = name in plan.fused_clamps and not plan.scheme.symmetric
    return Instruction(name, operands, str(node.outputs[0].name), build_operation(node), weighted, moves, fused)


def _has_constant_weights(node: ir.Node) -> bool:
    return len(node.inputs) > 1 and node.inputs[1] is not None and node.inputs[1].const_value is not None


def _operand(value: ir.Value) -> str | Tensor:
    if value.const_value is None:
        return str(value.name)
    return torch.from_numpy(np.array(value.const_value.numpy()))


def run_instructions(
    instructions: Sequence[Instruction],
    values: Mapping[str, Tensor],
    constants: Constants,
    quantizer: Quantizer | None = None,
    keep: frozenset[str] | None = None,
) -> dict[str, Tensor]:
    """Returns all values made, or those of `keep`.

    Args:
        instructions: in an order in which they can run.
        values: what they read and do not make; already quantized where that is asked for.
        constants: weights and biases.
        quantizer: None runs in float; else applied to every value made, and fused clamps are left out.
        keep: values wanted; others are let go after their last reader.
    """
    known = dict(values)
    last = {operand: i for i, step in enumerate(instructions) for operand in step.operands if isinstance(operand, str)}
    for position, step in enumerate(instructions):
        made = _execute(step, known, constants, skip=step.fused and quantizer is not None)
        known[step.output] = made if quantizer is None or step.moves else quantizer(step.output, made)
        for operand in step.operands:
            if keep is not None and isinstance(operand, str) and last[operand] == position and operand not in keep:
                known.pop(operand, None)
    return known if keep is None else {name: known[name] for name in keep}


def _execute(step: Instruction, known: Mapping[str, Tensor], constants: Constants, skip: bool) -> Tensor:
    operands = [known[operand] if isinstance(operand, str) else operand for operand in step.operands]
    first = operands[0]
    if first is not None and skip:
        return first
    return step.apply(first, *constants(step.name)) if step.weighted else step.apply(*operands)


def float_constants(nodes: Iterable[ir.Node]) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Returns the float weights and biases of weighted nodes, by node name."""
    found: dict[str, tuple[Tensor, Tensor | None]] = {}
    for node in nodes:
        if node.op_type in WEIGHTED and _has_constant_weights(node):
            weighted = read_weighted(node)
            bias = None if weighted.bias is None else torch.from_numpy(weighted.bias)
            found[str(node.name)] = (torch.from_numpy(weighted.weight), bias)
    return found
