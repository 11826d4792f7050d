"""Element types, named as in ONNX, with their numpy twins."""

from __future__ import annotations

import enum

import numpy as np

__all__ = ["DType"]


class DType(enum.Enum):
    """Element type of a tensor; the value is the ONNX name in lower case."""

    FLOAT = "float"
    FLOAT16 = "float16"
    DOUBLE = "double"
    INT4 = "int4"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    BOOL = "bool"
    STRING = "string"

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The numpy dtype of the same width; of 4 bits, which numpy does not have, the next wider one."""
        names = {DType.FLOAT: "float32", DType.DOUBLE: "float64", DType.STRING: "object", DType.INT4: "int8"}
        return np.dtype(names.get(self, self.value))

    @property
    def itemsize_bytes(self) -> int:
        """Bytes per element in memory."""
        return self.numpy.itemsize

    def stored_bytes(self, count: int) -> int:
        """Bytes of so many elements in a file, where two of 4 bits share a byte."""
        return (count + 1) // 2 if self is DType.INT4 else count * self.itemsize_bytes

    @property
    def is_quantized(self) -> bool:
        """True for the integer types that activations and weights are quantized to."""
        return self in {DType.INT4, DType.INT8, DType.UINT8, DType.INT16, DType.UINT16}

    @property
    def integer_range(self) -> tuple[int, int]:
        """Smallest and largest value.

        Raises:
            ValueError: the type is not an integer type.
        """
        if self is DType.INT4:
            return -8, 7
        info = np.iinfo(self.value)
        return int(info.min), int(info.max)

    @classmethod
    def from_numpy(cls, dtype: np.dtype[np.generic] | type) -> DType:
        """Returns the element type of a numpy dtype.

        Raises:
            ValueError: ONNX has no such type here.
        """
        name = np.dtype(dtype).name
        names = {"float32": "float", "float64": "double", "object": "string"}
        return cls(names.get(name, name))
