"""SOFTMAX."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.ops.fixed_point import exp_negative
from edgert_converters.ops.q31 import DIFFERENCE_BITS, scaled_differences
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_softmax"]


def lower_softmax(operator: TfOperator, network: Lowering) -> None:
    """Adds a softmax over the last axis, its exponentials from a table by the difference to the largest logit.

    Raises:
        ModelError: beta is not 1.
    """
    tensor = network.tensor(operator, 0)
    x = network.quant(operator, tensor)
    if operator.options.get("beta", 1.0) not in {0.0, 1.0}:  # some writers leave it out, which reads as 0
        raise network.refusal(operator, f"beta is {operator.options['beta']}; kernels take 1")
    depth = tensor.shape[-1]
    arguments = {"batch": math.prod(tensor.shape) // depth, "depth": depth}
    if network.mode is Requantize.FP32:
        arguments["drop"] = max(depth.bit_length() - 3, 1)
        call = Call("softmax_fp32", "softmax", arguments, {}, (_powers_fp32(x.scale[0]),))
    else:
        powers = _powers_q31(x.scale[0])
        call = Call("softmax_q31", "softmax", {**arguments, "known": len(powers.values)}, {}, (powers,))
    network.add(operator, call, overwrites=(0,))


def _powers_q31(scale: float) -> Constant:
    """Returns exp of differences, without the zeros at the end."""
    raw, taken = scaled_differences(-np.arange(256, dtype=np.int64), np.float32(scale))
    powers = np.where(taken, exp_negative(raw, DIFFERENCE_BITS), 0).astype(np.int32)
    known = int(np.flatnonzero(powers)[-1]) + 1
    return Constant("powers", "int32_t", powers[:known], "exp of differences, Q0", is_payload=False)


def _powers_fp32(scale: float) -> Constant:
    """Returns exp(-16 s i), then exp(-s j), as Q62: their product has the error of one in double precision.

    Integer quotients of them equal the interpreter's double precision unless 256 p lies within some 2^-40 of a half
    that it does not hit; with terms that are exact in both, halves too come out alike.
    """
    steps = np.concatenate([16 * np.arange(16), np.arange(16)]).astype(np.float64)
    powers = np.exp(-np.float64(np.float32(scale)) * steps)
    fixed = np.asarray([round(Fraction(float(power)) * (1 << 62)) for power in powers], np.uint64)
    return Constant("powers", "uint64_t", fixed, "exp of 16 and of single differences, Q62", is_payload=False)
