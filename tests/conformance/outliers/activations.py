"""Seeded activations with the statistics that inner layers of trained networks show."""

from __future__ import annotations

import numpy as np

from tests.conformance.outliers.block import Floats

_STATISTICS_SEED = 77
_SPREAD = 0.5
"""Standard deviation of the logarithm of channel standard deviations; in zoo networks medians are 0.3 to 1.7."""


def feature_map(seed: int, channels: int, size: int) -> Floats:
    """A feature map float32[1, C, size, size]: channels differ in mean and spread, neighbours are alike."""
    rng = np.random.default_rng(seed)
    std, mean = _channel_statistics(channels)
    coarse = rng.standard_normal((channels, -(-size // 4), -(-size // 4))).repeat(4, 1).repeat(4, 2)
    values = 0.8 * coarse[:, :size, :size] + 0.6 * rng.standard_normal((channels, size, size))
    return (values * std[:, None, None] + mean[:, None, None])[None].astype(np.float32)


def tokens(seed: int, count: int, channels: int) -> Floats:
    """A sequence float32[1, count, C]: channels differ in mean and spread, steps drift."""
    rng = np.random.default_rng(seed)
    std, mean = _channel_statistics(channels)
    drift = np.cumsum(rng.standard_normal((count, channels)), axis=0) / np.sqrt(np.arange(1, count + 1))[:, None]
    values = 0.6 * drift + 0.8 * rng.standard_normal((count, channels))
    return (values * std + mean)[None].astype(np.float32)


def _channel_statistics(channels: int) -> tuple[Floats, Floats]:
    """The same for every sample: standard deviations and means of channels."""
    rng = np.random.default_rng(_STATISTICS_SEED)
    std = np.exp(rng.normal(0.0, _SPREAD, channels))
    return std.astype(np.float32), (0.5 * std * rng.standard_normal(channels)).astype(np.float32)
