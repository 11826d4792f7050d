"""What a whole network costs as a sum: a constant, and factors that are never negative times its work and traffic.

A roofline (Williams, Waterman, Patterson, CACM 52, 2009), added up over kinds of layers: more of anything never costs
less, and it holds far from everything that was measured. Kinds that were measured seldom or never take the factors
that all kinds have together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.cost.graph_encoding import FIGURES

__all__ = ["AdditivePrior", "fit_prior"]

Array = NDArray[np.float64]

_ERROR = 0.1
_SPREAD = 1.0
"""Standard deviations: of a network's cost around the sum, of a kind's factor around that of all; both as shares."""
_LEAST = 1e-3
"""A factor that all kinds have together, but that was 0 for them, may still give a kind so large a share of a cost."""
_TURNS = 6
_SHARED = tuple(name.split(" ")[-1] for name in FIGURES)
_KINDS_OF_FIGURES = tuple(dict.fromkeys(_SHARED))


@dataclass(frozen=True, slots=True)
class AdditivePrior:
    """`constant` is a network without layers; `factors` are costs per unit of each of FIGURES, none negative."""

    constant: float
    factors: tuple[float, ...]

    def predict(self, figures: Array) -> Array:
        """Returns costs, float64[networks], of figures float64[networks, figures]."""
        found: Array = self.constant + figures @ np.array(self.factors)
        return found


def fit_prior(figures: Array, values: Sequence[float]) -> AdditivePrior:
    """Returns the prior whose relative errors are least, factors pulled to those of all kinds together.

    Args:
        figures: float64[networks, figures], as in `Encoding.figures`.
        values: what each network cost, all positive.
    """
    y = np.asarray(values, np.float64)
    together = np.array([[name == other for other in _KINDS_OF_FIGURES] for name in _SHARED], np.float64)
    columns = np.column_stack([np.ones(len(y)), figures @ together])
    shared = _fit(columns, y, np.zeros(columns.shape[1]), 1 / np.maximum(columns.max(axis=0), 1.0))
    expected = np.concatenate([shared[:1], together @ shared[1:]])
    design = np.column_stack([np.ones(len(y)), figures])
    reach = np.maximum(expected, _LEAST * np.median(y) / np.maximum(design.max(axis=0), 1.0))
    found = _fit(design, y, expected, reach, _ERROR / _SPREAD)
    return AdditivePrior(max(float(found[0]), _LEAST * float(y.min())), tuple(found[1:].tolist()))


def _fit(design: Array, values: Array, expected: Array, reach: Array, pull: float = 0.0) -> Array:
    """Factors, none negative, under which errors are least, each as a share of the larger of truth and prediction.

    A share of the truth alone would let one network that an engine removes almost wholly decide about all others.

    Args:
        design: float64[networks, factors].
        values: float64[networks].
        expected: factors before anything is learned.
        reach: by how much each may well differ from that.
        pull: how much an error of 1 counts for that.
    """
    from scipy.optimize import nnls

    scale = np.full(len(values), np.median(values))
    factors = expected
    for _ in range(_TURNS):
        rows = np.vstack([design * reach / scale[:, None], pull * np.eye(len(expected))])
        wanted = np.concatenate([values / scale, pull * expected / reach])
        factors = nnls(rows, wanted, maxiter=50 * rows.shape[1])[0] * reach
        scale = np.maximum(values, design @ factors)
    found: Array = np.asarray(factors, np.float64)
    return found
