"""High bias absorption: what a channel never falls below moves from the activation into the biases of what reads it.

Source: Nagel, van Baalen, Blankevoort and Welling, Data-free quantization through weight equalization and bias
correction, 2019, arXiv:1906.04721, section 4.1.3, equations 15-16. We deviate: where no normalisation says mean and
deviation, the smallest number that calibration shows before the clamp is absorbed; where readers pad with zeros nothing
is, because the padding stands for another number then; and nothing is unless the range shared by all channels shrinks.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgert_converters.batch_norm_notes import read_moments
from edgert_converters.quantize.channel_paths import ChannelPath, find_paths
from edgert_converters.quantize.channel_ranges import ChannelRanges, measure_channels
from edgert_converters.quantize.draft import Calibration, Change, Draft, Settings
from edgert_converters.quantize.weight_edits import input_columns, output_rows, scale_outputs, write_weighted
from edgert_converters.quantize.weighted import read_weighted

__all__ = ["absorb_biases"]

Floats = NDArray[np.float64]

_DEVIATIONS = 3.0
"""A normal value falls below its mean by more in 0.13 % of all cases."""
_LEAST_GAIN = 0.95
"""The shared range must shrink below this share of itself."""


def absorb_biases(draft: Draft, calibration: Calibration, settings: Settings) -> Draft:
    """Returns the draft with constant parts of channels moved into the biases behind them.

    Args:
        draft: float graph.
        calibration: says what channels span; without samples nothing is absorbed.
        settings: not looked at.
    """
    model = draft.model.clone()
    paths = [path for path in find_paths(model) if not path.pads and _is_linear_above_zero(path)]
    names = [str(path.values[0].name) for path in paths]
    ranges = measure_channels(model, names, calibration) if calibration.count else {}
    changes = []
    for path, name in zip(paths, names, strict=True):
        amount = _amount(path, ranges.get(name))
        if amount is not None:
            _absorb(model.graph, path, amount)
            what = f"moved up to {float(amount.max()):.3g} out of {int(np.sum(amount > 0))} of {path.count} channels"
            changes.append(Change("absorb-bias", str(path.maker.name), what, "their clamp never cuts that off"))
    RemoveUnusedNodesPass()(model)
    return draft.changed(*changes, model=model) if changes else draft


def _is_linear_above_zero(path: ChannelPath) -> bool:
    """Nothing on the way but clamps at zero and averages: a constant passes them unchanged."""
    return bool(path.activations) and all(node.op_type in {"Relu", "Clip"} for node in path.activations)


def _amount(path: ChannelPath, seen: ChannelRanges | None) -> Floats | None:
    """What to absorb of each channel, float64[C] of at least 0, or None where it gains nothing."""
    if seen is None or seen.low.size != path.count:
        return None
    moments = read_moments(path.maker)
    lowest = seen.low if moments is None else moments.mean - _DEVIATIONS * moments.std
    amount = np.maximum(lowest, 0.0)
    if path.clip is not None:  # below the limit the clamp does nothing, so moving the channel down changes nothing
        amount = np.where(seen.high < path.clip, amount, 0.0)
    before, after = float(np.maximum(seen.high, 0.0).max()), float(np.maximum(seen.high - amount, 0.0).max())
    return amount if after < _LEAST_GAIN * before else None


def _absorb(graph: ir.Graph, path: ChannelPath, amount: Floats) -> None:
    scale_outputs(graph, path.maker, np.ones(path.count), -amount)
    for reader in path.readers:
        weighted = read_weighted(reader.node)
        columns = weighted.weight * input_columns(reader.node, weighted.weight, amount[reader.channels])
        gained = output_rows(reader.node, np.asarray(columns, np.float32)).sum(axis=1)
        old = np.zeros(gained.size) if weighted.bias is None else weighted.bias.astype(np.float64)
        write_weighted(graph, reader.node, weighted.weight, np.broadcast_to(old, gained.shape) + gained)
