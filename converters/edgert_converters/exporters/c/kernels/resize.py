"""RESIZE_BILINEAR: positions and weights as tables, by the same functions as the integer interpreter's."""

from __future__ import annotations

from typing import Final

import numpy as np

from edgert.dtypes import DType
from edgert_converters.exporters.c.literals import float_literal
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.ops.interpolation import Resampling
from edgert_converters.ops.resize import linear_neighbours
from edgert_converters.ops.resize_q31 import neighbours_q31
from edgert_converters.ops.spec import Array, Node
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_resize_bilinear"]

_ONE: Final = 1 << 10
_OPSET: Final = 13


def lower_resize_bilinear(operator: TfOperator, network: Lowering) -> None:
    """Adds a linear resize of int8 or float.

    Raises:
        ModelError: integers change their parameters.
    """
    x, y = network.tensor(operator, 0), network.result(operator)
    plan = [Resampling(x.shape[axis], y.shape[axis], y.shape[axis] / x.shape[axis]) for axis in (1, 2)]
    arguments = {"out_rows": y.shape[1], "out_columns": y.shape[2], "in_columns": x.shape[2], "depth": x.shape[3]}
    literals: dict[str, int | str] = {}
    kernel, taps, kind = "resize_float", _taps_float32(operator, plan), "edgert_tap_float_t"
    if x.dtype is not DType.FLOAT:
        quant = network.quant(operator, x)
        if quant != y.quant:
            raise network.refusal(operator, "it moves integers and its output has other parameters than its input")
        if network.mode is Requantize.Q31:
            kernel, taps, kind = "resize_q31", _taps_q31(operator, plan), "edgert_tap_t"
        else:
            literals = {"zero": quant.zero_point[0], "scale": float_literal(np.float32(quant.scale[0]))}
            kernel = "resize_fp32"
    tables = tuple(
        Constant(name, kind, table, "neighbours and weights", is_payload=False)
        for name, table in zip(("rows", "columns"), taps, strict=True)
    )
    network.add(operator, Call(kernel, "resize", arguments, literals, tables), is_sample=True)


def _flags(operator: TfOperator) -> tuple[bool, bool]:
    return bool(operator.options.get("align_corners")), bool(operator.options.get("half_pixel_centers"))


def _taps_q31(operator: TfOperator, plan: list[Resampling]) -> list[Array]:
    align, half = _flags(operator)
    tables = []
    for axis in plan:
        before, after, late = neighbours_q31(axis, align=align, half=half)
        tables.append(_table([before, after, _ONE - late, late], ["<i2"] * 4))
    return tables


def _taps_float32(operator: TfOperator, plan: list[Resampling]) -> list[Array]:
    align, half = _flags(operator)
    place = "align_corners" if align else "half_pixel" if half else "asymmetric"
    node = Node("Resize", "", {"coordinate_transformation_mode": place}, (), (), {}, _OPSET)
    tables = []
    for axis in plan:
        before, after, (early, late) = linear_neighbours(node, axis)
        tables.append(_table([before, after, early, late], ["<i2", "<i2", "<f4", "<f4"]))
    return tables


def _table(columns: list[Array], kinds: list[str]) -> Array:
    rows = np.empty(len(columns[0]), list(zip(("before", "after", "early", "late"), kinds, strict=True)))
    for name, column in zip(("before", "after", "early", "late"), columns, strict=True):
        rows[name] = column
    return rows
