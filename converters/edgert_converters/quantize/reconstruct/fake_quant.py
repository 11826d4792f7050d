"""Quantization as float computation: what the integers of a plan stand for (docs/numerics.md is the contract).

rint (half to even) of x / scale, clamped to the range of the integers around the zero point.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from edgert.quant import QuantParams, dequantize
from edgert_converters.quantize.reconstruct.torch_graph import Quantizer
from edgert_converters.quantize.weights import QuantizedWeights

__all__ = ["fixed_quantizer", "learning_quantizer", "round_through", "rounded_constants"]


def fixed_quantizer(params: Mapping[str, QuantParams]) -> Quantizer:
    """Returns the quantizer of a plan's activations; values without parameters stay as they are."""

    def apply(name: str, x: Tensor) -> Tensor:
        if name not in params:
            return x
        scale, zero = params[name].scale[0], params[name].zero_point[0]
        low, high = params[name].dtype.integer_range
        return (x / scale).round_().clamp_(low - zero, high - zero).mul_(scale)

    return apply


def round_through(x: Tensor) -> Tensor:
    """Returns x rounded; gradients pass as if it were not."""
    return x + (x.round() - x).detach()


def learning_quantizer(params: Mapping[str, QuantParams]) -> Quantizer:
    """Returns the quantizer of a plan's activations through which gradients pass, except where it clamps."""

    def apply(name: str, x: Tensor) -> Tensor:
        if name not in params:
            return x
        scale, zero = params[name].scale[0], params[name].zero_point[0]
        low, high = params[name].dtype.integer_range
        return round_through((x / scale).clamp(low - zero, high - zero)) * scale

    return apply


def rounded_constants(weights: QuantizedWeights) -> tuple[Tensor, Tensor | None]:
    """Returns what the integers of one weighted operator stand for, float32."""
    weight = torch.from_numpy(dequantize(weights.weight, weights.weight_params))
    if weights.bias is None or weights.bias_params is None:
        return weight, None
    bias = dequantize(weights.bias, weights.bias_params)
    return weight, torch.from_numpy(np.asarray(bias, np.float32))
