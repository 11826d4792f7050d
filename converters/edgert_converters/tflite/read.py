"""Reads the flatbuffer of a .tflite file into plain values, checking everything that later code relies on.

flatbuffers' Python runtime has no verifier: an offset that leaves the file raises here and becomes a ModelError.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.model import OptionValue, TfModel, TfOperator, TfSignature, TfSubgraph, TfTensor
from edgert_converters.tflite.schema import (
    DTYPES,
    builtin_names,
    option_class,
    option_fields,
    options_codes,
    schema_module,
)

__all__ = ["parse_tflite"]

Table = Any  # Any: accessor objects of generated code
T = TypeVar("T")

_IDENTIFIER = b"TFL3"
_VERSION = 3
_FEWEST_BYTES_PER_ITEM = 4
_SPARE_ITEMS = 1 << 12
_MOST_ELEMENTS = 1 << 31
_INT4 = 17
_BUILTIN_CODE_SLOT = 10  # of table OperatorCode: four fields of two bytes behind a head of four
_RESOURCES = {13, 14}
_DAMAGED = (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError, KeyError, RecursionError)


def parse_tflite(data: bytes, path: Path | None = None) -> TfModel:
    """Returns the contents of a .tflite file.

    Args:
        data: the bytes of the file.
        path: what messages call it.

    Raises:
        ModelError: not a TFLite file, damaged, or it holds an element type that edgert does not carry.
        MissingExtraError: the package `tflite` is not installed.
    """
    if len(data) < 8 or data[4:8] != _IDENTIFIER:
        raise ModelError(
            "not a .tflite file (it does not carry the mark TFL3); it is damaged or of another kind", path=path
        )
    root = schema_module("Model").Model
    try:
        return _Reader(data, root.GetRootAs(data, 0), path).model()
    except _DAMAGED as error:
        raise ModelError(f"damaged .tflite file ({type(error).__name__}: {error})", path=path) from error


class _Reader:
    def __init__(self, data: bytes, root: Table, path: Path | None) -> None:
        self._data, self._root, self._path = data, root, path
        self._buffers: dict[int, bytes] = {}
        # a damaged file can name one long vector from everywhere; a whole one holds each entry once
        self._items_left = len(data) // _FEWEST_BYTES_PER_ITEM + _SPARE_ITEMS

    def model(self) -> TfModel:
        if self._root.Version() != _VERSION:
            raise self._error(f"schema version {self._root.Version()}; edgert reads version {_VERSION}")
        codes = self._items(self._root.OperatorCodes, self._root.OperatorCodesLength(), self._code)
        if not self._root.SubgraphsLength():
            raise self._error("holds no graph; it is damaged")
        subgraphs = self._items(
            self._root.Subgraphs, self._root.SubgraphsLength(), lambda table: self._subgraph(table, codes)
        )
        signatures = self._items(self._root.SignatureDefs, self._root.SignatureDefsLength(), self._signature)
        for signature in signatures:
            if not 0 <= signature.subgraph < len(subgraphs):
                raise self._error(f"signature {signature.key!r} names a graph that does not exist")
            count = len(subgraphs[signature.subgraph].tensors)
            if not all(0 <= index < count for index in (*signature.inputs.values(), *signature.outputs.values())):
                raise self._error(f"signature {signature.key!r} names a tensor that does not exist")
        metadata = dict(self._items(self._root.Metadata, self._root.MetadataLength(), self._metadata))
        return TfModel(subgraphs, signatures, metadata, _text(self._root.Description()))

    def _items(self, get: Callable[[int], Table], count: int, convert: Callable[[Table], T]) -> tuple[T, ...]:
        self._spend(count)
        return tuple(convert(get(index)) for index in range(count))

    def _ints(self, vector: Any) -> tuple[int, ...]:  # Any: a numpy array, or 0 for an absent vector
        if isinstance(vector, int):
            return ()
        self._spend(vector.size)
        return tuple(vector.tolist())

    def _spend(self, count: int) -> None:
        self._items_left -= count
        if self._items_left < 0:
            raise self._error("its lists claim more entries than the file has room for; it is damaged")

    def _error(self, text: str) -> ModelError:
        return ModelError(text, path=self._path)

    def _code(self, table: Table) -> tuple[str, bool, int]:
        number = max(_builtin_code(table), table.DeprecatedBuiltinCode())
        name = builtin_names().get(number)
        if name is None:
            raise self._error(
                f"operator code {number} is not in the schema that edgert knows; the file is too new or damaged"
            )
        if name == "CUSTOM":
            return _text(table.CustomCode()), True, table.Version()
        return name, False, table.Version()

    def _subgraph(self, table: Table, codes: tuple[tuple[str, bool, int], ...]) -> TfSubgraph:
        tensors = self._items(table.Tensors, table.TensorsLength(), self._tensor)
        operators = self._items(table.Operators, table.OperatorsLength(), lambda item: self._operator(item, codes))
        inputs, outputs = self._ints(table.InputsAsNumpy()), self._ints(table.OutputsAsNumpy())
        named = [index for operator in operators for index in operator.inputs if index != -1]
        named += [index for operator in operators for index in operator.outputs]
        for index in (*inputs, *outputs, *named):
            if not 0 <= index < len(tensors):
                raise self._error(f"tensor number {index} does not exist; the graph has {len(tensors)}")
        self._check_producers(tensors, operators, inputs)
        tensors = _with_empty_constants(tensors, {*inputs, *(i for item in operators for i in item.outputs)})
        return TfSubgraph(tensors, operators, inputs, outputs, _text(table.Name()))

    def _check_producers(
        self, tensors: Sequence[TfTensor], operators: Sequence[TfOperator], inputs: Sequence[int]
    ) -> None:
        made = set(inputs)
        if len(made) < len(inputs):
            raise self._error("one tensor is an input twice; the file is damaged")
        for operator in operators:
            for index in operator.outputs:
                if index in made or tensors[index].data is not None:
                    raise self._error(f"{operator.name} writes tensor {tensors[index].name!r}, which has its values")
                made.add(index)

    def _operator(self, table: Table, codes: tuple[tuple[str, bool, int], ...]) -> TfOperator:
        name, is_custom, version = codes[table.OpcodeIndex()]
        custom = table.CustomOptionsAsNumpy() if is_custom else 0
        return TfOperator(
            name=name,
            inputs=self._ints(table.InputsAsNumpy()),
            outputs=self._ints(table.OutputsAsNumpy()),
            options={} if is_custom else self._options(table),
            version=version,
            is_custom=is_custom,
            custom_options=b"" if isinstance(custom, int) else custom.tobytes(),
        )

    def _options(self, table: Table) -> Mapping[str, OptionValue]:
        names = {number: name for name, number in options_codes().items()}
        name = names[table.BuiltinOptionsType()]
        union = table.BuiltinOptions()
        if union is None or name == "NONE":
            return {}
        options = option_class(name)()
        options.Init(union.Bytes, union.Pos)
        return {snake: _option(options, camel) for snake, camel in option_fields(name).items()}

    def _tensor(self, table: Table) -> TfTensor:
        name, kind = _text(table.Name()), table.Type()
        shape = self._ints(table.ShapeAsNumpy())
        if any(dim < 0 for dim in shape) or int(np.prod(shape, dtype=np.float64)) > _MOST_ELEMENTS:
            raise self._error(f"tensor {name!r} has the shape {list(shape)}; the file is damaged")
        signature = self._ints(table.ShapeSignatureAsNumpy())
        if signature and (len(signature) != len(shape) or min(signature) < -1):
            raise self._error(f"tensor {name!r} has the shape {list(shape)} and the signature {list(signature)}")
        if kind in _RESOURCES:
            return TfTensor(name, shape, None)
        dtype = DType.INT8 if kind == _INT4 else DTYPES.get(kind)
        if dtype is None:
            raise self._error(f"tensor {name!r} has element type number {kind}, which edgert does not carry")
        data = self._constant(table, name, shape, dtype, is_int4=kind == _INT4)
        if kind == _INT4 and data is None:
            raise self._error(f"tensor {name!r} is computed in 4 bits; edgert reads 4-bit constants only")
        quant = self._quant(table.Quantization(), name, dtype, shape)
        return TfTensor(name, shape, dtype, data, quant, signature or None, bool(table.IsVariable()))

    def _constant(
        self, table: Table, name: str, shape: tuple[int, ...], dtype: DType, *, is_int4: bool
    ) -> Array | None:
        raw = self._buffer(table.Buffer())
        if not raw or dtype is DType.STRING:
            return None
        if table.Sparsity() is not None:
            raise self._error(f"tensor {name!r} is stored sparse, which edgert does not read; export it dense")
        count = int(np.prod(shape, dtype=np.int64))
        expected = (count + 1) // 2 if is_int4 else count * dtype.itemsize_bytes
        if len(raw) != expected:
            raise self._error(
                f"tensor {name!r} of shape {list(shape)} needs {expected} bytes, its buffer has {len(raw)}"
            )
        if is_int4:
            return _unpack_int4(raw, count).reshape(shape)
        return np.frombuffer(raw, dtype.numpy.newbyteorder("<")).astype(dtype.numpy, copy=False).reshape(shape)

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            if not 0 <= index < self._root.BuffersLength():
                raise self._error(f"buffer number {index} does not exist")
            table = self._root.Buffers(index)
            found = table.DataAsNumpy()
            if isinstance(found, int):
                offset, size = table.Offset(), table.Size()
                self._buffers[index] = self._data[offset : offset + size] if offset > 1 else b""
            else:
                self._buffers[index] = found.tobytes()
        return self._buffers[index]

    def _quant(self, table: Table, name: str, dtype: DType, shape: tuple[int, ...]) -> QuantParams | None:
        if table is None or dtype not in _INTEGERS:
            return None
        if table.DetailsType() not in _PLAIN_DETAILS:
            raise self._error(f"tensor {name!r} has scales per block, which edgert does not read")
        if not table.ScaleLength():
            return None
        self._spend(table.ScaleLength())
        scale = np.asarray(table.ScaleAsNumpy(), np.float32)
        zero = np.asarray(table.ZeroPointAsNumpy(), np.int64) if table.ZeroPointLength() else np.zeros(1, np.int64)
        zeros = np.broadcast_to(zero, scale.shape) if zero.size == 1 else zero
        axis = table.QuantizedDimension() if scale.size > 1 else None
        if axis is not None and not (0 <= axis < len(shape) and shape[axis] == scale.size):
            raise self._error(f"tensor {name!r} of shape {list(shape)} has {scale.size} scales along axis {axis}")
        try:
            return QuantParams(tuple(map(float, scale)), tuple(map(int, zeros)), dtype, axis)
        except ValueError as error:
            raise self._error(f"tensor {name!r}: {error}") from error

    def _signature(self, table: Table) -> TfSignature:
        def ports(get: Callable[[int], Table], count: int) -> dict[str, int]:
            return dict(self._items(get, count, lambda item: (_text(item.Name()), int(item.TensorIndex()))))

        return TfSignature(
            _text(table.SignatureKey()),
            ports(table.Inputs, table.InputsLength()),
            ports(table.Outputs, table.OutputsLength()),
            int(table.SubgraphIndex()),
        )

    def _metadata(self, table: Table) -> tuple[str, bytes]:
        return _text(table.Name()), self._buffer(table.Buffer())


_PLAIN_DETAILS = {0, 1}  # none; bytes of a custom kind, which no kernel of TFLite reads
_INTEGERS = {DType.INT8, DType.UINT8, DType.INT16, DType.UINT16, DType.INT32, DType.INT64}


def _builtin_code(table: Table) -> int:
    """The field itself: the package's own accessor leaves out codes below 127, where some writers put all of them."""
    tab = table._tab
    offset = tab.Offset(_BUILTIN_CODE_SLOT)
    return int(struct.unpack_from("<i", tab.Bytes, offset + tab.Pos)[0]) if offset else 0


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", errors="replace")


