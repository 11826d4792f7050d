"""Weights in the order and form that the kernels with the DSP extension read (edgert_dot_dsp.h)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgert_converters.exporters.c.kernels.channels import Channels
from edgert_converters.exporters.c.network import Constant

__all__ = ["bytes_order", "can_pack", "pack_weights", "padded_terms", "widened_order"]

_ABSENT = -1
_LARGEST_PARTNER_SUM = (1 << 23) - 1
_TAILS = {0: (), 1: (0, _ABSENT), 2: (0, 1), 3: (0, 2, 1, _ABSENT)}


def widened_order(segments: int, length: int) -> NDArray[np.int64]:
    """Returns which term stands at every place once `edgert_widen` took `segments` stretches of `length` terms.

    Returns:
        int64[places], a multiple of four; -1 where no term stands.
    """
    whole = length // 4 * 4
    stretch = [first + k for first in range(0, whole, 4) for k in (0, 2, 1, 3)]
    stretch += [k if k == _ABSENT else whole + k for k in _TAILS[length % 4]]
    places = [k if k == _ABSENT else part * length + k for part in range(segments) for k in stretch]
    places += [_ABSENT] * (-len(places) % 4)
    return np.asarray(places, np.int64)


def bytes_order(length: int) -> NDArray[np.int64]:
    """Returns which term stands at every place where whole words of four bytes are split, zeros behind the last term.

    Returns:
        int64[places], a multiple of four; -1 where no term stands.
    """
    order = widened_order(1, -(-length // 4) * 4)
    return np.where(order < length, order, _ABSENT)


def padded_terms(segments: int, length: int) -> int:
    """Returns how many places `widened_order` has."""
    return len(widened_order(segments, length))


def can_pack(channels: Channels) -> bool:
    """True where two channels can share words: no weight is -128, and every second channel's sum fits 24 bits."""
    low, high = channels.range
    partners = np.maximum(np.abs(low), np.abs(high))[1::2]
    return bool(channels.weights.min(initial=0) > -128 and partners.max(initial=0) <= _LARGEST_PARTNER_SUM)


def pack_weights(channels: Channels, order: NDArray[np.int64]) -> Constant:
    """Returns the stream of words of `edgert_dot_2x4`.

    Args:
        channels: that `can_pack` takes; up to three more without weights fill the last four.
        order: of the terms, from `widened_order`.
    """
    outputs = len(channels.bias)
    fours = -(-outputs // 4)
    weights = np.zeros((fours * 4, len(order)), np.int64)
    weights[:outputs] = np.where(order == _ABSENT, 0, channels.weights.astype(np.int64)[:, order])
    bias = np.zeros(fours * 4, np.int64)
    bias[:outputs] = channels.bias
    halves = weights[0::2] + 256 * weights[1::2]  # [pairs of channels, terms]
    words = _wrapped((halves[:, 0::2] & 0xFFFF) | (halves[:, 1::2] << 16))
    streams = words.reshape(fours, 2, -1).transpose(0, 2, 1).reshape(fours, -1)
    starts = np.stack([bias[0::2], bias[0::2] + 256 * bias[1::2]], axis=1).reshape(fours, 4)
    stream = np.concatenate([_wrapped(starts), streams], axis=1).reshape(-1)
    return Constant("weights", "int32_t", stream, f"[{outputs}, {channels.weights.shape[1]}], biases and pairs")


def _wrapped(values: NDArray[np.int64]) -> NDArray[np.int32]:
    """The low 32 bits of every value."""
    return (values & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
