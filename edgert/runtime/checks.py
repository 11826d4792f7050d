"""Checks inputs against the manifest; every refusal says name, shape and dtype, expected and got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgert.bundle import TensorSpec
from edgert.dtypes import DType
from edgert.errors import DataError, did_you_mean

__all__ = ["checked_input", "describe_shape", "feeds_by_name"]

Array = NDArray[Any]  # Any: element types are data (TensorSpec.dtype)


def feeds_by_name(inputs: ArrayLike | Mapping[str, ArrayLike], names: Sequence[str]) -> Mapping[str, ArrayLike]:
    """Returns inputs by name; one bare array is the model's only input.

    Raises:
        DataError: names are missing or unknown, or one array was given for several inputs.
    """
    if not isinstance(inputs, Mapping):
        if len(names) != 1:
            raise DataError(f"the model has {len(names)} inputs ({', '.join(names)}); give them by name")
        return {names[0]: inputs}
    for name in inputs:
        if name not in names:
            raise DataError(f"the model has no input {name!r}{did_you_mean(str(name), names)}")
    missing = [name for name in names if name not in inputs]
    if missing:
        raise DataError(f"no value for input {', '.join(map(repr, missing))}; the model needs {', '.join(names)}")
    return inputs


def checked_input(spec: TensorSpec, value: ArrayLike) -> Array:
    """Returns `value` as an array that fits `spec`, with the batch axis put in front where only that was missing.

    Raises:
        DataError: the element type or a size differs.
    """
    array = value if isinstance(value, np.ndarray) else _as_array(spec, value)
    expected = spec.dtype.numpy
    if array.dtype != expected:
        if array.dtype.newbyteorder("=") != expected and spec.dtype is not DType.STRING:
            raise DataError(_difference(spec, array))
        array = array.astype(expected)
    if _fits(array.shape, spec.shape):
        return array
    if spec.shape and spec.shape[0] in {None, 1} and _fits(array.shape, spec.shape[1:]):
        return array[np.newaxis]
    raise DataError(_difference(spec, array))


def describe_shape(shape: Sequence[int | None]) -> str:
    """Returns e.g. ``[?, 3, 32, 32]``; an axis that may vary is ``?``."""
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"


def _as_array(spec: TensorSpec, value: ArrayLike) -> Array:
    try:
        return np.asarray(value) if hasattr(value, "dtype") else np.asarray(value, spec.dtype.numpy)
    except (TypeError, ValueError) as error:
        raise DataError(f"input {spec.name!r}: {type(value).__name__} is not an array ({error})") from error


def _fits(shape: tuple[int, ...], expected: Sequence[int | None]) -> bool:
    return len(shape) == len(expected) and all(
        want is None or have == want for have, want in zip(shape, expected, strict=True)
    )


def _difference(spec: TensorSpec, array: Array) -> str:
    try:
        got = DType.from_numpy(array.dtype).value
    except ValueError:
        got = array.dtype.name
    return (
        f"input {spec.name!r}: expected {spec.dtype.value} {describe_shape(spec.shape)}, "
        f"got {got} {describe_shape(array.shape)}"
    )
