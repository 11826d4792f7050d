"""Rounds the weighted operators of one block, one after another, each on what the rounded ones before it give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.reconstruct.blocks import Block
from edgert_converters.quantize.reconstruct.descent import round_rows
from edgert_converters.quantize.reconstruct.fake_quant import fixed_quantizer, rounded_constants
from edgert_converters.quantize.reconstruct.moments import Moments, columns, from_rows, to_rows
from edgert_converters.quantize.reconstruct.samples import Pair, pack_pair
from edgert_converters.quantize.reconstruct.torch_graph import (
    Constants,
    build_instructions,
    float_constants,
    run_instructions,
)
from edgert_converters.quantize.reconstruct.torch_operations import UnsupportedError
from edgert_converters.quantize.weighted import read_weighted
from edgert_converters.quantize.weights import QuantizedWeights

__all__ = ["COLUMNS", "BlockRunner", "advance", "block_error", "round_block"]

COLUMNS = 65536
"""Columns that an operator's moments are taken over, in all samples together."""


class BlockRunner:
    """A block that can be run in float and as a plan's integers.

    Raises:
        UnsupportedError: torch cannot run one of its operators.
    """

    def __init__(self, block: Block, plan: Plan) -> None:
        self.block, self.plan = block, plan
        self.instructions = build_instructions(block.nodes, plan)
        self.quantizer = fixed_quantizer(plan.params)
        self.floats = float_constants(block.nodes)

    def plain(self, values: Mapping[str, Tensor], keep: frozenset[str], until: int | None = None) -> dict[str, Tensor]:
        """Returns float values; `until` instructions are run, all where it is None."""
        return run_instructions(self.instructions[:until], values, self.floats.__getitem__, keep=keep)

    def quantized(
        self,
        values: Mapping[str, Tensor],
        weights: Mapping[str, QuantizedWeights],
        keep: frozenset[str],
        until: int | None = None,
    ) -> dict[str, Tensor]:
        """Returns what the integers stand for; operators without integers run in float."""
        return run_instructions(self.instructions[:until], values, self._constants(weights), self.quantizer, keep)

    def _constants(self, weights: Mapping[str, QuantizedWeights]) -> Constants:
        return lambda name: rounded_constants(weights[name]) if name in weights else self.floats[name]


def round_block(
    runner: BlockRunner,
    chunks: Sequence[Pair],
    weights: Mapping[str, QuantizedWeights],
    places: int,
    generator: torch.Generator,
    is_over: Callable[[], bool],
) -> dict[str, QuantizedWeights]:
    """Returns new integers for the block's weighted operators, as far as time allows.

    Args:
        runner: of the block.
        chunks: samples at its inputs.
        weights: all integers so far, by node name.
        places: positions of each sample that are looked at.
        generator: draws the positions.
        is_over: asked before each operator.
    """
    current = dict(weights)
    changed: dict[str, QuantizedWeights] = {}
    for position, node in enumerate(runner.block.nodes):
        name = str(node.name)
        if name not in weights or is_over():
            continue
        try:
            moments = _moments(runner, position, chunks, current, places, generator)
        except UnsupportedError:
            continue
        current[name] = changed[name] = _round(node, runner.plan, weights[name], moments)
    return changed


def _moments(
    runner: BlockRunner,
    position: int,
    chunks: Sequence[Pair],
    weights: Mapping[str, QuantizedWeights],
    places: int,
    generator: torch.Generator,
) -> Moments:
    node, moments = runner.block.nodes[position], Moments()
    read, made = str(node.inputs[0].name), str(node.outputs[0].name)  # type: ignore[union-attr]  # weighted: reads x
    for chunk in chunks:
        quantized = {name: pack.open() for name, pack in chunk.quantized.items()}
        plain = {name: pack.open() for name, pack in chunk.plain.items()}
        x = runner.quantized(quantized, weights, frozenset({read}), position)[read]
        y = runner.plain(plain, frozenset({made}), position + 1)[made]
        moments.add(*columns(node, x, y, places, generator))
    return moments


def _round(node: ir.Node, plan: Plan, old: QuantizedWeights, moments: Moments) -> QuantizedWeights:
    """The weights by descent; the bias so that the mean of every channel is the float one (rint, clamped to int32)."""
    weighted = read_weighted(node)
    rows = to_rows(node, torch.from_numpy(weighted.weight))
    scale = torch.tensor(old.weight_params.scale, dtype=torch.float64)
    scales = scale.reshape(rows.shape[0], -1, 1) if scale.numel() > 1 else scale.reshape(1, 1, 1)
    with_bias = old.bias is not None and old.bias_params is not None
    integers = round_rows(rows, scales, moments.second(with_bias), plan.scheme.largest_weight)
    weight = from_rows(node, integers, weighted.weight.shape).to(torch.int8).numpy()
    if old.bias is None or old.bias_params is None:
        return replace(old, weight=weight)
    mean_x, mean_y = moments.means()
    wanted = (mean_y - ((integers * scales) @ mean_x[:, :, None])[:, :, 0]).flatten().numpy()
    limits = np.iinfo(np.int32)
    bias = np.clip(np.rint(wanted / old.bias_params.scale_array(1)), limits.min, limits.max).astype(np.int32)
    return replace(old, weight=weight, bias=bias)


def block_error(runner: BlockRunner, chunks: Sequence[Pair], weights: Mapping[str, QuantizedWeights]) -> float:
    """Returns the mean squared difference of the block's outputs to float."""
    total, count, keep = 0.0, 0, frozenset(runner.block.outputs)
    for chunk in chunks:
        plain = runner.plain({name: pack.open() for name, pack in chunk.plain.items()}, keep)
        made = runner.quantized({name: pack.open() for name, pack in chunk.quantized.items()}, weights, keep)
        total += sum(float((made[name] - plain[name]).double().square().sum()) for name in keep)
        count += sum(plain[name].numel() for name in keep)
    return total / max(count, 1)


def advance(runner: BlockRunner, chunk: Pair, weights: Mapping[str, QuantizedWeights]) -> Pair:
    """Returns the samples at the block's outputs."""
    keep = frozenset(runner.block.outputs)
    plain = runner.plain({name: pack.open() for name, pack in chunk.plain.items()}, keep)
    made = runner.quantized({name: pack.open() for name, pack in chunk.quantized.items()}, weights, keep)
    return pack_pair(plain, made, runner.plan.params)
