"""Quantization as float computation: what the integers of a plan stand for, with gradients.

Forward it is the contract of docs/numerics.md: rint (half to even) of x / scale, clamped to the integers' range around
the zero point. Scales that are learned follow Esser, McKinstry, Bablani, Appuswamy and Modha, Learned step size
quantization, 2020, arXiv:1902.08153, equations 1-3 (straight-through inside the range, the gradient of the scale by
the rounding error inside and by the clamp outside). We deviate in the scale of that gradient: the scale is learned as
its logarithm under Adam, which makes the paper's factor 1 / sqrt(N Q) unnecessary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgert.quant import QuantParams, dequantize
from edgert_converters.quantize.reconstruct.torch_graph import Quantizer
from edgert_converters.quantize.weights import QuantizedWeights

__all__ = ["FakeQuantize", "fixed_quantizer", "rounded_constants"]


class FakeQuantize(torch.autograd.Function):  # type: ignore[misc]  # torch's own base class is Any here
    """y = scale * clamp(rint(x / scale), low, high); gradients for x and (where asked) for the scale."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:  # Any: torch's own context
        """Returns y."""
        step = float(scale.detach())
        y = x / step
        y.round_().clamp_(low, high).mul_(step)
        ctx.save_for_backward(x, y, scale)
        ctx.inside = ((low - 0.5) * step, (high + 0.5) * step)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:  # Any: torch's own signature
        """Returns the gradients of `forward`'s arguments."""
        x, y, scale = ctx.saved_tensors
        (above,) = gradients
        below = torch.where((x >= ctx.inside[0]) & (x <= ctx.inside[1]), above, 0.0)
        if not scale.requires_grad:
            return below, None, None, None
        return below, ((above * y).sum() - (below * x).sum()) / scale, None, None


def fixed_quantizer(params: Mapping[str, QuantParams]) -> Quantizer:
    """Returns the quantizer of a plan's activations; values without parameters stay as they are."""

    def apply(name: str, x: Tensor) -> Tensor:
        if name not in params:
            return x
        scale, zero = params[name].scale[0], params[name].zero_point[0]
        low, high = params[name].dtype.integer_range
        return (x / scale).round_().clamp_(low - zero, high - zero).mul_(scale)

    return apply


def rounded_constants(weights: QuantizedWeights) -> tuple[Tensor, Tensor | None]:
    """Returns what the integers of one weighted operator stand for, float32."""
    weight = torch.from_numpy(dequantize(weights.weight, weights.weight_params))
    if weights.bias is None or weights.bias_params is None:
        return weight, None
    bias = dequantize(weights.bias, weights.bias_params)
    return weight, torch.from_numpy(np.asarray(bias, np.float32))
