"""Streaming statistics of one activation along its axes: constant memory, whatever the number of samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["AxisStatistics"]


class AxisStatistics:
    """The largest magnitude along every axis but the first, and E[x x^T] of one axis, over all samples seen."""

    __slots__ = ("_axis", "_count", "_largest", "_only", "_products")

    def __init__(self, moments_axis: int | None = None, only: int | None = None) -> None:
        """`moments_axis` is the axis whose second moments are kept; `only` the one whose magnitudes are, None: all."""
        self._only = only
        self._axis = moments_axis
        self._largest: dict[int, NDArray[np.float64]] = {}
        self._products: NDArray[np.float64] | None = None
        self._count = 0

    def update(self, x: NDArray[np.float32]) -> None:
        """Adds one sample. An axis whose size changes from sample to sample is dropped."""
        magnitude = np.abs(x)
        for axis in range(1, x.ndim) if self._only is None else (self._only,):
            others = tuple(i for i in range(x.ndim) if i != axis)
            largest: NDArray[np.float64] = np.asarray(magnitude.max(axis=others, initial=0.0), np.float64)
            before = self._largest.get(axis, np.zeros(largest.shape))
            self._largest[axis] = np.maximum(before, largest) if before.shape == largest.shape else np.zeros(0)
        if self._axis is not None:
            rows = np.moveaxis(x, self._axis, -1).reshape(-1, x.shape[self._axis])
            products = (rows.T @ rows).astype(np.float64)
            self._products = products if self._products is None else self._products + products
            self._count += len(rows)

    def largest(self, axis: int) -> NDArray[np.float64]:
        """Largest magnitude at each position of an axis, float64[size]; empty where its size varies."""
        return self._largest.get(axis, np.zeros(0))

    def moments(self) -> NDArray[np.float64]:
        """E[x x^T] about zero, float64[C, C].

        Raises:
            ValueError: they were not asked for, or no sample was added.
        """
        if self._products is None:
            raise ValueError("second moments are kept of the axis given at the start, once there is a sample")
        return self._products / self._count
