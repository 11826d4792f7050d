"""Element-wise operators on two tensors: integers in both modes, floats, spread over each other, with constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Final

import numpy as np

from edgert.dtypes import DType
from edgert.quant import QuantParams, multiplier_q31
from edgert_converters.exporters.c.kernels.float_limits import float_limits
from edgert_converters.exporters.c.literals import float_literal
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.exporters.c.strides import pair_arguments
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import TfOperator, TfTensor

__all__ = ["PAIR_RULES", "lower_pair"]

Literals = dict[str, int | str]
_DOUBLE_EXACT = 1 << 53
_ADD_BITS = 20
_WIDE_ADD_BITS = 15
_MULTIPLIERS_BITS = 31
_FLOAT_KERNELS: Final = {
    "ADD": "add_float",
    "DIV": "div_float",
    "MAXIMUM": "maximum_float",
    "MINIMUM": "minimum_float",
    "MUL": "mul_float",
    "POW": "power_float",
    "SQUARED_DIFFERENCE": "squared_difference_float",
    "SUB": "sub_float",
}
_WITHOUT_LIMITS: Final = frozenset({"MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE"})


def lower_pair(operator: TfOperator, network: Lowering) -> None:
    """Adds an operator on two tensors of int8, or of float; the second one given to the kernel may be a constant.

    Raises:
        ModelError: both are constants, or the types have no kernel.
    """
    order = (0, 1) if network.tensor(operator, 0).data is None else (1, 0)
    a, b = (network.tensor(operator, position) for position in order)
    loops = pair_arguments(a.shape, b.shape, network.result(operator).shape)
    if loops is None:
        raise network.refusal(operator, f"{list(a.shape)} and {list(b.shape)} are spread over more than four axes")
    kernel, literals = _kernel(operator, network, a, b, swapped=order != (0, 1))
    same = tuple(k for k, t in enumerate((a, b)) if t.shape == network.result(operator).shape)
    header = "powers" if operator.name == "POW" else "pairs"
    if b.data is None:
        network.add(operator, Call(kernel, header, loops, literals), reads=order, overwrites=same)
        return
    table = Constant("entries", _c_type(b), b.data.reshape(-1), f"[{', '.join(map(str, b.shape))}]")
    call = Call(f"{kernel}_table", header, loops, literals, (table,))
    network.add(operator, call, reads=order[:1], overwrites=tuple(k for k in same if k == 0))


def _kernel(
    operator: TfOperator, network: Lowering, a: TfTensor, b: TfTensor, *, swapped: bool
) -> tuple[str, Literals]:
    y = network.result(operator)
    if a.dtype is b.dtype is y.dtype is DType.FLOAT:
        return _float_kernel(operator, network, swapped=swapped)
    kinds = {tensor.dtype for tensor in (a, b, y)}
    quants = [tensor.quant for tensor in (a, b, y)]
    if kinds == {DType.INT16} and operator.name == "ADD" and None not in quants:
        return _add_wide(operator, network, swapped=swapped)
    if kinds != {DType.INT8} or operator.name not in _INTEGER_KERNELS or None in quants:
        names = ", ".join(sorted("none" if kind is None else kind.value for kind in kinds))
        raise network.refusal(operator, f"there is no kernel for it on {names}")
    present = [quant for quant in quants if quant is not None]
    return _INTEGER_KERNELS[operator.name](operator, network, (present[0], present[1], present[2]), swapped)


def _float_kernel(operator: TfOperator, network: Lowering, *, swapped: bool) -> tuple[str, Literals]:
    if operator.name == "POW" and swapped:
        return "power_of_float", {}
    if operator.name in _WITHOUT_LIMITS:
        return _FLOAT_KERNELS[operator.name], {}
    literals: Literals = {**float_limits(operator, network)}
    if operator.name == "DIV" and swapped:
        return "divide_into_float", literals
    if operator.name == "SUB":
        signs = ("-1.0f", "1.0f") if swapped else ("1.0f", "-1.0f")
        return "sub_float", {"a_sign": signs[0], "b_sign": signs[1], **literals}
    return _FLOAT_KERNELS[operator.name], literals


Quants = tuple[QuantParams, QuantParams, QuantParams]


def _extreme(operator: TfOperator, network: Lowering, quants: Quants, swapped: bool) -> tuple[str, Literals]:
    if quants[0] != quants[2] or quants[1] != quants[2]:
        raise network.refusal(operator, "its inputs and its output have different parameters")
    return operator.name.lower(), {}


def _mul(operator: TfOperator, network: Lowering, quants: Quants, swapped: bool) -> tuple[str, Literals]:
    a, b, y = quants
    zeros: Literals = {"a_zero": a.zero_point[0], "b_zero": b.zero_point[0]}
    limits = _limits(operator, network, y)
    scales = [np.float32(quant.scale[0]) for quant in quants]
    if network.mode is Requantize.FP32:
        literals = {"multiplier": float_literal(scales[0] * scales[1] / scales[2])}
        return "mul_fp32", {**zeros, **literals, "y_zero": float_literal(float(y.zero_point[0])), **limits}
    real = np.float64(scales[0]) * np.float64(scales[1]) / np.float64(scales[2])
    fixed, shift = multiplier_q31(real)
    if (1 << 16) * max(real, 1.0) >= 1 << _MULTIPLIERS_BITS:
        raise network.refusal(operator, "its output is too fine for its inputs (a multiplier above 2^15)")
    literals = {"multiplier": str(int(fixed)), "shift": str(int(shift))}
    return "mul_q31", {**zeros, **literals, "y_zero": y.zero_point[0], **limits}


def _add_wide(operator: TfOperator, network: Lowering, *, swapped: bool) -> tuple[str, Literals]:
    """Returns the sum of int16, whose operands are shifted by fewer bits."""
    tensors = (network.tensor(operator, 0), network.tensor(operator, 1), network.result(operator))
    a, b, y = (network.quant(operator, tensor, DType.INT16) for tensor in tensors)
    quants = (b, a, y) if swapped else (a, b, y)
    if network.mode is Requantize.Q31:
        kernel, literals = _sum_q31(operator, network, quants, (1, 1), np.float64, _WIDE_ADD_BITS)
        if int(literals["shift"]) > 0:
            raise network.refusal(operator, "its output is too fine for its inputs")
        return f"{kernel}_s16", literals
    kernel, literals = _add(operator, network, quants, swapped)
    return f"{kernel}_s16", literals


def _add(operator: TfOperator, network: Lowering, quants: Quants, swapped: bool) -> tuple[str, Literals]:
    if network.mode is Requantize.Q31:
        return _sum_q31(operator, network, quants, (1, 1), np.float64)
    y = np.float32(quants[2].scale[0])
    ratios = [np.float32(quant.scale[0]) / y for quant in quants[:2]]
    zeros = [ratio * np.float32(quant.zero_point[0]) for ratio, quant in zip(ratios, quants, strict=False)]
    fixed = np.float32(quants[2].zero_point[0]) - (zeros[0] + zeros[1])
    if not _is_exact_in_double((*ratios, fixed), quants[0].dtype):
        raise network.refusal(operator, "the scales of its inputs and of its output are too far apart")
    names = ("a_ratio", "b_ratio")
    literals: Literals = {name: float_literal(ratio) for name, ratio in zip(names, ratios, strict=True)}
    # the interpreter adds the first operand last, so a constant first operand needs a kernel of its own
    return "add_swapped_fp32" if swapped else "add_pairs_fp32", {
        **literals,
        "fixed": float_literal(fixed),
        **_limits(operator, network, quants[2]),
    }


def _is_exact_in_double(values: tuple[np.float32, ...], dtype: DType) -> bool:
    """True where every sum of the two ratios times integers and the third number has at most 53 bits."""
    exact = [Fraction(float(value)) for value in values]
    largest = -dtype.integer_range[0] * (exact[0] + exact[1]) + abs(exact[2])
    return largest * max(value.denominator for value in exact) < _DOUBLE_EXACT


def _sub(operator: TfOperator, network: Lowering, quants: Quants, swapped: bool) -> tuple[str, Literals]:
    signs = (-1, 1) if swapped else (1, -1)
    if network.mode is Requantize.Q31:
        return _sum_q31(operator, network, quants, signs, np.float32)
    literals: Literals = {}
    for name, quant, sign in zip("ab", quants, signs, strict=False):
        literals |= {f"{name}_zero": quant.zero_point[0], f"{name}_scale": float_literal(np.float32(quant.scale[0]))}
        literals[f"{name}_sign"] = sign
    literals["y_scale"] = float_literal(np.float32(quants[2].scale[0]))
    literals["y_zero"] = quants[2].zero_point[0]
    return "sub_fp32", {**literals, **_limits(operator, network, quants[2])}


def _sum_q31(
    operator: TfOperator,
    network: Lowering,
    quants: Quants,
    signs: tuple[int, int],
    kind: type[np.float32] | type[np.float64],
    bits: int = _ADD_BITS,
) -> tuple[str, Literals]:
    """As `ops.q31.sum_q31`: `kind` is the precision of the scales' ratios, `bits` how far operands are shifted left."""
    scales = [kind(np.float32(quant.scale[0])) for quant in quants]
    twice = kind(2) * max(scales[0], scales[1])
    literals: Literals = {}
    for name, quant, scale, sign in zip("ab", quants, scales, signs, strict=False):
        fixed, shift = multiplier_q31(np.float64(scale / twice))
        literals |= {f"{name}_zero": quant.zero_point[0], f"{name}_multiplier": int(fixed), f"{name}_shift": int(shift)}
        literals[f"{name}_sign"] = sign
    fixed, shift = multiplier_q31(np.float64(twice / (kind(1 << bits) * scales[2])))
    literals |= {"multiplier": int(fixed), "shift": int(shift), "y_zero": quants[2].zero_point[0]}
    return "sum_pairs_q31", {**literals, **_limits(operator, network, quants[2])}


def _limits(operator: TfOperator, network: Lowering, y: QuantParams) -> Literals:
    low, high = network.clamp(operator, y)
    return {"low": low, "high": high}


def _c_type(tensor: TfTensor) -> str:
    return {DType.FLOAT: "float", DType.INT16: "int16_t"}.get(tensor.dtype or DType.FLOAT, "int8_t")


_INTEGER_KERNELS: Final[Mapping[str, Callable[[TfOperator, Lowering, Quants, bool], tuple[str, Literals]]]] = {
    "ADD": _add,
    "MAXIMUM": _extreme,
    "MINIMUM": _extreme,
    "MUL": _mul,
    "SUB": _sub,
}

PAIR_RULES: Final = {name: lower_pair for name in _FLOAT_KERNELS if name != "ADD"}
"""By TFLite operator; of ADD what no kernel of its own takes."""
