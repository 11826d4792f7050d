"""The set that chooses ranges never decides: which samples calibrate and which evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgert.errors import DataError
from edgert_converters.data.sample import Dataset, Sample

__all__ = ["DataSplit", "Subset", "split"]

_CALIBRATION_SHARE = 5
_MAX_CALIBRATION = 256


@dataclass(frozen=True, slots=True)
class DataSplit:
    """The two disjoint sets, either of which may be absent, and what the user must know about them."""

    calib: Dataset | None
    evaluation: Dataset | None
    notes: tuple[str, ...] = ()


class Subset:
    """Some samples of a data set, in the given order."""

    def __init__(self, parent: Dataset, indices: Sequence[int]) -> None:
        self.name = parent.name
        self.has_labels = parent.has_labels
        self._parent = parent
        self._indices = tuple(int(i) for i in indices)

    def __len__(self) -> int:
        return len(self._indices)

    def sample(self, index: int) -> Sample:
        """The sample at a position of this subset."""
        return self._parent.sample(self._indices[index])

    def digest(self, index: int) -> str:
        """Hash of the stored bytes of one sample."""
        return self._parent.digest(self._indices[index])


def split(
    calib: Dataset | None, evaluation: Dataset | None, *, calib_samples: int | None = None, seed: int = 0
) -> DataSplit:
    """Returns disjoint sets for calibration and evaluation.

    Both given: evaluation samples whose bytes occur among the calibration samples used are dropped. One given (or the
    same twice): it is divided, a fifth (at most 256 samples) calibrates and the rest decides, by `seed` only.

    Args:
        calib: data that may choose ranges.
        evaluation: data that may decide.
        calib_samples: at most so many calibration samples, drawn by `seed`.
        seed: of the draw.

    Raises:
        DataError: every evaluation sample occurs in the calibration data.
    """
    if calib is None and evaluation is None:
        return DataSplit(None, None)
    if calib is None or evaluation is None or calib.name == evaluation.name:
        only = evaluation or calib
        if only is None:
            raise AssertionError("one of the two is given")
        return _divide(only, calib_samples, seed)
    return _separate(calib, evaluation, calib_samples, seed)


def _divide(data: Dataset, calib_samples: int | None, seed: int) -> DataSplit:
    count = min(max(1, len(data) // _CALIBRATION_SHARE), _MAX_CALIBRATION, calib_samples or _MAX_CALIBRATION)
    order = np.random.default_rng(seed).permutation(len(data))
    chosen, rest = np.sort(order[:count]), np.sort(order[count:])
    used = {data.digest(int(i)) for i in chosen}
    kept = [int(i) for i in rest if data.digest(int(i)) not in used]
    notes = [f"{data.name}: {count} of {len(data)} samples choose the ranges, the other {len(kept)} decide"]
    if len(kept) < len(rest):
        notes.append(
            f"{data.name}: {len(rest) - len(kept)} samples are copies of calibration samples and do not decide"
        )
    if not kept:
        notes.append(f"{data.name}: no sample is left to decide; give --eval to verify the result")
    return DataSplit(Subset(data, [int(i) for i in chosen]), Subset(data, kept) if kept else None, tuple(notes))


def _separate(calib: Dataset, evaluation: Dataset, calib_samples: int | None, seed: int) -> DataSplit:
    notes = []
    chosen: Dataset = calib
    if calib_samples is not None and calib_samples < len(calib):
        order = np.random.default_rng(seed).permutation(len(calib))[:calib_samples]
        chosen = Subset(calib, [int(i) for i in np.sort(order)])
        notes.append(f"{calib.name}: {calib_samples} of {len(calib)} samples choose the ranges")
    used = {chosen.digest(i) for i in range(len(chosen))}
    kept = [i for i in range(len(evaluation)) if evaluation.digest(i) not in used]
    dropped = len(evaluation) - len(kept)
    if not kept:
        raise DataError(
            f"{evaluation.name}: every sample also occurs in the calibration data {calib.name}; "
            f"give other data to --eval"
        )
    if dropped:
        notes.append(
            f"{evaluation.name}: {dropped} samples also occur in {calib.name} and do not decide; {len(kept)} do"
        )
        return DataSplit(chosen, Subset(evaluation, kept), tuple(notes))
    return DataSplit(chosen, evaluation, tuple(notes))
