"""Block reconstruction: the integers of a block's weights and biases chosen together, by what the block computes.

Source: Li, Gong, Tan, Yang, Hu, Zhang, Yu, Wang and Gu, BRECQ: pushing the limit of post-training quantization by block
reconstruction, 2021, arXiv:2102.05426, equation 10 and algorithm 1; the inputs of a block are drawn, element by
element, from the float and the quantized network (Wei, Gong, Li, Liu and Yu, QDrop, 2022, arXiv:2203.05740). We deviate
from both: all entries of the Fisher diagonal are one, so the objective is the mean squared error; rounding is learned
straight through, from the integers the plan has; biases are learned too, activation scales are not; a block keeps its
new integers only when held-back samples like them (layerwise.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from edgert_converters.quantize.draft import Calibration, Draft, Settings
from edgert_converters.quantize.reconstruct.blocks import Block, cut_blocks
from edgert_converters.quantize.reconstruct.fake_quant import learning_quantizer, round_through, rounded_constants
from edgert_converters.quantize.reconstruct.layers import BlockRunner, block_error
from edgert_converters.quantize.reconstruct.layerwise import Walk, round_network
from edgert_converters.quantize.reconstruct.samples import Pack, Pair
from edgert_converters.quantize.reconstruct.torch_graph import run_instructions
from edgert_converters.quantize.weighted import read_weighted
from edgert_converters.quantize.weights import QuantizedWeights

__all__ = ["reconstruct_blocks"]

BATCH = 32
"""Samples of one step, fewer where a block's values are large."""
ITERATIONS = 300
"""Steps of one block where time allows."""
LOOKED_AT = 50
"""Steps between looks at the error of the integers so far: it jumps, and the best is kept."""
LEARNING_RATE = 4e-3
"""Adam's, in steps of a weight; it falls to nothing along half a cosine."""
MIXED = 0.5
"""Share of a block's inputs that come from the float network."""
_NEAREST = 0.49
"""A start is the float weight, moved to within this of the integer it has now."""
_BIAS_STEP = 64.0
"""Bias steps that weigh as much as one step of a weight: its input is taken to be of this many steps."""


def reconstruct_blocks(draft: Draft, calibration: Calibration, settings: Settings, step: str) -> Draft:
    """Returns the draft with the integers of each block learned, in order, and what each block gained.

    Args:
        draft: with a plan whose weights are rounded; all scales stay as they are.
        calibration: at most `MOST_SAMPLES` of its samples are used, an eighth of them held back.
        settings: its seed and its time limit, which blocks share by their multiplications. Runs that are not cut
            short by it give the same integers on the same machine.
        step: name of the step, for the report.
    """
    end = time.monotonic() + settings.time_limit_s
    blocks = cut_blocks(draft.model, draft.final)
    work = {block.label: _multiplications(block, draft, calibration.count) for block in blocks}

    def learn(walk: Walk, runner: BlockRunner) -> dict[str, QuantizedWeights]:
        labels = [block.label for block in blocks]
        rest = sum(work[label] for label in labels[labels.index(runner.block.label) :])
        now = time.monotonic()
        return _learn(walk, runner, now + 0.9 * (end - now) * work[runner.block.label] / rest)

    torch.manual_seed(settings.seed)
    return round_network(draft, calibration, settings, step, lambda: time.monotonic() > end, learn)


