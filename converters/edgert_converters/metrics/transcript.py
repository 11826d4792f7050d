"""Word error rate of transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.errors import DataError
from edgert.runtime.postprocess import Raw, Result
from edgert_converters.data.sample import Label
from edgert_converters.metrics.metric import Estimator, Record

__all__ = ["WORD_ERROR_RATE", "WordErrorRate", "edit_distance", "greedy_ctc"]

_ALPHABET = "_ abcdefghijklmnopqrstuvwxyz'"


@dataclass(frozen=True, slots=True)
class WordErrorRate:
    """Edit distance in words over the number of words, all samples pooled, in percent; lower is better.

    The output is text codes int[T] (Unicode), or scores [T, 29] decoded greedily with the blank at 0, then space, a-z
    and the apostrophe.
    """

    name: str = "word_error_rate"
    unit: str = "%"
    higher_is_better: bool = False
    points_per_unit: float | None = 1.0

    def record(self, result: Result, label: Label) -> Record:
        """[edits, words]."""
        if not isinstance(label, str):
            raise DataError(f"metric word_error_rate: labels must be text, got {type(label).__name__}")
        words = label.lower().split()
        return np.array([edit_distance(words, _text(result).lower().split()), len(words)], np.float64)

    def estimator(self, records: Sequence[Record]) -> Estimator:
        """Pooled edits over pooled words."""
        counts = np.stack(records)

        def estimate(weights: NDArray[np.float64]) -> float:
            edits, words = weights @ counts
            return float(100 * edits / max(words, 1))

        return estimate

    def sample_values(self, records: Sequence[Record]) -> None:
        """None: words of all samples are pooled."""


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Returns the smallest number of insertions, deletions and substitutions from a to b (Levenshtein)."""
    previous = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        row = [i]
        for j, right in enumerate(b, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (left != right)))
        previous = row
    return previous[-1]


def greedy_ctc(scores: NDArray[np.float64]) -> str:
    """Returns the text of scores [T, 29]: best symbol per step, repeats merged, blanks dropped."""
    best = scores.argmax(axis=1)
    merged = best[np.insert(np.diff(best) != 0, 0, True)] if best.size else best
    return "".join(_ALPHABET[i] for i in merged if i)


def _text(result: Result) -> str:
    if isinstance(result, Raw) and len(result.outputs) == 1:
        values = np.squeeze(np.asarray(next(iter(result.outputs.values()))))
        if values.dtype.kind in "iu":
            return "".join(chr(int(code)) for code in values.reshape(-1) if 0 < int(code) < 0x110000)
        if values.ndim == 2 and values.shape[1] == len(_ALPHABET):
            return greedy_ctc(values.astype(np.float64))
    raise DataError(f"metric word_error_rate: needs one output of text codes or of scores [T, {len(_ALPHABET)}]")


WORD_ERROR_RATE = WordErrorRate()
