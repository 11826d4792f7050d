"""What the inputs and outputs of a session of ONNX Runtime are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgert.bundle import TensorSpec
from edgert.dtypes import DType
from edgert.errors import ModelError

__all__ = ["tensor_specs"]

_TYPES = {
    "tensor(float)": DType.FLOAT,
    "tensor(float16)": DType.FLOAT16,
    "tensor(double)": DType.DOUBLE,
    "tensor(int8)": DType.INT8,
    "tensor(uint8)": DType.UINT8,
    "tensor(int16)": DType.INT16,
    "tensor(uint16)": DType.UINT16,
    "tensor(int32)": DType.INT32,
    "tensor(uint32)": DType.UINT32,
    "tensor(int64)": DType.INT64,
    "tensor(uint64)": DType.UINT64,
    "tensor(bool)": DType.BOOL,
    "tensor(string)": DType.STRING,
}


def tensor_specs(values: Sequence[Any]) -> tuple[TensorSpec, ...]:  # Any: onnxruntime's NodeArg
    """Returns what a session takes or gives.

    Raises:
        ModelError: a name is not text, or a type is one that edgert does not run.
    """
    try:
        return tuple(_spec(value) for value in values)
    except UnicodeDecodeError as error:  # damaged names pass onnxruntime's own checks and fail when they are read
        raise ModelError(f"the model is damaged: the name of an input, output or axis is not text ({error})") from error


def _spec(value: Any) -> TensorSpec:  # Any: onnxruntime's NodeArg
    dtype = _TYPES.get(value.type)
    if dtype is None:
        raise ModelError(f"tensor {value.name!r} has type {value.type}, which edgert does not run")
    shape = tuple(size if isinstance(size, int) and size >= 0 else None for size in value.shape or ())
    return TensorSpec(value.name, shape, dtype)
