"""Affine quantization and the requantization modes `fp32` and `q31`, in numpy (docs/numerics.md is the contract).

Everything here is deterministic and elementwise; the rounding mode is half to even (numpy's rint) wherever `q31` does
not say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.dtypes import DType

__all__ = [
    "QuantParams",
    "build_dequantizer",
    "build_quantizer",
    "dequantize",
    "multiplier_fp32",
    "multiplier_q31",
    "multiply_q31",
    "quantize",
    "requantize_fp32",
    "requantize_q31",
]

Float32 = NDArray[np.float32]
AnyArray = NDArray[Any]  # Any: the integer type is data (QuantParams.dtype), not known to the type checker


@dataclass(frozen=True, slots=True)
class QuantParams:
    """Scale and zero point of one tensor: real = scale * (integer - zero_point).

    `scale` and `zero_point` hold one entry (per tensor, `axis` is None) or one per index of `axis` (per channel).
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    dtype: DType
    axis: int | None = None

    def __post_init__(self) -> None:
        if len(self.scale) != len(self.zero_point):
            raise ValueError(f"{len(self.scale)} scales but {len(self.zero_point)} zero points")
        if self.axis is None and len(self.scale) != 1:
            raise ValueError(f"per-tensor parameters hold one scale, got {len(self.scale)}")
        if not all(np.isfinite(s) and s > 0 for s in self.scale):
            raise ValueError("every scale must be finite and above zero")
        low, high = self.dtype.integer_range
        if not all(low <= z <= high for z in self.zero_point):
            raise ValueError(f"zero points must lie in [{low}, {high}]")

    def scale_array(self, rank: int) -> Float32:
        """The scales as float32, shaped to broadcast over a tensor of `rank` dimensions."""
        return self._spread(np.asarray(self.scale, np.float32), rank)

    def zero_point_array(self, rank: int) -> NDArray[np.int64]:
        """The zero points as int64, shaped to broadcast over a tensor of `rank` dimensions."""
        return self._spread(np.asarray(self.zero_point, np.int64), rank)

    def shifted(self, dtype: DType) -> QuantParams:
        """The same real values in the other signedness (int8 <-> uint8): every integer moves by the same amount."""
        move = dtype.integer_range[0] - self.dtype.integer_range[0]
        return QuantParams(self.scale, tuple(z + move for z in self.zero_point), dtype, self.axis)

    def _spread(self, values: AnyArray, rank: int) -> AnyArray:
        if self.axis is None:
            return values.reshape(())
        shape = [1] * rank
        shape[self.axis] = values.size
        return values.reshape(shape)


def quantize(x: AnyArray, params: QuantParams) -> AnyArray:
    """Returns integers of `params.dtype`: clamp(rint(x / scale) + zero_point), computed in float32 as ONNX does."""
    return build_quantizer(params, x.ndim)(x)


def dequantize(q: AnyArray, params: QuantParams) -> Float32:
    """Returns float32 values: float32(q - zero_point) * scale."""
    return build_dequantizer(params, q.ndim)(q)


def build_quantizer(params: QuantParams, rank: int) -> Callable[[AnyArray], AnyArray]:
    """Returns `quantize` prepared for tensors of `rank` dimensions, for a caller with many of them."""
    low, high = params.dtype.integer_range
    kind, scale, zero_point = params.dtype.numpy, params.scale_array(rank), params.zero_point_array(rank)
    # clamping comes before the zero point: of 16 bits or less, every number is then an integer that float32 holds
    # exactly; float64 does so for any float32 integer and int32 zero point
    exact = np.dtype(np.float32 if kind.itemsize <= 2 else np.float64)
    lowest, highest, zero = (value.astype(exact) for value in (low - zero_point, high - zero_point, zero_point))

    def apply(x: AnyArray) -> AnyArray:
        ratio = np.empty(x.shape, np.float32)
        np.divide(x.astype(np.float32, copy=False), scale, out=ratio)
        np.rint(ratio, out=ratio)
        values = ratio.astype(exact, copy=False)
        np.maximum(values, lowest, out=values)
        np.minimum(values, highest, out=values)
        np.add(values, zero, out=values)
        return values.astype(kind)

    return apply


