"""Writes plain values as the flatbuffer of a .tflite file; the same values give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgert.dtypes import DType
from edgert_converters.tflite.model import OptionValue, TfModel, TfOperator, TfSignature, TfSubgraph, TfTensor
from edgert_converters.tflite.schema import (
    DTYPES,
    builtin_codes,
    option_fields,
    options_codes,
    options_table,
    schema_module,
)

__all__ = ["serialize_tflite"]

_TYPES = {dtype: number for number, dtype in DTYPES.items()}
_IDENTIFIER = b"TFL3"
_VERSION = 3
_ALIGNMENT = 16
_LAST_OLD_CODE = 127
_RESOURCE = 13


def serialize_tflite(model: TfModel) -> bytes:
    """Returns the bytes of a .tflite file.

    Raises:
        ValueError: an operator or an option is not in the schema, or the file would pass 2 GB.
    """
    return _Writer().write(model)


class _Writer:
    def __init__(self) -> None:
        import flatbuffers

        self._builder: Any = flatbuffers.Builder(1 << 16)  # Any: untyped package
        self._buffers: list[bytes] = [b""]
        self._known: dict[bytes, int] = {b"": 0}
        self._codes: dict[tuple[str, bool, int], int] = {}

    def write(self, model: TfModel) -> bytes:
        for graph in model.subgraphs:
            for operator in graph.operators:
                self._codes.setdefault((operator.name, operator.is_custom, operator.version), len(self._codes))
        subgraphs = [self._subgraph(graph) for graph in model.subgraphs]
        signatures = [self._signature(signature) for signature in model.signatures]
        metadata = [self._metadata(name, data) for name, data in sorted(model.metadata.items())]
        fields: dict[str, Any] = {  # Any: offsets and numbers
            "OperatorCodes": self._offsets([self._code(*key) for key in self._codes]),
            "Subgraphs": self._offsets(subgraphs),
            "Description": self._builder.CreateString(model.description or "edgert"),
            "Buffers": self._offsets([self._buffer(data) for data in self._buffers]),
        }
        if metadata:
            fields["Metadata"] = self._offsets(metadata)
        if signatures:
            fields["SignatureDefs"] = self._offsets(signatures)
        self._builder.Finish(self._table("Model", {"Version": _VERSION, **fields}), file_identifier=_IDENTIFIER)
        return bytes(self._builder.Output())

    def _table(self, name: str, fields: Mapping[str, Any]) -> int:  # Any: offsets and numbers
        module = schema_module(name)
        getattr(module, f"{name}Start")(self._builder)
        for field, value in fields.items():
            getattr(module, f"{name}Add{field}")(self._builder, value)
        return int(getattr(module, f"{name}End")(self._builder))

    def _offsets(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())

    def _numbers(self, values: Sequence[int] | Sequence[float], dtype: type) -> int:
        return int(self._builder.CreateNumpyVector(np.asarray(values, dtype)))

    def _buffer(self, data: bytes) -> int:
        if not data:
            return self._table("Buffer", {})
        self._builder.StartVector(1, len(data), _ALIGNMENT)
        head = self._builder.Head() - len(data)
        self._builder.head = head
        self._builder.Bytes[head : head + len(data)] = data
        return self._table("Buffer", {"Data": self._builder.EndVector()})

    def _buffer_index(self, data: bytes) -> int:
        """Equal constants are stored once."""
        if data not in self._known:
            self._known[data] = len(self._buffers)
            self._buffers.append(data)
        return self._known[data]

    def _code(self, name: str, is_custom: bool, version: int) -> int:
        number = builtin_codes()["CUSTOM" if is_custom else name]
        fields = {"DeprecatedBuiltinCode": min(number, _LAST_OLD_CODE), "BuiltinCode": number, "Version": version}
        if is_custom:
            fields["CustomCode"] = self._builder.CreateString(name)
        return self._table("OperatorCode", fields)

    def _subgraph(self, graph: TfSubgraph) -> int:
        tensors = self._offsets([self._tensor(tensor) for tensor in graph.tensors])
        operators = self._offsets([self._operator(operator) for operator in graph.operators])
        fields = {
            "Tensors": tensors,
            "Inputs": self._numbers(graph.inputs, np.int32),
            "Outputs": self._numbers(graph.outputs, np.int32),
            "Operators": operators,
            "Name": self._builder.CreateString(graph.name or "main"),
        }
        return self._table("SubGraph", fields)

    def _tensor(self, tensor: TfTensor) -> int:
        data = b""
        if tensor.data is not None and tensor.dtype is not None:
            data = np.ascontiguousarray(tensor.data, tensor.dtype.numpy).tobytes()
            data = _pack_int4(data) if tensor.dtype is DType.INT4 else data
        fields: dict[str, Any] = {  # Any: offsets and numbers
            "Shape": self._numbers(tensor.shape, np.int32),
            "Type": _RESOURCE if tensor.dtype is None else _TYPES[tensor.dtype],
            "Buffer": self._buffer_index(data),
            "Name": self._builder.CreateString(tensor.name),
            "IsVariable": tensor.is_variable,
            "HasRank": True,
        }
        if tensor.quant is not None:
            fields["Quantization"] = self._quantization(tensor)
        if tensor.signature is not None:
            fields["ShapeSignature"] = self._numbers(tensor.signature, np.int32)
        return self._table("Tensor", fields)

    def _quantization(self, tensor: TfTensor) -> int:
        params = tensor.quant
        if params is None:
            raise AssertionError("asked for the parameters of a float tensor")
        fields = {
            "Scale": self._numbers(params.scale, np.float32),
            "ZeroPoint": self._numbers(params.zero_point, np.int64),
            "QuantizedDimension": params.axis or 0,
        }
        return self._table("QuantizationParameters", fields)

    def _operator(self, operator: TfOperator) -> int:
        fields: dict[str, Any] = {  # Any: offsets and numbers
            "OpcodeIndex": self._codes[operator.name, operator.is_custom, operator.version],
            "Inputs": self._numbers(operator.inputs, np.int32),
            "Outputs": self._numbers(operator.outputs, np.int32),
        }
        table = None if operator.is_custom else options_table(operator.name)
        if table is not None:
            fields["BuiltinOptions"] = self._options(operator, table)
            fields["BuiltinOptionsType"] = options_codes()[table]
        elif operator.options:
            raise ValueError(f"{operator.name} has no options in the schema, got {dict(operator.options)}")
        if operator.custom_options:
            fields["CustomOptions"] = self._numbers(list(operator.custom_options), np.uint8)
        return self._table("Operator", fields)

    def _options(self, operator: TfOperator, table: str) -> int:
        known = option_fields(table)
        unknown = [name for name in operator.options if name not in known]
        if unknown:
            raise ValueError(f"{operator.name} has no option {unknown[0]!r}; known: {', '.join(known)}")
        return self._table(table, {known[n]: self._option(value) for n, value in operator.options.items()})

    def _option(self, value: OptionValue) -> int | float | bool:
        if isinstance(value, tuple):
            is_float = any(isinstance(item, float) for item in value)
            return self._numbers(value, np.float32 if is_float else np.int32)
        return self._builder.CreateString(value) if isinstance(value, str) else value

    def _signature(self, signature: TfSignature) -> int:
        def ports(named: Mapping[str, int]) -> int:
            return self._offsets([self._port(name, index) for name, index in named.items()])

        fields = {
            "Inputs": ports(signature.inputs),
            "Outputs": ports(signature.outputs),
            "SignatureKey": self._builder.CreateString(signature.key),
            "SubgraphIndex": signature.subgraph,
        }
        return self._table("SignatureDef", fields)

    def _port(self, name: str, index: int) -> int:
        text = self._builder.CreateString(name)
        return self._table("TensorMap", {"Name": text, "TensorIndex": index})

    def _metadata(self, name: str, data: bytes) -> int:
        text = self._builder.CreateString(name)
        return self._table("Metadata", {"Name": text, "Buffer": self._buffer_index(data)})


def _pack_int4(data: bytes) -> bytes:
    """Returns int8 values in [-8, 7] as two's complement nibbles, low nibble first; an odd one is filled with zero."""
    nibbles = np.frombuffer(data + b"\0" * (len(data) % 2), np.uint8) & 15
    return (nibbles[0::2] | (nibbles[1::2] << 4)).astype(np.uint8).tobytes()
