from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert.quant import QuantParams, dequantize, quantize, requantize_fp32

_ENCODINGS = st.sampled_from([DType.INT8, DType.UINT8])
_SCALES = st.floats(2**-13, 1024, width=32)
# x / s, rint(x / s) * s and the difference each round once in float32
_ROUNDINGS = 4 * np.finfo(np.float32).eps


@st.composite
def _params(draw: st.DrawFn) -> QuantParams:
    dtype = draw(_ENCODINGS)
    low, high = dtype.integer_range
    return QuantParams((draw(_SCALES),), (draw(st.integers(low, high)),), dtype)


@given(_params(), hnp.arrays(np.float32, 20, elements=st.floats(0, 1, width=32)))
@settings(deadline=None)
def test_error_is_at_most_half_a_step_inside_the_range(params: QuantParams, share: NDArray[np.float32]) -> None:
    low, high = params.dtype.integer_range
    ends = dequantize(np.asarray([low, high], params.dtype.numpy), params).astype(np.float64)
    x = (ends[0] + (ends[1] - ends[0]) * share).astype(np.float32)
    back = dequantize(quantize(x, params), params).astype(np.float64)
    scale = params.scale[0]
    assert np.all(np.abs(back - x) <= scale / 2 + _ROUNDINGS * (np.abs(x) + scale))


@given(_params())
@settings(deadline=None)
def test_every_integer_survives_a_round_trip(params: QuantParams) -> None:
    low, high = params.dtype.integer_range
    q = np.arange(low, high + 1).astype(params.dtype.numpy)
    assert np.array_equal(quantize(dequantize(q, params), params), q)


@given(_params(), hnp.arrays(np.float32, 20, elements=st.floats(-1e5, 1e5, width=32)))
@settings(deadline=None)
def test_signedness_is_an_encoding(params: QuantParams, x: NDArray[np.float32]) -> None:
    other = DType.UINT8 if params.dtype is DType.INT8 else DType.INT8
    move = other.integer_range[0] - params.dtype.integer_range[0]
    shifted = params.shifted(other)
    assert shifted.shifted(params.dtype) == params
    assert np.array_equal(quantize(x, shifted).astype(np.int64), quantize(x, params).astype(np.int64) + move)


def test_a_tensor_without_axes_stays_an_array() -> None:
    params = QuantParams((0.5,), (3,), DType.INT8)
    mean = requantize_fp32(np.asarray(7, np.int64), np.float32(0.5), params)
    assert isinstance(mean, np.ndarray)
    assert float(dequantize(mean, params)) == 2.0
