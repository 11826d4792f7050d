"""Records kept in an unnamed temporary file, so that memory does not grow with their number."""

from __future__ import annotations

import tempfile
from typing import IO

from edgert.errors import DataError

__all__ = ["Spill"]


class Spill:
    """Appends byte records and reads them back by index. The file vanishes with the object."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="edgert-data-")  # noqa: SIM115  # lives with the object
        self._spans: list[tuple[int, int]] = []
        self._end = 0

    def __len__(self) -> int:
        return len(self._spans)

    def append(self, record: bytes) -> None:
        """Stores one record.

        Raises:
            DataError: the temporary folder is full.
        """
        try:
            self._file.seek(self._end)
            self._file.write(record)
        except OSError as error:
            raise DataError(f"cannot unpack the data into {tempfile.gettempdir()} ({error.strerror})") from error
        self._spans.append((self._end, len(record)))
        self._end += len(record)

    def read(self, index: int) -> bytes:
        """Returns one record."""
        start, size = self._spans[index]
        self._file.seek(start)
        return self._file.read(size)

    def read_at(self, offset: int, size: int) -> bytes:
        """Returns bytes by position over all records."""
        self._file.seek(offset)
        return self._file.read(size)

    def __del__(self) -> None:
        self._file.close()
