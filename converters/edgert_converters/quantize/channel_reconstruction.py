"""Channel reconstruction: what rounding took out of a channel, the operators that read it make up from all channels.

Source: Bai, Chen, Shen, Qian and Liu, Unified data-free compression: pruning and quantization without fine-tuning,
2023, arXiv:2308.07209 (UDFC). The paper's are the principle (a damaged channel is about a linear combination of the
channels, equations 4-5), the fold of the combination into the weights that read the channels (equations 7-9), and that
its scales `s` are those of least squares over weights, in closed form with a ridge (equations 17-18). We had its
structure, not its formulas, before us; the formulas below are our derivation.

A channel `z_j = w_j x + b_j` is made with `v_j`, the rounded `w_j`. Normalisations are folded into both: that is how
gamma and sigma enter. With inputs taken as uncorrelated (their variance by folded normalisations, else alike), and
channels added in the shares `s_ji`, the squared error left is `|w_j - v_j - sum_i s_ji v_i|^2`, so

    S = C (G + ridge)^-1,    G = V V',    C = (W - V) V'

and a reader's weights become `U + U S` along their input channels. We deviate:

- Behind a Relu (a Clip from 0, a LeakyRelu count as one) G and C are the covariances there, of normal values around 0:
  the arc-cosine kernel of Cho and Saul, Kernel methods for deep learning, 2009, equations 5-6, and its derivative along
  the error. With the formula above only `s_jj` would be true there.
- Means: the paper weighs the shift a combination brings; here the reader's bias takes it back, with measured means.
- Channels of other groups of the maker see other inputs, those of other groups of the reader cannot be added: both get
  no share. Along depthwise operators that leaves `s_jj`, which changes a scale and no integer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert.quant import dequantize
from edgert_converters.batch_norm_notes import ChannelMoments
from edgert_converters.quantize.bias_correction import output_shift
from edgert_converters.quantize.channel_paths import ChannelPath, Reader, find_paths
from edgert_converters.quantize.draft import Calibration, Change, Draft, Settings
from edgert_converters.quantize.moments import known_moments
from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.rounding import round_node
from edgert_converters.quantize.statistics import TensorStatistics
from edgert_converters.quantize.weight_edits import from_rows, input_columns, output_rows
from edgert_converters.quantize.weighted import Weighted, int_attribute, read_weighted
from edgert_converters.quantize.weights import QuantizedWeights

__all__ = ["channel_shares", "reconstruct_channels"]

Floats = NDArray[np.float64]

_RIDGE = 0.008
"""In shares of the mean diagonal of G; the size that the paper's ablation of its second weight ends at."""
_MOST_LEFT = 0.8
"""A reader is changed where the estimate leaves at most this share: inputs are not uncorrelated, so less is luck."""
_TINY = 1e-30


def reconstruct_channels(draft: Draft, calibration: Calibration, settings: Settings) -> Draft:
    """Returns the draft with the weights of readers changed to what makes up for the rounding of what they read.

    Operators are visited in graph order, so what one took over counts as its own when its rounding is made up for.

    Args:
        draft: its plan has weights; the float graph stays as it is. Readers without a bias stay as they are.
        calibration: not looked at; its statistics give the means.
        settings: not looked at.
    """
    plan, known, meant = draft.final, known_moments(draft.model), dict[str, Weighted]()
    weights, changes = dict(plan.weights), list[Change]()
    for path in find_paths(draft.model):
        name = str(path.maker.name)
        if name not in weights:
            continue
        wanted = meant.get(name) or read_weighted(path.maker)
        for reader in path.readers:
            other = str(reader.node.name)
            if other not in weights or weights[other].bias is None or not _is_plain(path, reader):
                continue
            shares, left = _shares(path, reader, wanted, weights[name], known)
            if left > _MOST_LEFT:
                continue
            meant[other] = _folded(reader, shares)
            weights[other] = _rounded(reader.node, plan, meant[other], weights[other], draft.statistics)
            what = f"{other!r} reads its channels mixed, in shares of up to {float(np.abs(shares).max()):.2g}"
            why = f"leaves about {100.0 * left:.0f} % of what rounding took out of them"
            changes.append(Change("channel-reconstruction", name, what, why))
    return draft.changed(*changes, plan=replace(plan, weights=weights))


