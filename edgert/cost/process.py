"""Gaussian processes as the cost models use them: one Matern kernel and noise, scikit-learn's.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapters 2 and 4.2.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.errors import MissingExtraError

__all__ = ["fit_likeliest", "new_process"]

Array = NDArray[np.float64]

_NO_DOUBT = 1e-8


def new_process(
    length: float | Array,
    amplitude: float = 0.1,
    noise: float = 0.01,
    *,
    doubt: float | Array = _NO_DOUBT,
    lengths: tuple[float, float] | None = None,
) -> Any:  # Any: untyped package
    """Returns a process that was not fitted.

    Args:
        length: length scale, of all features or of each.
        amplitude: variance of the process.
        noise: variance of every measurement.
        doubt: variance of each measurement besides, float64[n] or of all.
        lengths: within which `fit_likeliest` looks for length scales; None: everything is kept as it is given.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn import gaussian_process
        from sklearn.gaussian_process import kernels
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "cost", "the cost model") from error
    parts: Any = kernels  # Any: untyped package
    shape = parts.ConstantKernel(amplitude, (1e-3, 3.0)) * parts.Matern(length, lengths or "fixed", nu=1.5)
    make: Any = gaussian_process.GaussianProcessRegressor
    optimizer = "fmin_l_bfgs_b" if lengths else None
    return make(shape + parts.WhiteKernel(noise, (1e-4, 0.5)), alpha=doubt, optimizer=optimizer)


def fit_likeliest(process: Any, features: Array, values: Array) -> Any:  # Any: untyped package
    """Fits a process with the scales under which the values, float64[n], are most probable, and returns it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="sklearn.gaussian_process", message=".*close to the specified")
        warnings.filterwarnings("ignore", message="lbfgs failed to converge")
        return process.fit(features, values)
