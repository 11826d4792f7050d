"""How well the outputs of a region's operators survive quantization, as they are or after a transform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgert.quant import dequantize, quantize
from edgert.recipe import RangeMethod
from edgert_converters.quantize.ranges import RangeRule, choose_params, params_for_range
from edgert_converters.quantize.scheme import INT8
from edgert_converters.quantize.statistics import RunningHistogram
from edgert_converters.quantize.transforms.change import ChannelChange, Floats
from edgert_converters.quantize.transforms.probe import Probe, Rows
from edgert_converters.quantize.transforms.reader import Reader, find_reader, matrices
from edgert_converters.quantize.transforms.region import Region, Seen
from edgert_converters.quantize.weighted import read_weighted
from edgert_converters.sqnr import sqnr_db

__all__ = ["fake_quantize", "float_outputs", "maker_losses_db", "output_sqnr_db", "rounded_weights"]


def output_sqnr_db(
    region: Region, change: ChannelChange | None, probe: Probe, rule: RangeRule | None
) -> tuple[float, ...]:
    """Returns the SQNR in dB of the output of every operator in `region.seen`, int8 weights and activations.

    Args:
        region: its operators are measured.
        change: the transform; None: without one.
        probe: rows that the operators read.
        rule: how ranges are chosen; None: activations stay float.
    """
    return tuple(_sqnr(seen, change, probe.rows[seen.reader.name], rule) for seen in region.seen)


def _sqnr(seen: Seen, change: ChannelChange | None, rows: Rows, rule: RangeRule | None) -> float:
    reader, channels = seen.reader, seen.member.channels
    x = rows.x.astype(np.float64)
    w = matrices(reader, read_weighted(reader.node).weight).astype(np.float64)
    expected = _products(x, w)
    found_x, found_w, factor = x, w, np.ones(1)
    if change is not None and seen.along_rows:
        ones = np.ones(channels.size)
        factor = change.along(ones, 0, channels, inverse=False)[rows.places[:, seen.member.axis]]
        found_x = x * factor[:, None, None, None]
    elif change is not None:
        parts = channels.reshape(reader.group, -1)
        found_x = np.stack([change.along(x[:, g], 1, part, inverse=False) for g, part in enumerate(parts)], axis=1)
        found_w = np.stack([change.along(w[g], 1, part, inverse=True) for g, part in enumerate(parts)])
    given = found_x if rule is None else fake_quantize(found_x, rule)
    found = _products(given, rounded_weights(found_w)) / factor.reshape(-1, 1, 1)
    return sqnr_db(float(np.square(expected).sum()), float(np.square(found - expected).sum()))


def maker_losses_db(region: Region, change: ChannelChange, probe: Probe) -> tuple[float, ...]:
    """Returns by how many dB T folded into its makers worsens what rounding their weights costs, one for each."""
    losses = []
    for node in region.makers:
        reader, rows = find_reader(node), probe.rows.get(str(node.name))
        if reader is None or rows is None:
            continue
        x, w = rows.x.astype(np.float64), matrices(reader, read_weighted(node).weight).astype(np.float64)
        channels, expected = np.arange(region.size), _products(x, w)
        mixed = change.along(w, 1, channels, inverse=False)
        # back in the old basis: T^-1 is the transpose of what weights behind T are multiplied by from the right
        back = change.along(np.eye(region.size), 1, channels, inverse=True)
        found = _products(x, rounded_weights(mixed)) @ back
        plain = float(np.square(_products(x, rounded_weights(w)) - expected).sum())
        losses.append(sqnr_db(float(np.square(found - expected).sum()), plain))
    return tuple(losses)


def float_outputs(reader: Reader, rows: Rows) -> Floats:
    """Returns what an operator makes of rows, its bias added: float64[R, M]."""
    weighted = read_weighted(reader.node)
    y = _products(rows.x.astype(np.float64), matrices(reader, weighted.weight).astype(np.float64))
    return y.reshape(len(y), -1) + (0.0 if weighted.bias is None else weighted.bias)


def fake_quantize(x: Floats, rule: RangeRule) -> Floats:
    """Returns activations rounded to int8 of a range chosen from them, as floats."""
    values: NDArray[np.float32] = x.astype(np.float32)
    if rule.method is RangeMethod.MIN_MAX:
        params = params_for_range(float(values.min()), float(values.max()))
    else:
        histogram = RunningHistogram()
        histogram.update(values, "x")
        params = choose_params(histogram, rule, INT8)
    return dequantize(quantize(values, params), params).astype(np.float64)


def rounded_weights(w: Floats) -> Floats:
    """Returns weights [group, M, C, K] rounded to int8 per output channel, as floats."""
    scale = np.abs(w).max(axis=(2, 3), keepdims=True) / INT8.largest_weight
    scale = np.where(scale > 0, scale, 1.0)
    rounded: Floats = np.rint(w / scale) * scale
    return rounded


def _products(x: Floats, w: Floats) -> Floats:
    """[R, G, C, K] times [G, M, C, K]: [R, G, M]."""
    left = x.transpose(1, 0, 2, 3).reshape(x.shape[1], x.shape[0], -1)
    products: Floats = np.matmul(left, w.reshape(*w.shape[:2], -1).transpose(0, 2, 1))
    return products.transpose(1, 0, 2)
