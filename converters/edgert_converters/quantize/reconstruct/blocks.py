"""Cuts a graph into blocks: consecutive nodes with one value between a block and the next.

Source: Li, Gong, Tan, Yang, Hu, Zhang, Yu, Wang and Gu, BRECQ: pushing the limit of post-training quantization by block
reconstruction, 2021, arXiv:2102.05426, section 3.2: a residual block is the unit whose inner dependencies matter most.
Here it is found from the graph: a cut is a value that everything later passes through, so a branch is never cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.weighted import WEIGHTED

__all__ = ["Block", "cut_blocks"]


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive nodes; `inputs` come from the block before (or are the graph's), `outputs` go to the next one."""

    nodes: tuple[ir.Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def label(self) -> str:
        """First and last weighted node, for the report."""
        names = [str(node.name) for node in self.nodes if node.op_type in WEIGHTED]
        return names[0] if len(names) < 2 else f"{names[0]} ... {names[-1]}"


def cut_blocks(model: ir.Model, plan: Plan) -> tuple[Block, ...]:
    """Returns the blocks in order; each holds at least one weighted integer operator, what follows joins the last."""
    nodes = list(model.graph)
    ends = _cuts(nodes, plan)
    groups: list[list[ir.Node]] = [[]]
    for node in nodes:
        groups[-1].append(node)
        if str(node.outputs[0].name) in ends and _has_weights(groups[-1], plan):
            groups.append([])
    if len(groups) > 1 and not _has_weights(groups[-1], plan):
        tail = groups.pop()
        groups[-1] += tail
    inputs = tuple(str(value.name) for value in model.graph.inputs)
    blocks: list[Block] = []
    for group in groups:
        outputs = (str(group[-1].outputs[0].name),) if group is not groups[-1] else ()
        finals = {str(value.name) for node in group for value in node.outputs if value.is_graph_output()}
        blocks.append(Block(tuple(group), inputs, tuple(dict.fromkeys((*outputs, *sorted(finals))))))
        inputs = outputs
    return tuple(blocks)


def _has_weights(nodes: Sequence[ir.Node], plan: Plan) -> bool:
    return any(str(node.name) in plan.weights for node in nodes)


def _cuts(nodes: Sequence[ir.Node], plan: Plan) -> set[str]:
    """Values that are alone alive after the node that makes them, clamps that will be fused behind them."""
    last: dict[str, int] = {}
    for position, node in enumerate(nodes):
        for value in node.inputs:
            if value is not None and value.const_value is None:
                last[str(value.name)] = position
    cuts: set[str] = set()
    alive: set[str] = {name for name in last if name not in {str(v.name) for n in nodes for v in n.outputs}}
    for position, node in enumerate(nodes):
        alive |= {str(value.name) for value in node.outputs if str(value.name) in last}
        alive = {name for name in alive if last[name] > position}
        output = node.outputs[0]
        clamped = any(str(user.name) in plan.fused_clamps for user in output.consumers())
        if alive == {str(output.name)} and not clamped:
            cuts.add(str(output.name))
    return cuts
