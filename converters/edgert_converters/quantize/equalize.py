"""Cross-layer equalization: channels that use little of a shared range are scaled up, and down where they are read.

Source: Nagel, van Baalen, Blankevoort and Welling, Data-free quantization through weight equalization and bias
correction, 2019, arXiv:1906.04721, equations 8-11, over pairs and repeated until scales settle: what is taken where
there are no calibration samples. Meller, Finkelstein, Almog and Grobman, Same, same but different: recovering neural
network quantization error through weight factorization, 2019, arXiv:1902.01917 (scales from the activations' channel
ranges): what is taken where there are, because weights here have a scale per output channel and activations one in all.
We deviate: the exponent of a scale is chosen, a channel may be read by several operators, and a scale is kept only
where the noise at the readers' outputs falls. A Clip from 0 (ReLU6) stays as it is: a channel behind one is only scaled
up, and only as far as the samples leave room below the limit, so that nothing that was seen is cut off; it is left
alone where the samples are made up, which do not tell that room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgert.quant import dequantize, quantize
from edgert_converters.quantize.channel_paths import ChannelPath, Reader, find_paths
from edgert_converters.quantize.channel_ranges import ChannelRanges, measure_channels
from edgert_converters.quantize.draft import Calibration, Change, Draft, Settings
from edgert_converters.quantize.ranges import RangeRule, choose_params
from edgert_converters.quantize.scheme import INT8
from edgert_converters.quantize.statistics import RunningHistogram
from edgert_converters.quantize.weight_edits import scale_inputs, scale_outputs
from edgert_converters.quantize.weighted import int_attribute, read_weighted

__all__ = ["equalize", "weight_scales"]

Floats = NDArray[np.float64]

_EXPONENTS = (0.25, 0.5, 0.75)
"""1 would leave no channel room above the samples: on ProxylessNAS it estimates best and does worst on other images."""
_LEAST_GAIN = 0.9
"""A scale is kept where the estimated noise falls below this share: half a decibel."""
_WIDEST = 64.0
"""Largest factor of a channel: one that is smaller still carries nothing that eight bits could save."""
_ROUNDS, _SETTLED = 20, 1e-3
_LARGEST_WEIGHT = 127.0


def equalize(draft: Draft, calibration: Calibration, settings: Settings) -> Draft:
    """Returns the draft with scaled channels; what the graph computes on data like the calibration's stays.

    Args:
        draft: float graph.
        calibration: without samples, scales come from the weights alone.
        settings: not looked at.
    """
    model = draft.model.clone()
    paths = [path for path in find_paths(model) if path.clip is None or not calibration.is_made_up]
    ranges = measure_channels(model, _watched(paths), calibration) if calibration.count else {}
    scales = _activation_scales(paths, ranges, settings.ranges) if ranges else weight_scales(paths)
    changes = []
    for index, scale in scales.items():
        path = paths[index]
        _apply(model.graph, path, scale)
        what = f"scaled {int(np.sum(scale != 1.0))} of {path.count} channels by up to {float(np.max(1.0 / scale)):.3g}"
        changes.append(Change("equalize", str(path.maker.name), what, "they used little of the range they share"))
    RemoveUnusedNodesPass()(model)
    return draft.changed(*changes, model=model) if changes else draft


def _watched(paths: Sequence[ChannelPath]) -> list[str]:
    return list(dict.fromkeys(str(_carrier(path).name) for path in paths))


def _carrier(path: ChannelPath) -> ir.Value:
    """The value whose range is shared: behind the activation, where there is one."""
    return path.activations[-1].outputs[0] if path.activations else path.values[0]


def _activation_scales(
    paths: Sequence[ChannelPath], ranges: Mapping[str, ChannelRanges], rule: RangeRule
) -> dict[int, Floats]:
    """Scales by index of the path; paths whose estimated noise does not fall are left out."""
    kept: dict[int, Floats] = {}
    for index, path in enumerate(paths):
        seen = ranges[str(_carrier(path).name)]
        if seen.high.size != path.count:
            continue
        candidates = [_candidate(path, seen, exponent) for exponent in _EXPONENTS]
        noises = [_noise(path, seen, scale, rule) for scale in candidates]
        best = int(np.argmin(noises))
        if noises[best] < _LEAST_GAIN * _noise(path, seen, np.ones(path.count), rule):
            kept[index] = candidates[best]
    return kept


def _candidate(path: ChannelPath, seen: ChannelRanges, exponent: float) -> Floats:
    """Divisors s of the channels, float64[C], at most 1: the channel with the widest range keeps it."""
    span = np.maximum(seen.high, 0.0) - np.minimum(seen.low, 0.0)
    widest = float(span.max())
    if widest <= 0.0:
        return np.ones(path.count)
    scale = np.maximum(span / widest, 1.0 / _WIDEST) ** exponent
    if path.clip is not None:
        scale = np.maximum(scale, np.minimum(seen.high / path.clip, 1.0))
    return np.asarray(np.where(span > 0.0, scale, 1.0), np.float64)


def _noise(path: ChannelPath, seen: ChannelRanges, scale: Floats, rule: RangeRule) -> float:
    """Noise power at the readers' outputs in shares of their power: measured for activations, estimated for weights."""
    values = (seen.values / scale[:, None]).astype(np.float32)
    histogram = RunningHistogram()
    histogram.update(values, str(path.maker.name))
    params = choose_params(histogram, rule, INT8)
    error = dequantize(quantize(values, params), params) - values
    lost = np.square(error, dtype=np.float64).mean(axis=1)
    return sum(_reader_noise(reader, seen.square, scale, lost) for reader in path.readers)


