"""Cuts a stream of bytes into JPEG pictures by their own markers, whatever stands between them.

Source: ITU-T T.81 (1992), B.1.1: markers, segments with a length, and entropy-coded data in which FF is followed by 00
or a restart marker. So a thumbnail inside an APP segment does not end a picture.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgert.errors import DeviceError

__all__ = ["LARGEST_PICTURE_BYTES", "JpegSplitter"]

LARGEST_PICTURE_BYTES = 16 << 20

_START, _END, _SCAN, _FILL = 0xD8, 0xD9, 0xDA, 0xFF
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))
"""Markers without a length: TEM and the restarts."""


class JpegSplitter:
    """Feed it bytes as they come; it gives whole pictures."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._at = 0
        self._in_scan = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the pictures that are complete now.

        Raises:
            DeviceError: more bytes than any picture has, and no end of it.
        """
        self._held += data
        while (end := self._find_end()) is not None:
            yield bytes(self._held[:end])
            self._forget(end)
        if len(self._held) > LARGEST_PICTURE_BYTES:
            raise DeviceError(f"no JPEG picture ends within {LARGEST_PICTURE_BYTES:,} bytes")

    def _forget(self, count: int) -> None:
        del self._held[:count]
        self._at, self._in_scan = 0, False

    def _find_end(self) -> int | None:
        """Index behind the picture that the buffer starts with; None: more bytes are needed."""
        held = self._held
        while (self._at or self._find_start()) and self._at + 2 <= len(held):
            if self._in_scan and not self._find_marker():
                return None
            marker = held[self._at + 1]
            if held[self._at] != _FILL or marker == _START:
                self._forget(max(self._at, 1))  # damaged: look for the next picture from here
            elif marker == _END:
                return self._at + 2
            elif not self._skip_segment(marker):
                return None
        return None

    def _find_start(self) -> bool:
        start = self._held.find(b"\xff\xd8\xff")
        if start < 0:
            del self._held[:-2]
            return False
        del self._held[:start]
        self._at, self._in_scan = 2, False
        return True

    def _find_marker(self) -> bool:
        """Moves to the next marker of entropy-coded data that is no restart; False: it is not there yet."""
        while True:
            found = self._held.find(b"\xff", self._at)
            if found < 0 or found + 1 >= len(self._held):
                self._at = len(self._held) if found < 0 else found
                return False
            self._at = found
            follower = self._held[found + 1]
            if follower not in _ALONE and follower not in (0, _FILL):
                self._in_scan = False
                return True
            self._at += 1 if follower == _FILL else 2

    def _skip_segment(self, marker: int) -> bool:
        if marker == _FILL:
            self._at += 1
            return True
        if marker in _ALONE:
            self._at += 2
            return True
        if self._at + 4 > len(self._held):
            return False
        length = 2 + int.from_bytes(self._held[self._at + 2 : self._at + 4], "big")
        if self._at + length > len(self._held):
            return False
        self._at += length
        self._in_scan = marker == _SCAN
        return True
