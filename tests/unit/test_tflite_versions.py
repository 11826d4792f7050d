from __future__ import annotations

from collections.abc import Mapping

import pytest

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.tflite.model import OptionValue, TfOperator, TfSubgraph, TfTensor
from edgert_converters.tflite.versions import operator_version

Shape = tuple[int, ...]
_PER_CHANNEL = QuantParams((0.1, 0.2), (0, 0), DType.INT8, 0)


def _version(
    name: str, *inputs: tuple[DType, Shape], y: DType | None = None, options: Mapping[str, OptionValue] | None = None
) -> int:
    tensors = [TfTensor(f"x{k}", shape, dtype) for k, (dtype, shape) in enumerate(inputs)]
    result = TfTensor("y", inputs[0][1], y or inputs[0][0])
    item = TfOperator(name, tuple(range(len(inputs))), (len(inputs),), options or {})
    return operator_version(item, TfSubgraph((*tensors, result), (item,), (), ()))


@pytest.mark.parametrize(
    ("name", "dtype", "version"),
    [
        ("ABS", DType.FLOAT, 1), ("ABS", DType.INT8, 2), ("ABS", DType.INT16, 3), ("ABS", DType.INT32, 5),
        ("ADD", DType.INT8, 2), ("ADD", DType.INT64, 4), ("ARG_MAX", DType.BOOL, 3), ("CUMSUM", DType.FLOAT, 1),
        ("ELU", DType.INT8, 1), ("EQUAL", DType.INT8, 2), ("EQUAL", DType.INT16, 4), ("EXP", DType.INT8, 2),
        ("FLOOR_DIV", DType.FLOAT, 2), ("GELU", DType.UINT8, 2), ("REVERSE_V2", DType.BOOL, 2),
        ("SIGN", DType.INT32, 2), ("SQUARED_DIFFERENCE", DType.INT8, 2), ("TILE", DType.INT8, 3),
        ("TOPK_V2", DType.INT8, 2),
        ("WHERE", DType.BOOL, 1), ("WHERE", DType.FLOAT, 2), ("BROADCAST_TO", DType.FLOAT, 2),
    ],
)  # fmt: skip
def test_by_type(name: str, dtype: DType, version: int) -> None:
    assert _version(name, (dtype, (2, 3))) == version


@pytest.mark.parametrize("name", ["MAXIMUM", "SUB"])
def test_broadcasting_over_five_axes_is_newer_than_five_axes(name: str) -> None:
    five = (DType.FLOAT, (1, 2, 3, 4, 5))
    assert _version(name, five, five) == 1
    assert _version(name, five, (DType.FLOAT, (5,))) == 3


def test_by_shape() -> None:
    assert _version("TRANSPOSE", (DType.FLOAT, (1, 2, 3, 4, 5))) == 4
    assert _version("TRANSPOSE", (DType.FLOAT, (1, 2, 3, 4, 5, 6))) == 6
    assert _version("SPACE_TO_BATCH_ND", (DType.FLOAT, (1, 2, 3))) == 3
    assert _version("SELECT", (DType.BOOL, (1,) * 5), (DType.FLOAT, (1,) * 5), (DType.FLOAT, (1,) * 5)) == 3


def test_by_option_and_by_the_other_side() -> None:
    assert _version("GATHER", (DType.FLOAT, (2, 3)), (DType.INT32, (2,)), options={"batch_dims": 1}) == 5
    assert _version("CAST", (DType.INT8, (2,)), y=DType.FLOAT) == 3
    assert _version("CAST", (DType.FLOAT, (2,)), y=DType.FLOAT16) == 5
    assert _version("FILL", (DType.INT32, (2,)), y=DType.BOOL) == 2
    x, y = TfTensor("x", (2,), DType.INT8, None, _PER_CHANNEL), TfTensor("y", (2,), DType.FLOAT)
    item = TfOperator("DEQUANTIZE", (0,), (1,))
    assert operator_version(item, TfSubgraph((x, y), (item,), (), ())) == 5