def _multiplications(block: Block, draft: Draft, count: int) -> int:
    """Of one sample; an operator whose output has no statistics counts its weights once."""
    total = 1
    for node in block.nodes:
        if str(node.name) not in draft.final.weights:
            continue
        weighted, known = read_weighted(node), draft.statistics.get(str(node.outputs[0].name))
        channels = 1 if weighted.axis is None else weighted.weight.shape[weighted.axis]
        places = 1 if known is None else max(1, known.histogram.count // count // channels)
        total += weighted.weight.size * places
    return total


@dataclass(frozen=True, slots=True)
class _Learned:
    """One operator: `weight` in steps and `bias` in `_BIAS_STEP` steps away from the plan's, both leaves."""

    old: QuantizedWeights
    largest: int
    scale: Tensor
    weight: Tensor
    bias: Tensor | None

    @staticmethod
    def of(node: ir.Node, old: QuantizedWeights, largest: int) -> _Learned:
        wanted = torch.from_numpy(read_weighted(node).weight.astype(np.float32))
        scale = torch.from_numpy(np.asarray(old.weight_params.scale_array(wanted.ndim), np.float32))
        now = torch.from_numpy(old.weight).float()
        start = (wanted / scale).clamp(now - _NEAREST, now + _NEAREST)
        bias = None if old.bias is None else torch.zeros(old.bias.shape)
        return _Learned(old, largest, scale, start.requires_grad_(), None if bias is None else bias.requires_grad_())

    @property
    def leaves(self) -> list[Tensor]:
        return [self.weight] if self.bias is None else [self.weight, self.bias]

    def constants(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias as the integers stand for, with gradients."""
        weight = round_through(self.weight).clamp(-self.largest, self.largest) * self.scale
        bias = rounded_constants(self.old)[1]
        if bias is None or self.bias is None or self.old.bias_params is None:
            return weight, bias
        unit = torch.from_numpy(np.asarray(self.old.bias_params.scale_array(1), np.float32)) * _BIAS_STEP
        return weight, bias + self.bias * unit

    def harden(self) -> QuantizedWeights:
        """The integers (bias: rint, clamped to int32)."""
        weight = self.weight.detach().round().clamp(-self.largest, self.largest).to(torch.int8).numpy()
        if self.bias is None or self.old.bias is None:
            return replace(self.old, weight=weight)
        moved = self.old.bias + np.rint(self.bias.detach().numpy().astype(np.float64) * _BIAS_STEP)
        limits = np.iinfo(np.int32)
        return replace(self.old, weight=weight, bias=np.clip(moved, limits.min, limits.max).astype(np.int32))


def _learn(walk: Walk, runner: BlockRunner, end: float) -> dict[str, QuantizedWeights]:
    """New integers of a block after as many steps as fit until `end`."""
    nodes = {str(node.name): node for node in runner.block.nodes if str(node.name) in walk.weights}
    largest = runner.plan.scheme.largest_weight
    learned = {name: _Learned.of(node, walk.weights[name], largest) for name, node in nodes.items()}
    adam = torch.optim.Adam([leaf for one in learned.values() for leaf in one.leaves], lr=LEARNING_RATE)
    targets = _targets(runner, walk.learned)
    rows = [(chunk, row) for chunk, target in enumerate(targets) for row in range(_rows(target))]
    size, begin = min(BATCH, len(rows), 4 * walk.sizes.chunk), time.monotonic()
    best: tuple[float, dict[str, QuantizedWeights]] = (math.inf, {})
    for iteration in range(ITERATIONS):
        done = max(iteration / ITERATIONS, (time.monotonic() - begin) / max(end - begin, 1e-9))
        if done >= 1:
            break
        for group in adam.param_groups:
            group["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * done)) / 2
        drawn = torch.randperm(len(rows), generator=walk.generator)[:size].tolist()
        with torch.enable_grad():
            adam.zero_grad()
            _loss(walk, runner, learned, targets, [rows[index] for index in drawn]).backward()
            adam.step()
        if (iteration + 1) % LOOKED_AT == 0:
            best = _better(walk, runner, best, learned)
    return _better(walk, runner, best, learned)[1]


def _better(
    walk: Walk, runner: BlockRunner, best: tuple[float, dict[str, QuantizedWeights]], learned: Mapping[str, _Learned]
) -> tuple[float, dict[str, QuantizedWeights]]:
    """The integers of less error on the samples that choose, and that error."""
    new = {name: one.harden() for name, one in learned.items()}
    error = block_error(runner, walk.learned, {**walk.weights, **new})
    return (error, new) if error < best[0] else best


def _targets(runner: BlockRunner, chunks: Sequence[Pair]) -> list[dict[str, Pack]]:
    """What the float block makes of every chunk."""
    keep = frozenset(runner.block.outputs)
    made = (runner.plain({name: pack.open() for name, pack in chunk.plain.items()}, keep) for chunk in chunks)
    return [{name: Pack.of(x) for name, x in values.items()} for values in made]


def _rows(packs: Mapping[str, Pack]) -> int:
    return min(int(pack.stored.shape[0]) for pack in packs.values())


def _loss(
    walk: Walk,
    runner: BlockRunner,
    learned: Mapping[str, _Learned],
    targets: Sequence[Mapping[str, Pack]],
    rows: Sequence[tuple[int, int]],
) -> Tensor:
    """Squared error of the block's outputs as a share of the float outputs' mean square."""
    chunks, values = walk.learned, {}
    for name in runner.block.inputs:
        plain = _gather([chunks[chunk].plain[name] for chunk, _ in rows], rows)
        made = _gather([chunks[chunk].quantized[name] for chunk, _ in rows], rows)
        values[name] = torch.where(torch.rand(plain.shape, generator=walk.generator) < MIXED, plain, made)
    constants = {name: one.constants() for name, one in learned.items()}
    keep = frozenset(runner.block.outputs)
    quantizer = learning_quantizer(runner.plan.params)
    given = run_instructions(
        runner.instructions,
        values,
        lambda name: constants[name] if name in constants else runner.floats[name],
        quantizer,
        keep,
    )
    losses = []
    for name in runner.block.outputs:
        wanted = _gather([targets[chunk][name] for chunk, _ in rows], rows)
        losses.append((given[name] - wanted).square().mean() / wanted.square().mean().clamp_min(1e-12))
    return torch.stack(losses).sum()


def _gather(packs: Sequence[Pack], rows: Sequence[tuple[int, int]]) -> Tensor:
    """One row of each pack, float32."""
    one = [replace(pack, stored=pack.stored[row : row + 1]) for pack, (_, row) in zip(packs, rows, strict=True)]
    return torch.cat([pack.open() for pack in one])
