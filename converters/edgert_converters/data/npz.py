"""Data from a .npz file: `x` and `y`, the names of the model's inputs, or `images` and `labels`.

A sample is read from disk when it is asked for: stored members directly, compressed members from a temporary file into
which they are unpacked once. Memory holds one sample either way.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

from edgert.errors import DataError
from edgert_converters.data.sample import Array, Item, Label, digest_of
from edgert_converters.data.spill import Spill

__all__ = ["NpzSource"]

_LABEL_KEYS = ("y", "labels")
_CHUNK_BYTES = 1 << 20


class NpzSource:
    """One .npz file. `x[i]` is in the model's own layout after pre-processing; `images[i]` is a decoded image."""

    def __init__(self, path: Path, input_names: Sequence[str]) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = {name.removesuffix(".npy"): name for name in archive.namelist()}
                keys = self._input_keys(members, input_names)
                self._columns = {name: self._open(archive, members[key]) for name, key in keys.items()}
                label_key = next((key for key in _LABEL_KEYS if key in members), None)
                self._labels = self._open(archive, members[label_key]) if label_key else None
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise DataError(f"{path}: not a readable .npz file ({error})") from error
        self.is_image = "images" in keys.values()
        self.has_labels = self._labels is not None
        self._check_lengths()

    def __len__(self) -> int:
        return next(iter(self._columns.values())).shape[0]

    def item(self, index: int) -> Item:
        """Reads one sample."""
        arrays = {name: column.read(index) for name, column in self._columns.items()}
        return Item(f"{self.path.name}[{index}]", arrays, self._label(index), self.is_image)

    def digest(self, index: int) -> str:
        """Hash over the bytes of all inputs of one sample."""
        arrays = (column.read(index) for column in self._columns.values())
        return digest_of(*(f"{a.dtype}{a.shape}".encode() + a.tobytes() for a in arrays))

    def _input_keys(self, members: dict[str, str], input_names: Sequence[str]) -> dict[str, str]:
        if all(name in members for name in input_names):
            return {name: name for name in input_names}
        if len(input_names) == 1:
            for key in ("x", "images"):
                if key in members:
                    return {"": key}
        wanted = "x or images, or " if len(input_names) == 1 else ""
        raise DataError(
            f"{self.path}: needs {wanted}the model's inputs {', '.join(map(repr, input_names))} as members, "
            f"found {', '.join(sorted(members)) or 'none'}"
        )

    def _open(self, archive: zipfile.ZipFile, member: str) -> _Column:
        try:
            return _open_column(archive, self.path, member)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
            raise DataError(f"{self.path}: member {member!r} cannot be read ({error})") from error

    def _check_lengths(self) -> None:
        count = len(self)
        columns = dict(self._columns) | ({"labels": self._labels} if self._labels else {})
        for name, column in columns.items():
            if column.shape[0] != count:
                raise DataError(f"{self.path}: {name or 'x'!r} has {column.shape[0]} samples, the first input {count}")

    def _label(self, index: int) -> Label:
        if self._labels is None:
            return None
        value = self._labels.read(index)
        if value.dtype.kind in "iub" and value.size == 1:
            return int(value.item())
        return str(value.item()) if value.dtype.kind in "US" and value.size == 1 else value


@dataclass(frozen=True, slots=True)
class _Column:
    """Rows of one array: in the .npz itself, or unpacked."""

    place: Path | Spill
    offset: int
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    def read(self, index: int) -> Array:
        """Returns row `index`.

        Raises:
            DataError: the file ended early.
        """
        size = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        start = self.offset + index * size
        data = self.place.read_at(start, size) if isinstance(self.place, Spill) else _read_at(self.place, start, size)
        if len(data) != size:
            raise DataError(f"sample {index}: the .npz file ended early; it was damaged")
        return np.frombuffer(data, self.dtype).reshape(self.shape[1:])


def _open_column(archive: zipfile.ZipFile, path: Path, member: str) -> _Column:
    info = archive.getinfo(member)
    with archive.open(member) as stream:
        version = npy_format.read_magic(stream)
        reader = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, is_fortran, dtype = reader(stream)
        start = stream.tell()
        if dtype.hasobject:
            raise ValueError("holds Python objects, which are never unpickled")
        if not shape or start + dtype.itemsize * int(np.prod(shape, dtype=np.int64)) != info.file_size:
            raise ValueError(f"its header says shape {shape}, which does not fit its size")
        if info.compress_type == zipfile.ZIP_STORED and not is_fortran:
            return _Column(path, _data_offset(path, info) + start, dtype, shape)
        unpacked = Spill()
        if is_fortran:  # a row is not contiguous on disk: written again row by row, loaded whole once
            array = np.frombuffer(stream.read(), dtype).reshape(shape, order="F")
            unpacked.append(np.ascontiguousarray(array).tobytes())
        else:
            while chunk := stream.read(_CHUNK_BYTES):
                unpacked.append(chunk)
    return _Column(unpacked, 0, dtype, shape)


def _read_at(path: Path, offset: int, size: int) -> bytes:
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(size)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin: behind its local header, whose name and extra field have their own sizes."""
    sizes = _read_at(path, info.header_offset + 26, 4)
    name_size, extra_size = int.from_bytes(sizes[:2], "little"), int.from_bytes(sizes[2:], "little")
    return info.header_offset + 30 + name_size + extra_size
