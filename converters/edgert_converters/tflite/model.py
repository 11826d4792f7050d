"""What a .tflite file holds, as frozen values: the form between the flatbuffer and the operator table's hooks.

Tensors, operators and subgraphs refer to each other by index, as in the file; -1 as an operator's input is an absent
optional input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.ops.spec import Array

__all__ = ["OptionValue", "TfModel", "TfOperator", "TfSignature", "TfSubgraph", "TfTensor"]

OptionValue: TypeAlias = "bool | int | float | str | tuple[int, ...] | tuple[float, ...]"


@dataclass(frozen=True, slots=True)
class TfTensor:
    """One tensor; `data` is set for constants, `quant` for integers with a scale.

    `shape` is what an interpreter allocates first; `signature` has -1 for an axis that may vary, or is None. `dtype` is
    None for a handle of a resource variable. `is_variable`: keeps its value between runs.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType | None
    data: Array | None = None
    quant: QuantParams | None = None
    signature: tuple[int, ...] | None = None
    is_variable: bool = False


@dataclass(frozen=True, slots=True)
class TfOperator:
    """One operator: `name` as in the schema's BuiltinOperator (CONV_2D), or the code of a custom operator.

    `options` are the fields of its options table in snake case, defaults filled in.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    version: int = 1
    is_custom: bool = False
    custom_options: bytes = b""


@dataclass(frozen=True, slots=True)
class TfSubgraph:
    """Operators in execution order over a list of tensors."""

    tensors: tuple[TfTensor, ...]
    operators: tuple[TfOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class TfSignature:
    """A named entry: names of inputs and outputs, in order, and their tensors in `subgraph`."""

    key: str
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    subgraph: int = 0


@dataclass(frozen=True, slots=True)
class TfModel:
    """A whole file; subgraph 0 is the main one. `metadata` holds named blobs of bytes."""

    subgraphs: tuple[TfSubgraph, ...]
    signatures: tuple[TfSignature, ...] = ()
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    description: str = ""
