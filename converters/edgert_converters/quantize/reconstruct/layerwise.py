"""Chooses integers for a network in order, block by block, and keeps what held-back samples like; with AdaRound's rule.

Source: Nagel, Amjad, van Baalen, Louizos and Blankevoort, Up or down? Adaptive rounding for post-training quantization,
2020, arXiv:2004.10568, equations 13 and 25: every operator is rounded on the inputs that the quantized ones before it
give, against its float output. We deviate in the solver (descent.py), in leaving the activation function out of the
objective, in the bias, which takes what is left of each channel's mean, and in a check: a block's new integers stay
only when its output is nearer to float on samples that did not choose them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from edgert.dtypes import DType
from edgert_converters.engine import Runner, load_runner
from edgert_converters.ops.spec import Array
from edgert_converters.passes.output_check import first_line
from edgert_converters.quantize.calibrate import expose_values
from edgert_converters.quantize.draft import Calibration, Change, Draft, Settings
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.reconstruct.blocks import Block, cut_blocks
from edgert_converters.quantize.reconstruct.fake_quant import fixed_quantizer
from edgert_converters.quantize.reconstruct.layers import COLUMNS, BlockRunner, advance, block_error, round_block
from edgert_converters.quantize.reconstruct.samples import (
    Pair,
    Sizes,
    first_samples,
    pack_pair,
    plan_sizes,
    stack,
)
from edgert_converters.quantize.reconstruct.torch_operations import UnsupportedError
from edgert_converters.quantize.weights import QuantizedWeights

__all__ = ["Rounder", "Walk", "round_by_layers", "round_network"]

TOLERANCE = 1e-3
"""Largest difference between torch and ONNX Runtime at a block's end, as a share of its largest magnitude."""

Values: TypeAlias = dict[str, Tensor]


class _ValuesOf(Protocol):
    """Makes a chunk's values, in float and quantized, of samples."""

    def __call__(self, walk: Walk, batch: Sequence[Mapping[str, Array]]) -> tuple[Values, Values]: ...


class Rounder(Protocol):
    """Chooses new integers for the weighted operators of the walk's next block."""

    def __call__(self, walk: Walk, runner: BlockRunner) -> dict[str, QuantizedWeights]:
        """Returns them by node name; operators that are not there stay as they are."""
        ...


@dataclass(slots=True)
class Walk:
    """The way through the blocks: `pairs` are samples at the next block's inputs, the last `held` of them held back."""

    draft: Draft
    calibration: Calibration
    sizes: Sizes
    generator: torch.Generator
    weights: dict[str, QuantizedWeights]
    step: str
    is_over: Callable[[], bool]
    rounder: Rounder
    pairs: list[Pair] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    @property
    def plan(self) -> Plan:
        """With all integers so far."""
        return replace(self.draft.final, weights=self.weights)

    @property
    def learned(self) -> list[Pair]:
        """Samples that choose integers."""
        return self.pairs[: -self.sizes.held] if self.sizes.held else self.pairs

    @property
    def held(self) -> list[Pair]:
        """Samples that judge them; where there is one chunk only, the same."""
        return self.pairs[-self.sizes.held :] if self.sizes.held else self.pairs

    def say(self, block: Block, what: str, why: str) -> None:
        """Adds a line to the report."""
        self.changes.append(Change(self.step, block.label, what, why))


def round_network(
    draft: Draft,
    calibration: Calibration,
    settings: Settings,
    step: str,
    is_over: Callable[[], bool],
    rounder: Rounder,
) -> Draft:
    """Returns the draft with the integers of its weighted operators chosen anew, and what each block gained.

    Args:
        draft: with a plan whose weights are rounded; all scales stay as they are.
        calibration: at most `MOST_SAMPLES` of its samples are used, an eighth of them held back.
        settings: its seed and, for the report, its time limit.
        step: name of the step, for the report.
        is_over: says when time is up; blocks that are not reached stay as they are.
        rounder: chooses the integers of one block.
    """
    blocks = cut_blocks(draft.model, draft.final)
    sizes = plan_sizes(blocks, draft.statistics, calibration.count)
    generator = torch.Generator().manual_seed(settings.seed)
    walk = Walk(draft, calibration, sizes, generator, dict(draft.final.weights), step, is_over, rounder)
    expected = _float_ends(walk, blocks)
    with torch.no_grad():
        _load(walk, _inputs_of)
        for block in blocks:
            if is_over():
                walk.say(block, "left as it is, with all after it", f"the time limit of {settings.time_limit_s:g} s")
                break
            _take_block(walk, block, expected)
    return draft.changed(*walk.changes, plan=walk.plan)


