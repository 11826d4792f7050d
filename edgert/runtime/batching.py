"""Many samples through a model of any batch size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgert.bundle import TensorSpec
from edgert.errors import DataError, UsageError

__all__ = ["run_batched"]

Array = NDArray[Any]  # Any: element types are data (TensorSpec.dtype)
Run = Callable[[dict[str, Array]], dict[str, Array]]


def run_batched(
    run: Run, specs: Sequence[TensorSpec], feeds: Mapping[str, ArrayLike], batch_size: int
) -> dict[str, Array]:
    """Runs all samples in batches and joins the outputs along their leading axis.

    Raises:
        DataError: inputs disagree about the number of samples, or there are none.
        UsageError: `batch_size` is below 1.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; it must be at least 1")
    arrays = {name: np.asarray(value) for name, value in feeds.items()}
    count = _sample_count(arrays)
    fixed = _fixed_batch(specs)
    size = fixed or batch_size
    parts: list[dict[str, Array]] = []
    for start in range(0, count, size):
        chunk = {name: array[start : start + size] for name, array in arrays.items()}
        used = min(size, count - start)
        outputs = run({name: _filled(array, size) for name, array in chunk.items()} if fixed else chunk)
        parts.append({name: _by_sample(name, array, size if fixed else used)[:used] for name, array in outputs.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _sample_count(arrays: Mapping[str, Array]) -> int:
    counts = {name: array.shape[0] if array.ndim else 0 for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        raise DataError(f"inputs hold different numbers of samples: {counts}")
    count = next(iter(counts.values()))
    if count == 0:
        raise DataError("there are no samples: the leading axis of the input is empty")
    return count


def _fixed_batch(specs: Sequence[TensorSpec]) -> int | None:
    sizes = {spec.shape[0] for spec in specs if spec.shape}
    return next(iter(sizes)) if len(sizes) == 1 else None


def _filled(chunk: Array, size: int) -> Array:
    missing = size - chunk.shape[0]
    return np.concatenate([chunk, np.repeat(chunk[-1:], missing, axis=0)]) if missing else chunk


def _by_sample(name: str, output: Array, size: int) -> Array:
    if output.ndim and output.shape[0] == size:
        return output
    if size == 1:
        return output[np.newaxis]
    raise DataError(f"output {name!r} of shape {list(output.shape)} has no axis over the {size} samples of a batch")
