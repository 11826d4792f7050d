"""Gives the model's inner values the means and deviations that its folded normalisations remember.

Source: Nagel, van Baalen, Blankevoort and Welling, Data-free quantization through weight equalization and bias
correction, 2019, arXiv:1906.04721, section 4 (beta and |gamma| of a folded BatchNormalization are mean and standard
deviation of its output over the training data). We deviate: they are not used as a range of beta +- n gamma, which says
nothing about sums, pools and operators without a normalisation; instead synthetic samples run through a copy of the
model in which each such operator is scaled and shifted per channel until its output has these moments, so that all
that follows it sees them too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert_converters.batch_norm_notes import ChannelMoments, read_moments
from edgert_converters.engine import load_runner
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import expose_values
from edgert_converters.quantize.weight_edits import scale_outputs

__all__ = ["align_moments", "nodes_with_moments"]

_LIMIT = 4.0
"""Largest factor by which a channel is scaled: beyond it the synthetic samples hardly excite the channel at all."""


def nodes_with_moments(model: ir.Model) -> list[ir.Node]:
    """The nodes that a normalisation was folded into, in graph order."""
    return [node for node in model.graph if read_moments(node) is not None]


def align_moments(model: ir.Model, samples: Sequence[Mapping[str, Array]]) -> ir.Model:
    """Returns a copy of the model whose normalised values have the noted moments over the samples.

    Args:
        model: float model; not changed.
        samples: inputs by name, batch 1.
    """
    copy = model.clone()
    for node in nodes_with_moments(copy):
        known = read_moments(node)
        if known is None or not node.outputs[0].name:
            continue
        found = _measure(copy, node.outputs[0].name, samples)
        if found is None or found.mean.size != known.mean.size:
            continue
        # a channel that never moves cannot be scaled to move
        ratio = np.divide(known.std, found.std, out=np.ones_like(known.std), where=found.std > 0)
        factor = np.clip(ratio, 1.0 / _LIMIT, _LIMIT)
        scale_outputs(copy.graph, node, factor, known.mean - factor * found.mean)
    return copy


def _measure(model: ir.Model, name: str, samples: Sequence[Mapping[str, Array]]) -> ChannelMoments | None:
    part = expose_values(model, [name])
    outputs = [value for value in part.graph.outputs if value.name == name]
    part.graph.outputs[:] = outputs  # the engine then leaves out what comes after it
    run = load_runner(part)
    values = [np.asarray(run(sample)[name], np.float64) for sample in samples]
    if values[0].ndim < 2:
        return None
    mean = np.mean([_channel_means(x) for x in values], axis=0)
    square = np.mean([_channel_means(x**2) for x in values], axis=0)
    return ChannelMoments(mean, np.sqrt(np.maximum(square - mean**2, 0.0)))


def _channel_means(x: NDArray[np.float64]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = x.mean(axis=tuple(axis for axis in range(x.ndim) if axis != 1))
    return means
