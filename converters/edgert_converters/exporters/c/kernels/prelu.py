"""PRELU: numbers above zero, slope times number below; slopes are constants, spread over the input."""

from __future__ import annotations

from typing import Final

import numpy as np

from edgert.dtypes import DType
from edgert.quant import QuantParams, multiplier_q31
from edgert_converters.exporters.c.literals import float_literal
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.exporters.c.strides import pair_arguments
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_prelu"]

_LARGEST_PRODUCT: Final = 1 << 16
_LARGEST: Final = 1 << 31


def lower_prelu(operator: TfOperator, network: Lowering) -> None:
    """Adds a PRELU of int8 or of floats.

    Raises:
        ModelError: the types have no kernel, or its results leave the range of the kernels.
    """
    x, slope, y = network.tensor(operator, 0), network.tensor(operator, 1), network.result(operator)
    table = network.constant(operator, 1)
    loops = pair_arguments(x.shape, slope.shape, y.shape)
    if loops is None:
        raise network.refusal(operator, f"slopes of {list(slope.shape)} are spread over more than four axes")
    kinds = {tensor.dtype for tensor in (x, slope, y)}
    if kinds == {DType.FLOAT}:
        kernel, c_type, literals = "prelu_float_table", "float", dict[str, int | str]()
    elif kinds == {DType.INT8} and slope.quant is not None:
        quants = (network.quant(operator, x), slope.quant, network.quant(operator, y))
        kernel, literals = _integer_kernel(operator, network, quants)
        c_type = "int8_t"
    else:
        raise network.refusal(operator, "there is a kernel for it on int8 and on float only")
    constant = Constant("slopes", c_type, table.reshape(-1), f"[{', '.join(map(str, slope.shape))}]")
    network.add(operator, Call(kernel, "pairs", loops, literals, (constant,)), overwrites=(0,))


def _integer_kernel(
    operator: TfOperator, network: Lowering, quants: tuple[QuantParams, QuantParams, QuantParams]
) -> tuple[str, dict[str, int | str]]:
    x, slope, y = quants
    zeros: dict[str, int | str] = {
        "x_zero": x.zero_point[0],
        "slope_zero": slope.zero_point[0],
        "y_zero": y.zero_point[0],
    }
    scales = [np.float32(quant.scale[0]) for quant in quants]
    if network.mode is Requantize.FP32:
        names = ("x_scale", "slope_scale", "y_scale")
        return "prelu_fp32_table", {**zeros, **{n: float_literal(s) for n, s in zip(names, scales, strict=True)}}
    wide = [np.float64(scale) for scale in scales]
    above, below = wide[0] / wide[2], wide[0] * wide[1] / wide[2]
    if _LARGEST_PRODUCT * 2 * max(float(above), float(below), 0.5) >= _LARGEST:
        raise network.refusal(operator, "its output is too fine for its input (a multiplier above 2^14)")
    literals: dict[str, int | str] = {}
    for name, real in (("above", above), ("below", below)):
        fixed, shift = multiplier_q31(real)
        literals |= {f"{name}_multiplier": int(fixed), f"{name}_shift": int(shift)}
    return "prelu_q31_table", {**zeros, **literals}