def _option(options: Table, field: str) -> OptionValue:
    if hasattr(options, f"{field}AsNumpy"):
        vector = getattr(options, f"{field}AsNumpy")()
        return () if isinstance(vector, int) else tuple(vector.tolist())
    value = getattr(options, field)() if not hasattr(options, f"{field}Length") else ()
    return _text(value) if isinstance(value, bytes) else value


def _with_empty_constants(tensors: tuple[TfTensor, ...], made: set[int]) -> tuple[TfTensor, ...]:
    """Gives tensors without elements their data: an empty buffer (the shape of a scalar) stands for it in a file."""
    found = []
    for index, tensor in enumerate(tensors):
        empty = tensor.data is None and index not in made and 0 in tensor.shape
        if empty and tensor.dtype is not None and tensor.dtype is not DType.STRING:
            found.append(replace(tensor, data=np.empty(tensor.shape, tensor.dtype.numpy)))
        else:
            found.append(tensor)
    return tuple(found)


def _unpack_int4(raw: bytes, count: int) -> Array:
    """Returns int8 values of two's complement nibbles, low nibble first."""
    packed = np.frombuffer(raw, np.uint8)
    nibbles = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[:count].astype(np.int8)
    return np.where(nibbles > 7, nibbles - 16, nibbles).astype(np.int8)
