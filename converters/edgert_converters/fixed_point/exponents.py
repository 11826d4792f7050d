"""Smaller exponents where that pays: a few large values saturate, all others get another bit.

A power of two wastes up to one bit of a block's eight, and one outlier wastes more. Among the exponent that just holds
the largest magnitude and the next two smaller ones, the block takes the one with the least squared error. For weights
it makes no difference: they have no outliers inside a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert_converters.engine import load_runner
from edgert_converters.fixed_point.formats import Format
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import expose_values

__all__ = ["best_formats"]

_CANDIDATES = 3


@dataclass(slots=True)
class _Errors:
    """Sums of squared errors, float64[candidates, blocks...], of one tensor over the samples so far."""

    form: Format
    totals: NDArray[np.float64]

    def update(self, x: Array) -> None:
        self.totals += np.stack([_block_errors(x, _smaller(self.form, k)) for k in range(_CANDIDATES)])

    def best(self) -> Format:
        """The first of equals is kept: the exponent that saturates nothing."""
        down = self.totals.argmin(axis=0).astype(np.int16)
        return replace(self.form, exponents=self.form.exponents - down)


def best_formats(
    model: ir.Model, formats: Mapping[str, Format], samples: Iterable[Mapping[str, Array]]
) -> dict[str, Format]:
    """Returns the formats with the exponents of least squared error over all samples.

    Args:
        model: the float graph; not changed.
        formats: formats of some of its values, by name.
        samples: inputs by name; one is in memory at a time.
    """
    inputs = {v.name for v in model.graph.inputs}
    run = load_runner(expose_values(model, [name for name in formats if name not in inputs]))
    errors = {name: _Errors(f, np.zeros((_CANDIDATES, *f.exponents.shape))) for name, f in formats.items()}
    for sample in samples:
        arrays = {**sample, **run(sample)}
        for name, error in errors.items():
            error.update(np.asarray(arrays[name]))
    return {name: error.best() for name, error in errors.items()}


def _smaller(form: Format, by: int) -> Format:
    return replace(form, exponents=form.exponents - np.int16(by))


def _block_errors(x: Array, form: Format) -> NDArray[np.float64]:
    exponents = form.expand(x.shape).astype(np.int64)
    scaled = np.ldexp(np.asarray(x, np.float64), -exponents)
    error = np.ldexp(scaled - np.clip(np.rint(scaled), -form.largest, form.largest), exponents) ** 2
    over = tuple(a for a, count in enumerate(form.exponents.shape) if count == 1)
    total = np.asarray(error.sum(axis=over, keepdims=True))
    for axis, length in enumerate(form.blocks):
        if length and form.exponents.shape[axis] > 1:
            total = np.add.reduceat(total, range(0, total.shape[axis], length), axis=axis)
    return total