def build_dequantizer(params: QuantParams, rank: int) -> Callable[[AnyArray], Float32]:
    """Returns `dequantize` prepared for tensors of `rank` dimensions, for a caller with many of them."""
    scale, zero_point = params.scale_array(rank), params.zero_point_array(rank)
    if params.dtype.itemsize_bytes > 2:
        return lambda q: (q.astype(np.int64) - zero_point).astype(np.float32) * scale
    zero = zero_point.astype(np.float32)

    def apply(q: AnyArray) -> Float32:
        values = np.asarray(q.astype(np.float32))  # of no axes numpy gives a scalar, which is no place to write to
        np.subtract(values, zero, out=values)  # of 16 bits or less: exact
        np.multiply(values, scale, out=values)
        return values

    return apply


def multiplier_fp32(x_scale: float, w_scale: Float32, y_scale: float) -> Float32:
    """Returns m = f32(f32(s_x * s_w[c]) / s_y), one per output channel (or one in all)."""
    product: Float32 = np.float32(x_scale) * np.asarray(w_scale, np.float32)
    return product / np.float32(y_scale)


def requantize_fp32(acc: NDArray[np.int64], multiplier: Float32, params: QuantParams) -> AnyArray:
    """Returns clamp(rint(f32(acc) * m) + zero_point) in `params.dtype`; `multiplier` broadcasts over `acc`.

    Matches ONNX Runtime's MLAS and XNNPACK bit for bit.
    """
    low, high = params.dtype.integer_range
    scaled = np.rint(acc.astype(np.float32) * multiplier)
    shifted = scaled.astype(np.float64) + params.zero_point[0]
    result: AnyArray = np.asarray(np.clip(shifted, low, high), params.dtype.numpy)
    return result


def multiplier_q31(real: NDArray[np.float64] | float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns (m, shift) with real = m * 2^(shift - 31) and m in [2^30, 2^31), or (0, 0) where real vanishes.

    The mantissa is rounded half away from zero, as TensorFlow Lite's QuantizeMultiplier does.
    """
    mantissa, exponent = np.frexp(np.asarray(real, np.float64))
    fixed = np.floor(mantissa * 2.0**31 + 0.5).astype(np.int64)
    shift = exponent.astype(np.int64)
    shift = np.where(fixed == 1 << 31, shift + 1, shift)
    fixed = np.where(fixed == 1 << 31, 1 << 30, fixed)
    vanishes = shift < -31
    return np.where(vanishes, 0, fixed), np.where(vanishes, 0, shift)


def multiply_q31(x: NDArray[np.int64], multiplier: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns x * multiplier * 2^(shift - 31) in TensorFlow Lite's double rounding; x is in the int32 range.

    First the saturating doubling high multiply (rounds half up in magnitude), then the rounding division by a power of
    two (half away from zero). Broadcasts.
    """
    product = (x << np.maximum(shift, 0)) * multiplier
    nudge = np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    total = product + nudge
    high = np.where(total >= 0, total >> 31, -(-total >> 31))  # division by 2^31 towards zero
    right = np.maximum(-shift, 0)
    mask = (np.int64(1) << right) - 1
    threshold = (mask >> 1) + (high < 0)
    result: NDArray[np.int64] = (high >> right) + ((high & mask) > threshold).astype(np.int64)
    return result


def requantize_q31(
    acc: NDArray[np.int64], multiplier: NDArray[np.int64], shift: NDArray[np.int64], params: QuantParams
) -> AnyArray:
    """Returns clamp(multiply_q31(acc) + zero_point) in `params.dtype`; bit for bit TensorFlow Lite's."""
    low, high = params.dtype.integer_range
    shifted = multiply_q31(acc, multiplier, shift) + params.zero_point[0]
    result: AnyArray = np.asarray(np.clip(shifted, low, high), params.dtype.numpy)
    return result
