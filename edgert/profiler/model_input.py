"""What a model is measured on: the arrays given, else the bundle's golden sample, else seeded random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import TensorSpec
from edgert.dtypes import DType
from edgert.errors import DynamicShapeError, UsageError, did_you_mean
from edgert.runtime.session import Session

__all__ = ["choose_input"]

Array = NDArray[Any]  # Any: element types are data


def choose_input(
    session: Session,
    given: Mapping[str, Array],
    golden: Mapping[str, Array],
    shapes: Mapping[str, tuple[int, ...]],
    seed: int,
) -> tuple[dict[str, Array], str]:
    """Returns arrays by input name and a word for where they are from: `given`, `golden` or `random`.

    Raises:
        DynamicShapeError: random numbers are needed for an input whose size is not fixed.
        UsageError: `shapes` names an input that the model does not have, or `seed` is negative.
    """
    names = [spec.name for spec in session.inputs]
    if unknown := [name for name in shapes if name not in names]:
        raise UsageError(f"--shape names the input {unknown[0]!r}{did_you_mean(unknown[0], names)}")
    if seed < 0:
        raise UsageError(f"the seed is {seed}; it must be at least 0")
    if given:
        return dict(given), "given"
    samples = {spec.name: golden.get(f"input/{spec.name}") for spec in session.inputs}
    found = {name: array for name, array in samples.items() if array is not None}
    if len(found) == len(samples) and all(array.size for array in found.values()):
        return {spec.name: _first_sample(spec, found[spec.name]) for spec in session.inputs}, "golden"
    rng = np.random.default_rng(seed)
    return {spec.name: _random(spec, _fixed_shape(spec, shapes), rng) for spec in session.inputs}, "random"


def _first_sample(spec: TensorSpec, samples: Array) -> Array:
    return samples[:1] if samples.ndim == len(spec.shape) else samples[0]


def _fixed_shape(spec: TensorSpec, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    if spec.name in shapes:
        return shapes[spec.name]
    shape = tuple(1 if size is None and axis == 0 else size for axis, size in enumerate(spec.shape))
    if any(size is None for size in shape):
        raise DynamicShapeError(spec.name, shape, tuple(224 if size is None else size for size in shape))
    return tuple(size for size in shape if size is not None)


def _random(spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if spec.dtype in {DType.FLOAT, DType.FLOAT16, DType.DOUBLE}:
        return rng.standard_normal(shape).astype(spec.dtype.numpy)
    if spec.dtype.is_quantized:
        low, high = spec.dtype.integer_range
        return rng.integers(low, high + 1, shape).astype(spec.dtype.numpy)
    return rng.integers(0, 2, shape).astype(spec.dtype.numpy)  # indices, masks: small enough for any table
