"""Does a candidate give the outputs that its variant was judged by? A comparison on a few inputs, as it runs.

It catches an engine that computes otherwise than was asked (bf16 for float32, a wrong kernel). How accurate a variant
is in the end only labelled data can say: that is the accuracy gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLOAT_SHARE", "why_outputs_differ"]

Array = NDArray[Any]  # Any: element types are data

FLOAT_SHARE = 1e-4
"""Of the largest magnitude of an output: what float32 kernels that add in another order may differ by. Measured with
OpenVINO on three networks: at most 7e-7 in float32, 3e-3 to 1e-2 in bf16."""
_NOISE_RATIO = 1.5
"""How much larger than its own measured noise a quantized variant's distance from the float model may be."""


def why_outputs_differ(
    outputs: Mapping[str, Array],
    expected: Mapping[str, Array],
    reference: Mapping[str, Array],
    *,
    is_float: bool,
) -> str | None:
    """Returns why the outputs of a candidate are not those of its variant, or None where they are.

    A float variant must give `expected` within 1e-4 of the largest magnitude. Any other may differ from it (kernels of
    engines round differently by a few steps), but its root mean square distance from `reference` must not exceed 1.5
    times that of `expected`.

    Args:
        outputs: by name, [N, ...].
        expected: what the variant gave when it was converted.
        reference: what the float model gave.
        is_float: whether the variant computes in float32 or 64, as far as is known.
    """
    for name, wanted in expected.items():
        got = outputs.get(name)
        if got is None:
            return f"gives no output {name!r}"
        if got.shape != wanted.shape:
            return f"output {name!r} is of shape {list(got.shape)}, expected {list(wanted.shape)}"
        ideal = reference.get(name)
        if is_float or ideal is None or ideal.shape != wanted.shape:
            reason = _differs(name, _real(got), _real(wanted))
        else:
            reason = _noisier(name, _real(got), _real(wanted), _real(ideal))
        if reason is not None:
            return reason
    return None


def _differs(name: str, got: Array, wanted: Array) -> str | None:
    finite = np.isfinite(wanted)
    if not np.array_equal(got[~finite], wanted[~finite], equal_nan=True) or not np.isfinite(got[finite]).all():
        return f"output {name!r} is not finite where it should be, or the other way round"
    error = float(np.abs(got[finite] - wanted[finite]).max(initial=0.0))
    scale = float(np.abs(wanted[finite]).max(initial=0.0)) or 1.0
    if error <= FLOAT_SHARE * scale:
        return None
    return f"output {name!r} differs by {error / scale:.2g} of its largest value, at most {FLOAT_SHARE:g} is allowed"


def _noisier(name: str, got: Array, wanted: Array, ideal: Array) -> str | None:
    finite = np.isfinite(ideal) & np.isfinite(wanted)
    if not np.isfinite(got[finite]).all():
        return f"output {name!r} is not finite where it should be"
    noise, own = _rms(got[finite] - ideal[finite]), _rms(wanted[finite] - ideal[finite])
    scale = float(np.abs(ideal[finite]).max(initial=0.0)) or 1.0
    if noise <= _NOISE_RATIO * own + FLOAT_SHARE * scale:
        return None
    return f"output {name!r} is {noise / scale:.2g} off the float model, the variant itself {own / scale:.2g}"


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def _real(array: Array) -> Array:
    return array.astype(np.float64)