def channel_shares(wanted: Floats, rounded: Floats, groups: NDArray[np.int64], clamped: bool) -> tuple[Floats, float]:
    """Returns S, float64[N, N]: row j says in which shares the rounded channels make up for what channel j lost.

    The second is the power of what is lost after that over that before, by the same estimate (0 to 1).

    Args:
        wanted: float weights, one row per channel, float64[N, K], times the deviations of what they read.
        rounded: the same after rounding.
        groups: int64[N]; channels of different groups get no share of each other.
        clamped: the channels are added behind a Relu.
    """
    shares, before, after = np.zeros((len(wanted), len(wanted))), _TINY, _TINY
    for group in np.unique(groups):
        of = np.flatnonzero(groups == group)
        error = wanted[of] - rounded[of]
        gram, cross, lost = rounded[of] @ rounded[of].T, error @ rounded[of].T, np.sum(error**2, axis=1)
        if clamped:
            gram, cross, lost = _behind_relu(gram, cross, lost)
        ridge = max(_RIDGE * float(np.trace(gram)) / len(of), _TINY) if len(of) > 1 else _TINY
        solved = np.linalg.solve(gram + ridge * np.eye(len(of)), cross.T).T
        shares[np.ix_(of, of)] = solved
        before += float(np.sum(lost))
        after += float(np.sum(lost) - np.sum((2.0 * cross - solved @ gram) * solved))
    return shares, after / before


def _behind_relu(gram: Floats, cross: Floats, lost: Floats) -> tuple[Floats, Floats, Floats]:
    """Covariances of relu(z_i), relu(z_k), those of what relu(z_j) lost with relu(z_i), and the variance of that loss.

    For normal z around 0; `gram`, `cross` float64[N, N] and `lost` float64[N] are the same of z.
    """
    std = np.sqrt(np.maximum(np.diag(gram), _TINY))
    cosine = np.clip(gram / np.outer(std, std), -1.0, 1.0)
    angle = np.arccos(cosine)
    sine = np.sqrt(1.0 - cosine**2)
    products = np.outer(std, std) * (sine + (np.pi - angle) * cosine - 1.0) / (2.0 * np.pi)
    through_own = np.outer(np.diag(cross) / std, std) * (sine - 1.0) / (2.0 * np.pi)
    shift = np.diag(cross) / std / np.sqrt(2.0 * np.pi)
    return products, (np.pi - angle) / (2.0 * np.pi) * cross + through_own, 0.5 * lost - shift**2


def _is_plain(path: ChannelPath, reader: Reader) -> bool:
    """Input channels of the reader are the maker's in order, or whole planes of them flattened."""
    in_order = _groups(reader.node) == 1 or reader.channels.size == path.count
    rows = output_rows(path.maker, read_weighted(path.maker).weight)
    return reader.node.op_type != "ConvTranspose" and in_order and len(rows) == path.count


def _shares(
    path: ChannelPath, reader: Reader, wanted: Weighted, made: QuantizedWeights, known: Mapping[str, ChannelMoments]
) -> tuple[Floats, float]:
    rows = output_rows(path.maker, _by_deviation(path.maker, wanted.weight, known))
    got = output_rows(path.maker, _by_deviation(path.maker, dequantize(made.weight, made.weight_params), known))
    channel = np.arange(path.count)
    maker, group = _groups(path.maker), _groups(reader.node)
    labels = channel * maker // path.count * group + channel * group // path.count
    return channel_shares(rows, got, labels, clamped=bool(path.activations))


def _groups(node: ir.Node) -> int:
    return 1 if node.op_type == "Gemm" else int_attribute(node, "group", 1)


def _by_deviation(
    node: ir.Node, weight: NDArray[np.float32], known: Mapping[str, ChannelMoments]
) -> NDArray[np.float32]:
    """Weights times the standard deviations of the channels they multiply, where those are known."""
    moments = known.get(str(node.inputs[0].name)) if node.inputs[0] is not None else None
    if moments is None or node.op_type == "Gemm":  # Gemm may read flattened channels
        return weight
    return (weight * input_columns(node, weight, moments.std)).astype(np.float32)


def _folded(reader: Reader, shares: Floats) -> Weighted:
    """The reader's constants with U + U S for U, where U is [group, M / group, C / group, elements of a channel]."""
    weighted, group = read_weighted(reader.node), _groups(reader.node)
    rows = output_rows(reader.node, weighted.weight)
    size = len(shares) // group
    split = rows.reshape(group, len(rows) // group, size, -1)
    blocks = np.stack([shares[i * size : (i + 1) * size, i * size : (i + 1) * size] for i in range(group)])
    added = np.einsum("gmjk,gji->gmik", split, blocks)
    weight = from_rows(reader.node, (split + added).reshape(rows.shape), weighted.weight.shape)
    return replace(weighted, weight=weight.astype(np.float32))


def _rounded(
    node: ir.Node, plan: Plan, wanted: Weighted, old: QuantizedWeights, statistics: Mapping[str, TensorStatistics]
) -> QuantizedWeights:
    """The integers of the new weights; the bias keeps the mean of each output channel where the old integers had it."""
    means = statistics[str(node.inputs[0].name)].channel_means() if node.inputs[0] is not None else None
    if old.bias is None or old.bias_params is None:
        raise AssertionError(f"{node.name!r} has no bias to keep its mean with")
    bias = dequantize(old.bias, old.bias_params).astype(np.float32)
    new = round_node(node, plan, wanted, bias)
    if means is None:
        return new
    before = dequantize(old.weight, old.weight_params)
    return round_node(node, plan, wanted, bias + output_shift(node, before, new.weight, new.weight_params, means))
