"""Uploads by content hash: a file that is here is not sent again, one that was cut off goes on where it stopped."""

from __future__ import annotations

import fcntl
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgert.onboard.digest import file_sha256
from edgert.onboard.folder import BoardFolder, tell_step

__all__ = ["Upload", "UploadError", "find_file", "open_upload"]

_HASH = re.compile(r"[0-9a-f]{64}")
_POLL_S = 0.2
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,120}")


class UploadError(Exception):
    """An upload cannot be taken as asked for."""


@dataclass(frozen=True)
class _Wanted:
    sha256: str
    size_bytes: int
    name: str

    def __post_init__(self) -> None:
        if _HASH.fullmatch(self.sha256) is None:
            raise UploadError(f"no SHA-256: {self.sha256!r}")
        if _NAME.fullmatch(self.name) is None:
            raise UploadError(f"no name for a file on a board: {self.name!r}")
        if self.size_bytes < 0:
            raise UploadError(f"a file of {self.size_bytes} bytes")


class Upload:
    """A file that is coming. `offset` is how much of it is here already; `finish` verifies the whole of it."""

    def __init__(self, folder: BoardFolder, wanted: _Wanted, stream: BinaryIO, offset: int) -> None:
        self.offset = offset
        self.missing_bytes = wanted.size_bytes - offset
        self._folder, self._wanted, self._stream = folder, wanted, stream

    def write(self, data: bytes) -> None:
        """Appends bytes.

        Raises:
            UploadError: more than the file has.
            OSError: the disk is full.
        """
        if len(data) > self.missing_bytes:
            raise UploadError(f"{self._wanted.name}: more bytes than its {self._wanted.size_bytes}")
        self._stream.write(data)
        self.missing_bytes -= len(data)

    def finish(self) -> Path:
        """Returns where the file is, after its hash was found right and it is on the disk.

        Raises:
            UploadError: it is another file; what came is thrown away.
            OSError: the disk is full.
        """
        self._stream.flush()
        os.fsync(self._stream.fileno())
        part = Path(self._stream.name)
        if file_sha256(part) != self._wanted.sha256:
            self.close()
            part.unlink(missing_ok=True)
            raise UploadError(f"{self._wanted.name}: what arrived is damaged and was thrown away; send it again")
        final = self._folder.files / self._wanted.sha256 / self._wanted.name
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, final)
        tell_step("file stored")
        self.close()
        return final

    def drop(self) -> None:
        """Throws away what came."""
        self.close()
        Path(self._stream.name).unlink(missing_ok=True)

    def close(self) -> None:
        """Keeps what came for the next time; safe to call twice."""
        try:
            self._stream.close()
        except OSError:  # a full disk shows once more
            return


def find_file(folder: BoardFolder, sha256: str, size_bytes: int, name: str) -> Path | None:
    """Returns the file of an earlier upload under this name, or None.

    Raises:
        UploadError: hash, size or name cannot be one.
    """
    wanted = _Wanted(sha256, size_bytes, name)
    here = folder.files / wanted.sha256
    final = here / wanted.name
    if not final.is_file():
        twin = next((path for path in sorted(here.glob("*")) if path.is_file()), None)
        if twin is None:
            return None
        os.link(twin, final)  # the same content under another name
    if final.stat().st_size == size_bytes:
        return final
    final.unlink()  # cut off by a power cut before it was on the disk
    return None


def open_upload(folder: BoardFolder, sha256: str, size_bytes: int, name: str, wait_s: float) -> Upload:
    """Returns an upload that goes on where an earlier one of the same content stopped.

    `wait_s` must be longer than a server outlives its link, so that a laptop which comes back can go on.

    Raises:
        UploadError: hash, size or name cannot be one, another process is uploading it, or there is no room.
        OSError: nothing can be written.
    """
    wanted = _Wanted(sha256, size_bytes, name)
    folder.incoming.mkdir(parents=True, exist_ok=True)
    stream = _open_locked(folder.incoming / wanted.sha256, wait_s, name)
    try:
        if stream.tell() > size_bytes:
            stream.truncate(0)
            stream.seek(0)
        offset = stream.tell()
        _check_room(folder, size_bytes - offset, name)
    except BaseException:
        stream.close()
        raise
    return Upload(folder, wanted, stream, offset)


def _check_room(folder: BoardFolder, missing_bytes: int, name: str) -> None:
    free_bytes = folder.free_bytes()
    if missing_bytes > free_bytes:
        raise UploadError(f"{name} needs {missing_bytes} bytes, the board's disk has {free_bytes} left")


def _open_locked(path: Path, wait_s: float, name: str) -> BinaryIO:
    """The part, held by nobody else; whoever held it may have gone on with it, or finished it and taken it away."""
    deadline = time.monotonic() + wait_s
    while True:
        stream = path.open("ab")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                stream.seek(0, os.SEEK_END)
                return stream
        except OSError as error:
            if time.monotonic() > deadline:
                stream.close()
                text = f"{name} is being sent to this board by somebody else; wait for that to end"
                raise UploadError(text) from error
        stream.close()
        time.sleep(_POLL_S)
