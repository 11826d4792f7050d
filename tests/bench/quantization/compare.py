"""How far a quantized model is from its float model, and paired intervals of differences between two of them.

The statistics stand on rows (one view of one image in one draw); resampling is by image, because views and draws of one
image are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Interval", "Outcome", "Rows", "interval_of_agree", "interval_of_difference", "judge", "pooled_agree"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

RESAMPLES = 5000
_LEAST_PROBABILITY = 2.0**-9
"""Half a step of an int8 softmax: below it a quantized output cannot tell a probability from 0."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One quantized model on the rows of one draw.

    `changed` are the rows (positions, 0..n-1) whose answer differs from the float model's, `harmful` those of them
    where the float model was surer than on half of all rows: its margin, first minus second logit, is above the median.
    `correct` and `float_correct` count right answers among the `labelled` first rows (the centre views).
    """

    n: int
    changed: tuple[int, ...]
    harmful: tuple[int, ...]
    kl: float
    sqnr_db: float
    labelled: int
    correct: int
    float_correct: int


@dataclass(frozen=True, slots=True)
class Rows:
    """An outcome's agreement by row, and which image each row shows: bool[n], int64[n]."""

    agree: NDArray[np.bool_]
    images: Integers


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def judge(float_out: Floats, out: Floats, labels: Integers, *, probabilities: bool = False) -> Outcome:
    """Returns the outcome of a quantized model.

    Args:
        float_out: outputs of the float model, float32[n, classes].
        out: outputs of the quantized one, of the same shape.
        labels: classes of the first rows, int64[labelled].
        probabilities: the outputs are softmax probabilities, not logits.

    Raises:
        ValueError: an output is not finite.
    """
    if not np.isfinite(out).all():
        raise ValueError("an output is not finite")
    p, q = (values.astype(np.float64) if probabilities else _softmax(values) for values in (float_out, out))
    float_answers, answers = float_out.argmax(axis=1), out.argmax(axis=1)
    margins = _margins(np.log(np.maximum(p, 1e-30)))
    changed = np.flatnonzero(float_answers != answers)
    error = float(((float_out.astype(np.float64) - out) ** 2).sum())
    signal = float((float_out.astype(np.float64) ** 2).sum())
    return Outcome(
        n=len(out),
        changed=tuple(changed.tolist()),
        harmful=tuple(changed[margins[changed] > np.median(margins)].tolist()),
        kl=float(_divergence(p, q).mean()),
        sqnr_db=float(10.0 * np.log10(signal / error)) if error > 0.0 else np.inf,
        labelled=len(labels),
        correct=int((answers[: len(labels)] == labels).sum()),
        float_correct=int((float_answers[: len(labels)] == labels).sum()),
    )


def _softmax(logits: Floats) -> NDArray[np.float64]:
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def _margins(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """First minus second of each row; the difference of two logits is that of their log probabilities."""
    two = np.partition(logits, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """KL(p || q) in nats, float64[n]; both are kept off 0 first and brought back to sum 1."""
    kept = [np.maximum(values, _LEAST_PROBABILITY / values.shape[1]) for values in (p, q)]
    p, q = (values / values.sum(axis=1, keepdims=True) for values in kept)
    return np.asarray((p * np.log(p / q)).sum(axis=1))


def pooled_agree(draws: Sequence[Rows]) -> float:
    """Share of same answers over all rows of all draws."""
    return float(np.concatenate([draw.agree for draw in draws]).mean())


def interval_of_agree(draws: Sequence[Rows], seed: int = 0) -> Interval:
    """Returns the pooled agreement with its interval."""
    values = [draw.agree.astype(np.float64) for draw in draws]
    return _interval(np.concatenate(values), np.concatenate([draw.images for draw in draws]), seed)


def interval_of_difference(draws: Sequence[Rows], others: Sequence[Rows], seed: int = 0) -> Interval:
    """Returns agreement minus the other's, pooled over the same rows of the same draws.

    Raises:
        ValueError: the two were not measured on the same rows.
    """
    for draw, other in zip(draws, others, strict=True):
        if not np.array_equal(draw.images, other.images):
            raise ValueError("a paired difference needs the same images in the same draws")
    values = [draw.agree.astype(np.float64) - other.agree for draw, other in zip(draws, others, strict=True)]
    return _interval(np.concatenate(values), np.concatenate([draw.images for draw in draws]), seed)


def _interval(values: NDArray[np.float64], images: Integers, seed: int) -> Interval:
    """Percentile bootstrap of a mean over rows, resampling images with all of their rows (a ratio estimate).

    Images that give the same are drawn as one kind: the same distribution, and a thousand times fewer random numbers.
    """
    _, cluster = np.unique(images, return_inverse=True)
    pairs = np.stack([np.bincount(cluster, values), np.bincount(cluster)], axis=1)
    kinds, sizes = np.unique(pairs, axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(pairs), sizes / len(pairs), size=RESAMPLES)
    sums, counts = (drawn @ kinds).T
    low, high = np.quantile(sums / counts, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))
