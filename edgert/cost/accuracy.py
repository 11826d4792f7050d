"""Accuracy of networks that nobody trained, from their zero-cost statistics and a few accuracies that were measured.

Statistics of single nodes count by weights that are fitted, for not all nodes say as much (Dong et al., ParZC, AAAI
2025, arXiv 2402.02105). They fit a mixer network to hundreds of accuracies; here a Gaussian process (Rasmussen and
Williams 2006), Matern and linear, weighs groups of statistics, and 20 accuracies do. Nodes of different networks are
made comparable by how deep they are. What is learned is the logarithm of the error: 93 and 94 % differ by more than 50
and 51 %.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgert.cost.conformal import conformal_score
from edgert.cost.model_file import read_model, write_model
from edgert.cost.prediction import Prediction
from edgert.cost.zero_cost import ZeroCost

__all__ = ["FEWEST_ACCURACIES", "SCHEMA", "AccuracyModel", "fit_accuracy", "load_accuracy", "write_accuracy"]

Floats = NDArray[np.float64]

SCHEMA = 1
FEWEST_ACCURACIES = 5
_PLACES = np.linspace(0, 1, 5)
_STATISTICS = ("log_det", "active", "log_std", "rank")
_TOTALS = 2 + 2 + len(_STATISTICS)
_WEIGHTS = np.concatenate([[2.0, 2.0], np.ones(_TOTALS - 2), np.full(_PLACES.size * len(_STATISTICS), 0.5)])
"""Of nwot and synflow, of counts and sums over nodes, of single nodes."""
_LENGTHS, _SHARES, _NOISES = (1.0, 2.0, 4.0), (0.0, 0.5, 1.0), (0.03, 0.1, 0.3, 1.0)
_LEAST_ERROR = 1e-4
_WIDEST = 50.0
_FARTHEST = 3.0
"""In standard deviations: a network that computes nothing is not taken for a hundred times worse than the others."""


@dataclass(frozen=True, slots=True)
class AccuracyModel:
    """Predicts accuracies as shares, from 0 to 1.

    Attributes:
        records_sha256: SHA-256 (hex) over the SHA-256 of each record that the accuracies came from.
        center: mean of each statistic.
        spread: standard deviation of each.
        features: of the networks that were measured, weighted.
        log_error: natural logarithms of 1 - accuracy of those.
        length: scale of the Matern kernel.
        share: of the linear kernel.
        noise: variance of a measurement; all in units of the variance of `log_error`.
        scores: how far the others missed each, ascending, in deviations that they stated.
    """

    schema: int
    records_sha256: str
    center: tuple[float, ...]
    spread: tuple[float, ...]
    features: tuple[tuple[float, ...], ...]
    log_error: tuple[float, ...]
    length: float
    share: float
    noise: float
    scores: tuple[float, ...]

    def predict(self, networks: Sequence[ZeroCost], level: float = 0.9) -> Prediction:
        """Returns accuracies, with intervals that hold a share `level` of such networks, within 0 and 1."""
        features = _scaled(_features(networks), np.array(self.center), np.array(self.spread))
        mean, deviation = _condition(
            np.array(self.features), np.array(self.log_error), features, self.length, self.share, self.noise
        )
        width = np.minimum(deviation * min(conformal_score(self.scores, level), _WIDEST), _WIDEST)
        value = np.clip(1 - np.exp(mean), 1e-6, 1.0)
        low = np.clip(1 - np.exp(mean + width), 0.0, value)
        return Prediction(value, low, np.clip(1 - np.exp(mean - width), value, 1.0), level)


def fit_accuracy(
    networks: Sequence[ZeroCost],
    accuracies: Sequence[float],
    others: Sequence[ZeroCost] = (),
    records: Sequence[str] = (),
) -> AccuracyModel:
    """Learns from networks that were trained and measured.

    Args:
        networks: five or more, 20 are better.
        accuracies: of each, as a share.
        others: of which nothing is known; they say how far statistics range.
        records: SHA-256 (hex) of each record.

    Raises:
        ValueError: too few networks, or an accuracy is not between 0 and 1.
    """
    if len(networks) < FEWEST_ACCURACIES or len(networks) != len(accuracies):
        raise ValueError(
            f"{len(accuracies)} accuracies of {len(networks)} networks: at least {FEWEST_ACCURACIES} of both needed"
        )
    share_right = np.asarray(accuracies, np.float64)
    if not ((share_right >= 0) & (share_right <= 1)).all():
        raise ValueError(f"accuracies from {share_right.min():g} to {share_right.max():g}; shares of 0 to 1 are needed")
    raw = _features([*networks, *others])
    center, spread = raw.mean(axis=0), np.maximum(raw.std(axis=0), 1e-9)
    features = _scaled(raw[: len(networks)], center, spread)
    log_error = np.log(np.maximum(1 - share_right, _LEAST_ERROR))
    grid = [(length, share, noise) for length in _LENGTHS for share in _SHARES for noise in _NOISES]
    length, share, noise = max(grid, key=lambda item: _likelihood(features, log_error, *item))
    digest = hashlib.sha256("\n".join(sorted(records)).encode()).hexdigest()
    return AccuracyModel(
        SCHEMA, digest, tuple(center.tolist()), tuple(spread.tolist()), tuple(map(tuple, features.tolist())),
        tuple(log_error.tolist()), length, share, noise, _left_out_scores(features, log_error, length, share, noise),
    )  # fmt: skip


def load_accuracy(path: Path) -> AccuracyModel:
    """Reads a file of `write_accuracy`.

    Raises:
        InputFileError: it cannot be read, is damaged, or is of another schema.
    """
    return read_model(AccuracyModel, path, SCHEMA, "fit it again")


def write_accuracy(path: Path, model: AccuracyModel) -> Path:
    """Writes JSON.

    Raises:
        OutputError: the file cannot be written; nothing is left behind.
    """
    return write_model(path, model)


def _features(networks: Sequence[ZeroCost]) -> Floats:
    """Statistics of networks as numbers of a fixed length, float64[networks, features]."""
    rows = []
    for network in networks:
        places = np.array([node.place for node in network.nodes])
        depths = np.unique(places)
        sums, courses = [], []
        for name in _STATISTICS:
            values = np.array([getattr(node, name) for node in network.nodes])
            sums.append(float(values.sum()))
            means = [float(values[places == depth].mean()) for depth in depths]
            courses += np.interp(_PLACES, depths, means).tolist()
        counts = [math.log(places.size), math.log(depths.size)]
        rows.append([network.nwot, network.synflow, *counts, *sums, *courses])
    return np.array(rows, np.float64)


def _scaled(features: Floats, center: Floats, spread: Floats) -> Floats:
    weights = _WEIGHTS / np.sqrt(np.mean(_WEIGHTS**2))
    found: Floats = np.clip((features - center) / spread, -_FARTHEST, _FARTHEST) * weights
    return found


def _kernel(left: Floats, right: Floats, length: float, share: float) -> Floats:
    count = left.shape[1]
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    distance = np.sqrt(np.maximum(squares, 0) / count) * math.sqrt(5) / length
    matern = (1 + distance + distance**2 / 3) * np.exp(-distance)
    found: Floats = (1 - share) * matern + share * left @ right.T / count
    return found


def _condition(
    known: Floats, values: Floats, asked: Floats, length: float, share: float, noise: float
) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the values of others, noise included, float64[asked] each."""
    center, unit = float(values.mean()), float(values.std()) or 1.0
    inverse = np.linalg.inv(_kernel(known, known, length, share) + noise * np.eye(len(values)))
    across = _kernel(asked, known, length, share)
    prior = (1 - share) + share * (asked**2).mean(axis=1)
    left = np.maximum(prior - ((across @ inverse) * across).sum(axis=1), 0.0) + noise
    return center + unit * (across @ inverse @ ((values - center) / unit)), unit * np.sqrt(left)


def _likelihood(features: Floats, values: Floats, length: float, share: float, noise: float) -> float:
    """Logarithm, but for a constant, with the most likely amplitude (Rasmussen and Williams, equation 5.8)."""
    targets = (values - values.mean()) / (values.std() or 1.0)
    covariance = _kernel(features, features, length, share) + noise * np.eye(len(values))
    squares = float(targets @ np.linalg.solve(covariance, targets))
    return float(-np.linalg.slogdet(covariance)[1] - len(values) * math.log(max(squares, 1e-9)))


def _left_out_scores(features: Floats, values: Floats, length: float, share: float, noise: float) -> tuple[float, ...]:
    """Each network as the others predict it."""
    scores = []
    for place in range(len(values)):
        rest = np.arange(len(values)) != place
        mean, deviation = _condition(features[rest], values[rest], features[~rest], length, share, noise)
        scores.append(abs(float(mean[0]) - float(values[place])) / float(deviation[0]))
    return tuple(sorted(scores))
