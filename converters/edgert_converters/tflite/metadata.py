"""Labels and normalization as TFLite's own metadata: what Android's and Coral's libraries read from a file.

The blob `TFLITE_METADATA` is a flatbuffer of its own (identifier M001) that describes inputs and outputs and names
associated files; the files are a zip archive behind the model's bytes. Its few tables are written and read here by
field number. Source: tensorflow/tflite-support, metadata_schema.fbs.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgert.errors import ModelError

__all__ = [
    "LABELS_FILE",
    "METADATA_KEY",
    "FileMetadata",
    "PortMetadata",
    "append_files",
    "build_metadata",
    "parse_metadata",
    "read_files",
]

METADATA_KEY = "TFLITE_METADATA"
LABELS_FILE = "labels.txt"
_IDENTIFIER = b"M001"
_PARSER_VERSION = "1.0.0"
_MOST_FILE_BYTES = 1 << 24
_DAMAGED = (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError, UnicodeDecodeError)

# field numbers of the schema's tables, and the numbers of its unions and enums
_MODEL_NAME, _MODEL_DESCRIPTION, _MODEL_SUBGRAPHS, _MODEL_PARSER = 0, 1, 3, 7
_SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS = 2, 3
_TENSOR_NAME, _TENSOR_DESCRIPTION, _TENSOR_CONTENT, _TENSOR_UNITS, _TENSOR_STATS, _TENSOR_FILES = 0, 1, 3, 4, 5, 6
_CONTENT_KIND, _CONTENT_PROPERTIES, _FEATURE, _IMAGE, _RGB = 0, 1, 1, 2, 1
_UNIT_KIND, _UNIT_OPTIONS, _NORMALIZATION = 0, 1, 1
_FILE_NAME, _FILE_DESCRIPTION, _FILE_KIND, _AXIS_LABELS = 0, 1, 2, 2


@dataclass(frozen=True, slots=True)
class PortMetadata:
    """One input or output: `mean` and `std` normalize an input ((x - mean) / std), `files` are names of label files."""

    name: str
    description: str = ""
    is_image: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """What the blob says about a model."""

    name: str = ""
    description: str = ""
    inputs: tuple[PortMetadata, ...] = ()
    outputs: tuple[PortMetadata, ...] = ()


def build_metadata(metadata: FileMetadata) -> bytes:
    """Returns the blob TFLITE_METADATA."""
    return _Builder().build(metadata)


def parse_metadata(blob: bytes) -> FileMetadata:
    """Returns what a blob TFLITE_METADATA says.

    Raises:
        ModelError: it is damaged.
    """
    if blob[4:8] != _IDENTIFIER:
        raise ModelError("the file's metadata does not carry the mark M001; it is damaged")
    try:
        model = _Reader.root(blob)
        graphs = model.tables(_MODEL_SUBGRAPHS)
        inputs, outputs = (
            tuple(map(_port, graphs[0].tables(field))) if graphs else ()
            for field in (_SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS)
        )
        return FileMetadata(model.text(_MODEL_NAME), model.text(_MODEL_DESCRIPTION), inputs, outputs)
    except _DAMAGED as error:
        raise ModelError(f"the file's metadata is damaged ({type(error).__name__}: {error})") from error


def append_files(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """Returns the model's bytes followed by the archive of its associated files; the same files give the same bytes."""
    if not files:
        return model
    stream = io.BytesIO(model)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), data)
    return stream.getvalue()


def read_files(data: bytes) -> dict[str, bytes]:
    """Returns the associated files behind a model's bytes by name; nothing where there is no archive.

    Raises:
        ModelError: the archive is damaged or unreasonably large.
    """
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_FILE_BYTES:
                raise ModelError("the files packed behind the model are larger than 16 MB; it is damaged")
            return {entry.filename: archive.read(entry) for entry in archive.infolist()}
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        RuntimeError,
        OSError,
        EOFError,
        *_DAMAGED,
    ) as e:
        raise ModelError(f"the files packed behind the model are damaged ({type(e).__name__}: {e})") from e


def _port(table: _Reader) -> PortMetadata:
    units = [unit for unit in table.tables(_TENSOR_UNITS) if unit.number(_UNIT_KIND) == _NORMALIZATION]
    content, stats = table.table(_TENSOR_CONTENT), table.table(_TENSOR_STATS)
    options = units[0].table(_UNIT_OPTIONS) if units else None
    return PortMetadata(
        name=table.text(_TENSOR_NAME),
        description=table.text(_TENSOR_DESCRIPTION),
        is_image=content is not None and content.number(_CONTENT_KIND) == _IMAGE,
        mean=options.floats(0) if options is not None else (),
        std=options.floats(1) if options is not None else (),
        low=stats.floats(1) if stats is not None else (),
        high=stats.floats(0) if stats is not None else (),
        files=tuple(file.text(_FILE_NAME) for file in table.tables(_TENSOR_FILES)),
    )


