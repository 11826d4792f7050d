"""Names and numbers of the TFLite schema, taken from the generated code of the package `tflite`."""

from __future__ import annotations

import functools
import importlib
import re
from types import ModuleType
from typing import Any, Final

from edgert.dtypes import DType
from edgert.errors import MissingExtraError

__all__ = [
    "ACTIVATIONS",
    "DTYPES",
    "PADDINGS",
    "builtin_codes",
    "builtin_names",
    "option_fields",
    "options_codes",
    "options_table",
    "schema_module",
]

PADDINGS: Final = ("SAME", "VALID")
"""Names of the schema's Padding, by number."""

ACTIVATIONS: Final = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
"""Names of the schema's ActivationFunctionType, by number."""

DTYPES: Final[dict[int, DType]] = {
    0: DType.FLOAT,
    1: DType.FLOAT16,
    2: DType.INT32,
    3: DType.UINT8,
    4: DType.INT64,
    5: DType.STRING,
    6: DType.BOOL,
    7: DType.INT16,
    9: DType.INT8,
    10: DType.DOUBLE,
    12: DType.UINT64,
    15: DType.UINT32,
    16: DType.UINT16,
    17: DType.INT4,
}
"""The schema's TensorType of every element type that edgert carries; the others (complex, resource, ...) are absent."""

# operators whose options table does not carry their own name
_TABLES = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "BROADCAST_TO": "BroadcastToOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_3D_TRANSPOSE": "Conv3DOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "REDUCE_ALL": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "SUM": "ReducerOptions",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "SequenceRNNOptions",
}


def schema_module(name: str) -> ModuleType:
    """Returns the generated module of one table or enum of the schema.

    Raises:
        MissingExtraError: the package `tflite` is not installed.
    """
    try:
        return importlib.import_module(f"tflite.{name}")
    except ModuleNotFoundError as error:
        raise MissingExtraError("tflite", "convert", "reading and writing .tflite files") from error


def _enum(name: str) -> dict[str, int]:
    holder = getattr(schema_module(name), name)
    return {key: value for key, value in vars(holder).items() if isinstance(value, int) and not key.startswith("_")}


@functools.cache
def builtin_codes() -> dict[str, int]:
    """Returns the number of every builtin operator by name."""
    return _enum("BuiltinOperator")


@functools.cache
def builtin_names() -> dict[int, str]:
    """Returns the name of every builtin operator by number."""
    return {code: name for name, code in builtin_codes().items()}


@functools.cache
def options_codes() -> dict[str, int]:
    """Returns the number of every options table in the union BuiltinOptions."""
    return _enum("BuiltinOptions")


def options_table(operator: str) -> str | None:
    """Returns the name of the options table of a builtin operator, or None where it has none."""
    camel = "".join(part.capitalize() for part in operator.split("_"))
    camel = re.sub(r"(?<=\d)d\b|(?<=\d)d$", "D", camel)
    known = {name.lower(): name for name in options_codes()}
    return _TABLES.get(operator) or known.get(f"{camel}Options".lower())


@functools.cache
def option_fields(table: str) -> dict[str, str]:
    """Returns snake_case -> CamelCase of the fields of an options table, in schema order."""
    prefix = f"{table}Add"
    names = [name.removeprefix(prefix) for name in vars(schema_module(table)) if name.startswith(prefix)]
    return {_snake(name): name for name in names}


def option_class(table: str) -> Any:  # Any: generated code
    """Returns the generated accessor class of an options table."""
    return getattr(schema_module(table), table)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