def _float_ends(walk: Walk, blocks: Sequence[Block]) -> dict[str, Tensor]:
    """The first sample, and what ONNX Runtime makes of it at the ends of all blocks."""
    names = [name for block in blocks for name in block.outputs]
    (sample,) = first_samples(walk.calibration.samples, 1)
    made = load_runner(expose_values(walk.draft.model, names))(sample)
    return stack([{**sample, **{name: made[name] for name in names}}])


def _load(walk: Walk, values_of: _ValuesOf) -> None:
    """Fills the pairs anew from the calibration samples."""
    walk.pairs.clear()
    params, ready = walk.draft.final.params, first_samples(walk.calibration.samples, walk.sizes.count)
    while batch := list(itertools.islice(ready, walk.sizes.chunk)):
        plain, quantized = values_of(walk, batch)
        walk.pairs.append(pack_pair(plain, quantized, params))


def _inputs_of(walk: Walk, batch: Sequence[Mapping[str, Array]]) -> tuple[Values, Values]:
    """The graph's inputs, and what the plan's quantization makes of them."""
    quantize, plain = fixed_quantizer(walk.draft.final.params), stack(batch)
    return plain, {name: quantize(name, x) for name, x in plain.items()}


def _take_block(walk: Walk, block: Block, expected: Mapping[str, Tensor]) -> None:
    try:
        runner = BlockRunner(block, walk.draft.final)
        _check(runner, expected)
    except UnsupportedError as error:
        walk.say(block, "left as it is", str(error))
        _pass_by(walk, block)
        return
    rounded = walk.rounder(walk, runner)
    before = block_error(runner, walk.held, walk.weights)
    after = block_error(runner, walk.held, {**walk.weights, **rounded})
    if rounded and after < before:
        walk.weights |= rounded
        walk.say(block, f"mean squared error {before:.4g} -> {after:.4g}", "nearer to float on held-back samples")
    elif rounded:
        walk.say(block, "left as it is", f"new integers gave mean squared error {before:.4g} -> {after:.4g}")
    walk.pairs[:] = [advance(runner, pair, walk.weights) for pair in walk.pairs]


def round_by_layers(walk: Walk, runner: BlockRunner) -> dict[str, QuantizedWeights]:
    """Returns AdaRound's integers of a block (layers.py)."""
    places = max(16, COLUMNS // walk.sizes.count)
    return round_block(runner, walk.learned, walk.weights, places, walk.generator, walk.is_over)


def _check(runner: BlockRunner, expected: Mapping[str, Tensor]) -> None:
    """Raises UnsupportedError where torch does not compute what ONNX Runtime does."""
    keep = frozenset(runner.block.outputs)
    try:
        made = runner.plain({name: expected[name] for name in runner.block.inputs}, keep)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:  # what torch raises on shapes it does not take
        raise UnsupportedError(f"torch cannot run it ({first_line(error)})") from error
    for name in keep:
        wanted = expected[name]
        if made[name].shape != wanted.shape or not torch.allclose(
            made[name], wanted, rtol=0.0, atol=TOLERANCE * max(float(wanted.abs().max()), 1e-6)
        ):
            raise UnsupportedError("torch computes something else there than ONNX Runtime")


def _pass_by(walk: Walk, block: Block) -> None:
    """Gets the samples behind a block that torch cannot run from ONNX Runtime."""
    names = list(block.outputs)
    encoding = walk.draft.final.scheme.activation or DType.INT8
    plain = load_runner(expose_values(walk.draft.model, names))
    quantized = load_runner(expose_values(apply_plan(walk.draft.model, walk.plan, encoding), names))

    def values_of(walk: Walk, batch: Sequence[Mapping[str, Array]]) -> tuple[Values, Values]:
        return _run_all(plain, batch, names), _run_all(quantized, batch, names)

    _load(walk, values_of)


def _run_all(run: Runner, batch: Sequence[Mapping[str, Array]], names: Sequence[str]) -> Values:
    made = [run(sample) for sample in batch]
    return stack([{name: outputs[name] for name in names} for outputs in made])