def _reader_noise(reader: Reader, square: Floats, scale: Floats, lost: Floats) -> float:
    weight = _per_channel(reader.node)
    columns = _columns(reader, weight.shape)
    scaled = weight * scale[columns][:, :, None]
    signal = float(np.sum(weight**2 * square[columns][:, :, None]))
    from_activations = float(np.sum(scaled**2 * lost[columns][:, :, None]))
    weight_step = np.abs(scaled).max(axis=(1, 2)) / _LARGEST_WEIGHT
    seen = np.sum(square[columns] / scale[columns] ** 2, axis=1) * weight.shape[2]
    from_weights = float(np.sum(weight_step**2 / 12.0 * seen))
    return (from_activations + from_weights) / signal if signal > 0.0 else 0.0


def _columns(reader: Reader, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Which channel each weight of a reader multiplies: int64[M, C / group]."""
    groups = reader.channels.size // shape[1]
    by_group: NDArray[np.int64] = reader.channels.reshape(groups, -1)
    return by_group[np.arange(shape[0]) * groups // shape[0]]


def _per_channel(node: ir.Node) -> Floats:
    """Weights as float64[M, C / group, K]."""
    weight = read_weighted(node).weight.astype(np.float64)
    if node.op_type == "Gemm":
        return (weight if int_attribute(node, "transB", 0) else weight.T)[:, :, None]
    if node.op_type == "ConvTranspose":
        group = int_attribute(node, "group", 1)
        split = weight.reshape(group, weight.shape[0] // group, weight.shape[1], -1)
        return np.asarray(np.moveaxis(split, 2, 1).reshape(-1, weight.shape[0] // group, split.shape[3]), np.float64)
    return weight.reshape(*weight.shape[:2], -1)


def weight_scales(paths: Sequence[ChannelPath]) -> dict[int, Floats]:
    """Returns divisors that make each channel's weights span alike where they are made and where they are read.

    Equations 8-11: `s = sqrt(r1 / r2)` with r1 the largest weight that makes a channel and r2 the largest that reads
    it, over all paths again and again, because one operator ends a path and starts the next. Without data nobody knows
    what a Clip leaves, so paths through one are left alone.

    Args:
        paths: of a graph.

    Returns:
        float64[C] by index of the path.
    """
    nodes = {id(node): node for path in paths for node in (path.maker, *(reader.node for reader in path.readers))}
    weights = {key: np.abs(_per_channel(node)).max(axis=2) for key, node in nodes.items()}
    free = [i for i, path in enumerate(paths) if path.clip is None and len(weights[id(path.maker)]) == path.count]
    scales = {index: np.ones(paths[index].count) for index in free}
    for _ in range(_ROUNDS):
        steps = {index: _balance(paths[index], weights) for index in free}
        for index, step in steps.items():
            scales[index] = scales[index] * step
        if all(float(np.max(np.abs(step - 1.0))) < _SETTLED for step in steps.values()):
            break
    return {index: scale for index, scale in scales.items() if np.any(np.abs(scale - 1.0) > _SETTLED)}


def _balance(path: ChannelPath, weights: dict[int, Floats]) -> Floats:
    """Divides one path's channels once; `weights` (largest magnitudes, float64[M, C / group]) follow."""
    made, read = weights[id(path.maker)].max(axis=1), np.zeros(path.count)
    columns = [_columns(reader, weights[id(reader.node)].shape) for reader in path.readers]
    for reader, column in zip(path.readers, columns, strict=True):
        np.maximum.at(read, column, weights[id(reader.node)])
    step = np.sqrt(np.divide(made, read, out=np.ones(path.count), where=(read > 0) & (made > 0)))
    step = np.clip(step, 1.0 / _WIDEST, _WIDEST)
    weights[id(path.maker)] = weights[id(path.maker)] / step[:, None]
    for reader, column in zip(path.readers, columns, strict=True):
        weights[id(reader.node)] = weights[id(reader.node)] * step[column]
    return np.asarray(step, np.float64)


def _apply(graph: ir.Graph, path: ChannelPath, scale: Floats) -> None:
    scale_outputs(graph, path.maker, 1.0 / scale)
    for reader in path.readers:
        scale_inputs(graph, reader.node, scale[reader.channels])
