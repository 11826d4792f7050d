"""The inputs that all engines are fed: arrays that were given, a bundle's golden ones, or seeded random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgert.bundle import TensorSpec
from edgert.dtypes import DType
from edgert.errors import DataError
from edgert.quant import QuantParams, dequantize
from edgert_converters.ops.spec import Array
from edgert_converters.units import is_standard, static_params
from edgert_converters.variants import random_samples

__all__ = ["draw_samples", "input_params", "split_samples"]


def split_samples(
    arrays: Mapping[str, Array],
    specs: Sequence[TensorSpec],
    count: int,
    integers: Mapping[str, QuantParams] | None = None,
) -> list[dict[str, Array]]:
    """Returns at most `count` samples, each with the model's own batch, of arrays stacked along the leading axis.

    Args:
        arrays: by input name; a single array of any name is the only input of a model.
        specs: the model's inputs.
        count: how many samples to take.
        integers: parameters of inputs that also take the file's own integers.

    Raises:
        DataError: a name, shape or number of samples does not fit.
    """
    named = _by_name(arrays, specs)
    samples = {spec.name: _split(spec, _real(spec, named[spec.name], integers or {})) for spec in specs}
    counts = {name: len(parts) for name, parts in samples.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"inputs hold different numbers of samples: {counts}")
    found = min(counts.values())
    if not found:
        raise DataError("the inputs hold no sample")
    return [{name: parts[index] for name, parts in samples.items()} for index in range(min(count, found))]


def draw_samples(model: ir.Model, specs: Sequence[TensorSpec], count: int, seed: int) -> list[dict[str, Array]]:
    """Returns seeded random samples: every integer of a quantized input alike often, else normally distributed."""
    samples = random_samples(specs, count, seed)
    params = input_params(model)
    rng = np.random.default_rng(seed)
    for sample in samples:
        for name, known in params.items():
            low, high = known.dtype.integer_range
            integers = rng.integers(low, high, sample[name].shape, known.dtype.numpy, endpoint=True)
            sample[name] = dequantize(integers, known)
    return samples


def input_params(model: ir.Model) -> dict[str, QuantParams]:
    """Returns the parameters of those graph inputs that are quantized first, by name."""
    found = {}
    for value in model.graph.inputs:
        readers = [use.node for use in value.uses() if is_standard(use.node, "QuantizeLinear")]
        params = static_params(readers[0]) if readers else None
        if params is not None and params.axis is None and params.dtype.itemsize_bytes <= 2:
            found[str(value.name)] = params
    return found


def _by_name(arrays: Mapping[str, Array], specs: Sequence[TensorSpec]) -> dict[str, Array]:
    if all(spec.name in arrays for spec in specs):
        return {spec.name: arrays[spec.name] for spec in specs}
    if len(specs) == 1 and (len(arrays) == 1 or "x" in arrays):
        return {specs[0].name: arrays["x"] if "x" in arrays else next(iter(arrays.values()))}
    held = ", ".join(repr(name) for name in arrays) or "nothing"
    raise DataError(f"the input file holds {held}; the model needs {', '.join(map(_describe, specs))}")


def _real(spec: TensorSpec, array: Array, integers: Mapping[str, QuantParams]) -> Array:
    params = integers.get(spec.name)
    if params is not None and array.dtype == params.dtype.numpy:
        return dequantize(array, params)
    floating = spec.dtype in {DType.FLOAT, DType.FLOAT16, DType.DOUBLE}
    if array.dtype.kind not in ("fiub" if floating else "iub"):
        raise DataError(f"input {spec.name!r} takes {spec.dtype.value}, the array holds {array.dtype}")
    return array.astype(spec.dtype.numpy, copy=False)


def _split(spec: TensorSpec, array: Array) -> list[Array]:
    """Cuts [N, 1, ...] or [N, ...] into samples with the model's batch (1 where it may vary)."""
    batch = (spec.shape[0] or 1) if spec.shape else 1
    shape = (batch, *spec.shape[1:]) if spec.shape else ()
    if array.ndim == len(shape) + 1:
        parts = [array[index] for index in range(array.shape[0])]
    elif array.ndim == len(shape) and shape and array.shape[0] % batch == 0:
        parts = [array[index : index + batch] for index in range(0, array.shape[0], batch)]
    else:
        parts = []
    if not parts or not _fits(parts[0].shape, shape):
        raise DataError(f"input {_describe(spec)} cannot take an array of shape {list(array.shape)}")
    return parts


def _fits(found: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(found) == len(wanted) and all(w in {None, f} for f, w in zip(found, wanted, strict=True))


def _describe(spec: TensorSpec) -> str:
    sizes = ", ".join("N" if size is None else str(size) for size in spec.shape)
    return f"{spec.name!r} {spec.dtype.value} [{sizes}]"