class _Reader:
    """One table of a flatbuffer, read by field number."""

    def __init__(self, blob: bytes, position: int) -> None:
        import flatbuffers.table

        self._table: Any = flatbuffers.table.Table(blob, position)  # Any: untyped package

    @classmethod
    def root(cls, blob: bytes) -> _Reader:
        return cls(blob, struct.unpack_from("<I", blob)[0])

    def _offset(self, field: int) -> int:
        offset = int(self._table.Offset(4 + 2 * field))
        return offset + int(self._table.Pos) if offset else 0

    def number(self, field: int) -> int:
        offset = self._offset(field)
        return int(self._table.Bytes[offset]) if offset else 0

    def text(self, field: int) -> str:
        offset = self._offset(field)
        return self._table.String(offset).decode("utf-8", errors="replace") if offset else ""

    def floats(self, field: int) -> tuple[float, ...]:
        return tuple(struct.unpack_from("<f", self._table.Bytes, at)[0] for at in self._elements(field))

    def table(self, field: int) -> _Reader | None:
        offset = self._offset(field)
        return _Reader(self._table.Bytes, self._table.Indirect(offset)) if offset else None

    def tables(self, field: int) -> list[_Reader]:
        return [_Reader(self._table.Bytes, self._table.Indirect(at)) for at in self._elements(field)]

    def _elements(self, field: int) -> range:
        """Positions of the 4-byte elements of a vector."""
        offset = self._offset(field)
        if not offset:
            return range(0)
        start = offset + struct.unpack_from("<I", self._table.Bytes, offset)[0]
        count = struct.unpack_from("<I", self._table.Bytes, start)[0]
        if start + 4 + 4 * count > len(self._table.Bytes):
            raise ValueError(f"a list claims {count} entries")
        return range(start + 4, start + 4 + 4 * count, 4)


class _Builder:
    def __init__(self) -> None:
        import flatbuffers

        self._builder: Any = flatbuffers.Builder(1 << 10)  # Any: untyped package

    def build(self, metadata: FileMetadata) -> bytes:
        inputs = self._vector([self._port(port, is_input=True) for port in metadata.inputs])
        outputs = self._vector([self._port(port, is_input=False) for port in metadata.outputs])
        graph = self._table(9, {_SUBGRAPH_INPUTS: inputs, _SUBGRAPH_OUTPUTS: outputs})
        fields = {
            _MODEL_NAME: self._text(metadata.name),
            _MODEL_DESCRIPTION: self._text(metadata.description),
            _MODEL_SUBGRAPHS: self._vector([graph]),
            _MODEL_PARSER: self._text(_PARSER_VERSION),
        }
        self._builder.Finish(self._table(8, fields), file_identifier=_IDENTIFIER)
        return bytes(self._builder.Output())

    def _port(self, port: PortMetadata, *, is_input: bool) -> int:
        kind = _IMAGE if port.is_image else _FEATURE
        properties = self._table(2, {}, numbers={0: _RGB} if port.is_image else {})
        fields = {
            _TENSOR_NAME: self._text(port.name),
            _TENSOR_DESCRIPTION: self._text(port.description),
            _TENSOR_CONTENT: self._table(3, {_CONTENT_PROPERTIES: properties}, numbers={_CONTENT_KIND: kind}),
        }
        if is_input and port.mean:
            options = self._table(2, {0: self._floats(port.mean), 1: self._floats(port.std)})
            unit = self._table(2, {_UNIT_OPTIONS: options}, numbers={_UNIT_KIND: _NORMALIZATION})
            fields[_TENSOR_UNITS] = self._vector([unit])
        if port.low:
            fields[_TENSOR_STATS] = self._table(2, {0: self._floats(port.high), 1: self._floats(port.low)})
        if port.files:
            fields[_TENSOR_FILES] = self._vector([self._file(name) for name in port.files])
        return self._table(7, fields)

    def _file(self, name: str) -> int:
        fields = {_FILE_NAME: self._text(name), _FILE_DESCRIPTION: self._text("Labels of the classes, one per line.")}
        return self._table(5, fields, numbers={_FILE_KIND: _AXIS_LABELS})

    def _table(self, size: int, offsets: Mapping[int, int], numbers: Mapping[int, int] | None = None) -> int:
        """`offsets` are vectors, tables and texts by field number, `numbers` the values of single bytes."""
        self._builder.StartObject(size)
        for field, offset in offsets.items():
            self._builder.PrependUOffsetTRelativeSlot(field, offset, 0)
        for field, number in (numbers or {}).items():
            self._builder.PrependUint8Slot(field, number, 0)
        return int(self._builder.EndObject())

    def _text(self, text: str) -> int:
        return int(self._builder.CreateString(text))

    def _floats(self, values: Sequence[float]) -> int:
        self._builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self._builder.PrependFloat32(value)
        return int(self._builder.EndVector())

    def _vector(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())
