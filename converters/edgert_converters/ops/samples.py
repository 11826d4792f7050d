"""Test data for the operators' cases: deterministic, spread over both signs, no ties by design."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ints", "normal", "positive", "scalar"]


def normal(*shape: int, seed: int = 0, spread: float = 1.0) -> NDArray[np.float32]:
    """Returns float32 normal samples with standard deviation `spread`."""
    return (np.random.default_rng(seed).standard_normal(shape) * spread).astype(np.float32)


def positive(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Returns float32 samples in [0.1, 3)."""
    return np.random.default_rng(seed).uniform(0.1, 3.0, shape).astype(np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    """Returns a one-dimensional int64 array, as ONNX takes shapes, axes and indices."""
    return np.asarray(values, np.int64)


def scalar(value: float) -> NDArray[np.float32]:
    """Returns a float32 array without dimensions."""
    return np.asarray(value, np.float32)
