"""Functions of single floats, and the way between floats and integers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from edgert.dtypes import DType
from edgert_converters.exporters.c.literals import float_literal
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call
from edgert_converters.tflite.model import TfOperator

__all__ = ["FLOAT_RULES"]

Rule = Callable[[TfOperator, Lowering], None]
_TYPES: Final = {DType.INT8: "s8", DType.UINT8: "u8", DType.INT16: "s16"}
_LARGEST: Final = "EDGERT_LARGEST"
_LIMITS: Final = {"RELU": (0.0, None), "RELU6": (0.0, 6.0), "RELU_0_TO_1": (0.0, 1.0), "RELU_N1_TO_1": (-1.0, 1.0)}
_MATH: Final = ("CEIL", "COS", "FLOOR", "LOG", "ROUND", "SIGN", "SIN")
_PLAIN: Final = ("ABS", "ELU", "EXP", "HARD_SWISH", "LOGISTIC", "NEG", "RSQRT", "SQRT", "SQUARE", "TANH")


def lower_dequantize(operator: TfOperator, network: Lowering) -> None:
    """Adds the way from integers to floats.

    Raises:
        ModelError: the integers have no kernel.
    """
    x = network.tensor(operator, 0)
    kind = None if x.dtype is None else _TYPES.get(x.dtype)
    if x.quant is None or kind is None:
        raise network.refusal(operator, f"{x.name!r} is no integer of 8 or 16 bits with a scale")
    literals: dict[str, int | str] = {
        "zero": x.quant.zero_point[0],
        "scale": float_literal(np.float32(x.quant.scale[0])),
    }
    call = Call(f"dequantize_{kind}", "float_functions", {"count": math.prod(x.shape)}, literals)
    network.add(operator, call)


def lower_quantize(operator: TfOperator, network: Lowering) -> None:
    """Adds the way from floats to integers.

    Raises:
        ModelError: the integers have no kernel, or integers of 16 bits change their scale.
    """
    x, y = network.tensor(operator, 0), network.result(operator)
    kind = None if y.dtype is None else _TYPES.get(y.dtype)
    if x.dtype is not DType.FLOAT or y.quant is None or kind is None:
        raise network.refusal(operator, "it takes floats to integers of 8 or 16 bits, or integers of 8 bits to such")
    low, high = y.quant.dtype.integer_range
    literals: dict[str, int | str] = {
        "zero": y.quant.zero_point[0],
        "scale": float_literal(np.float32(y.quant.scale[0])),
        "low": low,
        "high": high,
    }
    call = Call(f"quantize_{kind}", "float_functions", {"count": math.prod(x.shape)}, literals)
    network.add(operator, call, overwrites=(0,))


def lower_gelu(operator: TfOperator, network: Lowering) -> None:
    """Adds a GELU by the error function, or by the hyperbolic tangent where the operator says so."""
    kernel = "gelu_tanh_float" if operator.options.get("approximate") else "gelu_float"
    _unary(kernel, lambda _: {}, "float_math")(operator, network)


def lower_cumsum(operator: TfOperator, network: Lowering) -> None:
    """Adds running sums of floats along a constant axis.

    Raises:
        ModelError: the numbers are no floats.
    """
    x = network.tensor(operator, 0)
    if x.dtype is not DType.FLOAT:
        raise network.refusal(operator, "there is a kernel for it on float only")
    axis = int(network.constant(operator, 1).reshape(-1)[0]) % len(x.shape)
    arguments = {
        "batch": math.prod(x.shape[:axis]),
        "length": x.shape[axis],
        "depth": math.prod(x.shape[axis + 1 :]),
        "is_exclusive": int(bool(operator.options.get("exclusive"))),
        "is_reverse": int(bool(operator.options.get("reverse"))),
    }
    network.add(operator, Call("cumsum_float", "float_math", arguments), overwrites=(0,))


def _unary(
    kernel: str, literals: Callable[[TfOperator], dict[str, int | str]], header: str = "float_functions"
) -> Rule:
    def lower(operator: TfOperator, network: Lowering) -> None:
        x = network.tensor(operator, 0)
        if x.dtype is not DType.FLOAT:
            kind = "none" if x.dtype is None else x.dtype.value
            raise network.refusal(operator, f"there is no kernel for it on {kind}")
        call = Call(kernel, header, {"count": math.prod(x.shape)}, literals(operator))
        network.add(operator, call, overwrites=(0,))

    return lower


def _limit(low: float, high: float | None) -> Rule:
    limits: dict[str, int | str] = {
        "low": float_literal(low),
        "high": _LARGEST if high is None else float_literal(high),
    }
    return _unary("limit_float", lambda _: limits)


def _slope(operator: TfOperator) -> dict[str, int | str]:
    return {"alpha": float_literal(float(str(operator.options["alpha"])))}


FLOAT_RULES: Final[dict[str, Rule]] = {
    "CUMSUM": lower_cumsum,
    "DEQUANTIZE": lower_dequantize,
    "GELU": lower_gelu,
    "LEAKY_RELU": _unary("leaky_relu_float", _slope),
    "QUANTIZE": lower_quantize,
    **{name: _limit(*limits) for name, limits in _LIMITS.items()},
    **{name: _unary(f"{name.lower()}_float", lambda _: {}) for name in _PLAIN},
    **{name: _unary(f"{name.lower()}_float", lambda _: {}, "float_math") for name in _MATH},
}
"""By TFLite operator."""
