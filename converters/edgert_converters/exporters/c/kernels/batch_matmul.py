"""BATCH_MATMUL: products of computed matrices, spread over leading axes."""

from __future__ import annotations

import math

import numpy as np

from edgert.dtypes import DType
from edgert.quant import QuantParams, multiplier_fp32, multiplier_q31
from edgert_converters.exporters.c.literals import float_literal
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call
from edgert_converters.exporters.c.strides import pair_arguments
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_batch_matmul"]

_LARGEST_SUM = (1 << 31) - 1
_LARGEST_RESULT = 1 << 22


def lower_batch_matmul(operator: TfOperator, network: Lowering) -> None:
    """Adds products [..., rows, terms] x [..., terms, columns] of int8 or of floats.

    Raises:
        ModelError: a factor is to be transposed, the types have no kernel, or sums can leave 32 bits.
    """
    a, b, y = network.tensor(operator, 0), network.tensor(operator, 1), network.result(operator)
    if operator.options.get("adj_x") or operator.options.get("adj_y"):
        raise network.refusal(operator, "it transposes a factor", "put a Transpose before it")
    loops = pair_arguments(a.shape[:-2], b.shape[:-2], y.shape[:-2])
    if loops is None:
        raise network.refusal(operator, f"{list(a.shape)} and {list(b.shape)} are spread over more than four axes")
    rows, terms, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    arguments = {**loops, "rows": rows, "terms": terms, "columns": columns}
    kinds = {tensor.dtype for tensor in (a, b, y)}
    if kinds == {DType.FLOAT}:
        call = Call("batch_matmul_float", "batch_matmul_float", arguments)
    elif kinds == {DType.INT8}:
        quants = [network.quant(operator, tensor) for tensor in (a, b, y)]
        call = Call("batch_matmul", "batch_matmul", arguments, _literals(operator, network, quants, terms))
    else:
        raise network.refusal(operator, "there is a kernel for it on int8 and on float only")
    network.add(operator, call, reads=(0, 1), macs=math.prod(y.shape) * terms)


def _literals(operator: TfOperator, network: Lowering, quants: list[QuantParams], terms: int) -> dict[str, int | str]:
    a, b, y = quants
    largest = terms * math.prod(max(127 - q.zero_point[0], q.zero_point[0] + 128) for q in (a, b))
    ends: dict[str, int | str] = {
        "a_zero": a.zero_point[0],
        "b_zero": b.zero_point[0],
        "y_zero": y.zero_point[0],
        "low": -128,
        "high": 127,
    }
    if network.mode is Requantize.FP32:
        multiplier = multiplier_fp32(a.scale[0], np.asarray(b.scale, np.float32), y.scale[0])[0]
        if largest > _LARGEST_SUM or largest * float(multiplier) >= _LARGEST_RESULT:
            raise network.refusal(operator, "its results can reach 2^22 steps of the output")
        return {"multiplier": float_literal(multiplier), "shift": 0, **ends}
    product = np.float64(np.float32(a.scale[0]) * np.float32(b.scale[0]))
    fixed, shift = multiplier_q31(product / np.float64(np.float32(y.scale[0])))
    if largest << max(int(shift), 0) > _LARGEST_SUM:
        raise network.refusal(operator, "its sums can leave 32 bits")
    return {"multiplier": int(fixed), "shift": int(shift), **ends}
