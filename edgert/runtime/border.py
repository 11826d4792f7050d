"""Between a caller's arrays and an engine's tensors: layout, integers and real numbers of one input or output.

The manifest says what a caller feeds and gets, the same for every variant of a bundle; the variant says what the engine
takes, which may be another layout (NHWC) and another element type (int8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgert.bundle import TensorSpec
from edgert.dtypes import DType
from edgert.errors import DataError
from edgert.quant import build_dequantizer, build_quantizer
from edgert.runtime.checks import checked_input, describe_shape

__all__ = ["Border", "build_borders"]

Array = NDArray[Any]  # Any: element types are data (TensorSpec.dtype)


Convert = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Border:
    """One input or output: `view` for a caller of reals, `integers` for one of `quantized`, `port` for the engine.

    `inward` permutes a caller's axes into the engine's, `outward` back; None where the layouts agree. `to_integers` and
    `to_reals` convert in the engine's layout; they are called where a view and the port differ in type.
    """

    port: TensorSpec
    view: TensorSpec
    integers: TensorSpec
    to_integers: Convert | None = None
    to_reals: Convert | None = None
    inward: tuple[int, ...] | None = None
    outward: tuple[int, ...] | None = None

    def is_direct(self, quantized: bool) -> bool:
        """Whether a caller's array is the engine's as it stands."""
        seen = self.integers if quantized else self.view
        return self.inward is None and seen.dtype is self.port.dtype

    def check(self, value: ArrayLike, quantized: bool) -> Array:
        """Returns a caller's value as an array that fits its view.

        Raises:
            DataError: it does not fit.
        """
        return checked_input(self.integers if quantized else self.view, value)

    def feed(self, array: Array, quantized: bool) -> Array:
        """Returns what the engine takes for a caller's checked array."""
        if self.inward is not None:
            array = array.transpose(self.inward)
        if (self.integers if quantized else self.view).dtype is self.port.dtype:
            return array
        if not quantized and self.to_integers is not None:
            return self.to_integers(array)
        assert self.to_reals is not None, "types differ only where there is a scale"
        return self.to_reals(array).astype(self.port.dtype.numpy, copy=False)

    def fetch(self, array: Array, quantized: bool) -> Array:
        """Returns what a caller gets for the engine's array."""
        spec = self.integers if quantized else self.view
        if spec.dtype is not self.port.dtype:
            convert = self.to_integers if quantized else self.to_reals
            assert convert is not None, "types differ only where there is a scale"
            array = convert(array)
        return array if self.outward is None else np.ascontiguousarray(array.transpose(self.outward))


def build_borders(
    found: Sequence[TensorSpec], declared: Sequence[TensorSpec], seen: Sequence[TensorSpec]
) -> tuple[Border, ...]:
    """Returns a border for each tensor that an engine found in its model.

    Args:
        found: the engine's own specs, in its order.
        declared: the variant's entries.
        seen: the manifest's entries: the caller's view.

    Raises:
        DataError: manifest and model disagree about an element type, or about a shape in a way no layout explains.
    """
    variants = {spec.name: spec for spec in declared}
    callers = {spec.name: spec for spec in seen}
    return tuple(_border(_port(spec, variants), callers.get(spec.name)) for spec in found)


def _port(found: TensorSpec, declared: Mapping[str, TensorSpec]) -> TensorSpec:
    """The variant's entry for an engine's tensor; the engine's own where there is none (plain files)."""
    port = declared.get(found.name, found)
    if port.dtype is not found.dtype:
        raise DataError(
            f"tensor {found.name!r} is {found.dtype.value} in the model but {port.dtype.value} in the manifest"
        )
    return port


def _border(port: TensorSpec, caller: TensorSpec | None) -> Border:
    inward = None if caller is None else _permutation(caller, port)
    seen = port
    outward = None
    if inward is not None and caller is not None:
        seen = TensorSpec(port.name, caller.shape, port.dtype, caller.layout, port.quant)
        outward = tuple(inward.index(axis) for axis in range(len(inward)))
    real = _with_dtype(seen, DType.FLOAT) if port.quant and port.dtype.is_quantized else seen
    integers = _with_dtype(seen, port.quant.dtype) if port.quant else seen
    if port.quant is None:
        return Border(port, real, integers, inward=inward, outward=outward)
    rank = len(port.shape)
    convert = build_quantizer(port.quant, rank), build_dequantizer(port.quant, rank)
    return Border(port, real, integers, *convert, inward, outward)


def _permutation(caller: TensorSpec, port: TensorSpec) -> tuple[int, ...] | None:
    """The order of a caller's axes that gives the engine's, or None where they stand in that order already.

    A caller's entry without a layout beside a variant with one is channels first (ONNX), unless its shape says
    otherwise.
    """
    wanted = port.layout
    if wanted is None or caller.layout == wanted or len(caller.shape) != len(wanted):
        return None
    given = caller.layout or _channels_first(wanted)
    if sorted(given) != sorted(wanted) or len(set(wanted)) != len(wanted):
        raise DataError(f"tensor {port.name!r}: layout {wanted} of the variant is no order of {given} in the manifest")
    order = tuple(given.index(letter) for letter in wanted)
    if order == tuple(range(len(order))):
        return None
    if _agree(tuple(caller.shape[axis] for axis in order), port.shape):
        return order
    if caller.layout is None and _agree(caller.shape, port.shape):
        return None
    raise DataError(
        f"tensor {port.name!r} is {describe_shape(port.shape)} {wanted} in the variant, "
        f"which {describe_shape(caller.shape)} {given} of the manifest does not give"
    )


def _channels_first(layout: str) -> str:
    leading = "".join(letter for letter in "NC" if letter in layout)
    return leading + "".join(letter for letter in layout if letter not in leading)


def _agree(one: Sequence[int | None], other: Sequence[int | None]) -> bool:
    return all(a is None or b is None or a == b for a, b in zip(one, other, strict=True))


def _with_dtype(spec: TensorSpec, dtype: DType) -> TensorSpec:
    return TensorSpec(spec.name, spec.shape, dtype, spec.layout, spec.quant)
