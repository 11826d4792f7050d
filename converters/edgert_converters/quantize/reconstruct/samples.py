"""Calibration samples as they stand between two blocks, in float and in a plan's integers, within bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import Samples
from edgert_converters.quantize.reconstruct.blocks import Block
from edgert_converters.quantize.statistics import TensorStatistics

__all__ = ["MOST_SAMPLES", "Pack", "Pair", "Sizes", "first_samples", "pack_pair", "plan_sizes", "stack"]

MOST_SAMPLES = 128
"""Used of the calibration samples: bounds time and memory, whatever their number."""
CACHE_BYTES, CHUNK_BYTES = 96_000_000, 24_000_000
"""Between blocks (float16 and int8 are kept), and of all values inside a block at once."""

_LARGEST_HALF = 6e4


@dataclass(frozen=True, slots=True)
class Pack:
    """One tensor: float16, or the integers of `params` where it has 8-bit ones (exact)."""

    stored: Tensor
    params: QuantParams | None = None

    @staticmethod
    def of(x: Tensor, params: QuantParams | None = None) -> Pack:
        """Returns the tensor packed; `params` are those it was quantized with."""
        if params is None or params.dtype is not DType.INT8:
            return Pack(x.half() if params is None and float(x.abs().max()) < _LARGEST_HALF else x)
        return Pack((x / params.scale[0]).round_().add_(params.zero_point[0]).to(torch.int8), params)

    def open(self) -> Tensor:
        """Returns it as float32."""
        if self.params is None or self.stored.dtype is not torch.int8:
            return self.stored.float()
        return (self.stored.float() - self.params.zero_point[0]) * self.params.scale[0]


@dataclass(frozen=True, slots=True)
class Pair:
    """Some samples' values by name: in float, and as the integers so far make them."""

    plain: Mapping[str, Pack]
    quantized: Mapping[str, Pack]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Samples used, samples run at once, and how many of the last chunks are held back (0: there are too few)."""

    count: int
    chunk: int
    held: int


def plan_sizes(blocks: Sequence[Block], statistics: Mapping[str, TensorStatistics], count: int) -> Sizes:
    """Returns how many samples fit; sizes of values are known from their statistics.

    Args:
        blocks: of the network.
        statistics: over `count` samples; values that have none are taken as nothing.
        count: calibration samples.
    """

    def elements(name: str) -> int:
        return statistics[name].histogram.count // count if name in statistics else 0

    between = max([1, *(sum(elements(name) for name in (*block.inputs, *block.outputs)) for block in blocks)])
    inside = max(sum(elements(str(v.name)) for node in block.nodes for v in node.outputs) for block in blocks)
    used = max(1, min(count, MOST_SAMPLES, CACHE_BYTES // (3 * between)))
    chunk = max(1, min(16, used // 8, CHUNK_BYTES // (4 * max(inside, between))))
    chunks = -(-used // chunk)
    return Sizes(used, chunk, chunks // 8 if chunks >= 8 else min(1, chunks - 1))


def pack_pair(plain: Mapping[str, Tensor], quantized: Mapping[str, Tensor], params: Mapping[str, QuantParams]) -> Pair:
    """Returns a chunk's values packed; quantized ones by their parameters."""
    return Pair(
        {name: Pack.of(x) for name, x in plain.items()},
        {name: Pack.of(x, params.get(name)) for name, x in quantized.items()},
    )


def first_samples(samples: Samples, count: int) -> Iterator[Mapping[str, Array]]:
    """At most `count` samples from the start."""
    for index, sample in enumerate(samples()):
        if index == count:
            return
        yield sample


def stack(samples: Sequence[Mapping[str, Array]]) -> dict[str, Tensor]:
    """Returns several samples as one batch."""
    return {name: torch.from_numpy(np.concatenate([s[name] for s in samples])) for name in samples[0]}
