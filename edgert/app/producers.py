"""Pictures that need no stream: a moving test pattern, a still, a folder of images, and what OpenCV opens."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any  # objects of OpenCV, which come without types here

import numpy as np

from edgert.app.frames import Pixels
from edgert.errors import DataError, DeviceError, MissingExtraError

__all__ = ["CaptureProducer", "ImagesProducer", "SyntheticProducer", "decode_image", "moving_pattern", "opencv"]


def opencv(purpose: str) -> ModuleType:
    """Returns the module cv2.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("opencv-python-headless", "apps", purpose) from error
    module: ModuleType = cv2
    return module


def decode_image(data: bytes) -> Pixels | None:
    """Returns the picture of a JPEG, PNG or other image file, uint8[H, W, 3] RGB; None where it is none."""
    cv2 = opencv("reading images")
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        return None
    pixels: Pixels = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return pixels


def moving_pattern(index: int, height: int, width: int) -> Pixels:
    """Returns picture `index` of the moving pattern: colour ramps that scroll, and a bright disc that goes round."""
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[..., 0] = 32 + (columns * 128 // width + 2 * index) % 128
    pixels[..., 1] = 32 + (rows * 128 // height + index) % 128
    pixels[..., 2] = 64 + ((rows + columns) // 32 % 2) * 48
    angle = index * 2 * np.pi / 120
    centre = height / 2 + np.sin(angle) * height / 4, width / 2 + np.cos(angle) * width / 4
    disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < (min(height, width) / 7) ** 2
    pixels[disc] = (250, 235, 160)
    return pixels


class _Pace:
    """Waits until the next frame is due; frames that are late are skipped, never sent in a burst."""

    def __init__(self, rate_hz: float) -> None:
        self._step_s = 1 / rate_hz
        self._start_s = time.monotonic()
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def indices(self) -> Iterator[int]:
        """Yields the index of each frame when it is due, until stopped."""
        due = 0
        while True:
            wait_s = self._start_s + due * self._step_s - time.monotonic()
            if self._stopped.wait(max(0.0, wait_s)):
                return
            yield due
            due = max(due + 1, int((time.monotonic() - self._start_s) / self._step_s))


class SyntheticProducer:
    """The moving test pattern at a stated rate; the same picture for the same index everywhere."""

    def __init__(self, rate_hz: float, height: int, width: int) -> None:
        self._pace = _Pace(rate_hz)
        self._size = height, width

    def frames(self) -> Iterator[Pixels]:
        """Yields the pattern until stopped."""
        for index in self._pace.indices():
            yield moving_pattern(index, *self._size)

    def stop(self) -> None:
        """Ends it."""
        self._pace.stop()


class ImagesProducer:
    """Image files one after the other at a stated rate, from the start again after the last."""

    def __init__(self, paths: Sequence[Path], rate_hz: float) -> None:
        self._paths = paths
        self._pace = _Pace(rate_hz)

    def frames(self) -> Iterator[Pixels]:
        """Yields the pictures until stopped.

        Raises:
            DataError: a file is no image.
        """
        shown: tuple[Path, Pixels] | None = None
        for index in self._pace.indices():
            path = self._paths[index % len(self._paths)]
            if shown is None or shown[0] != path:
                shown = path, _read_image(path)
            yield shown[1]

    def stop(self) -> None:
        """Ends it."""
        self._pace.stop()


def _read_image(path: Path) -> Pixels:
    try:
        pixels = decode_image(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if pixels is None:
        raise DataError(f"{path}: not an image that OpenCV reads (JPEG, PNG, BMP, WebP)")
    return pixels


class CaptureProducer:
    """A camera by its number, or a video file (at its own rate, from the start again), through OpenCV.

    A camera that hangs inside OpenCV ends when its driver gives up (V4L2: after 10 s).
    """

    def __init__(self, what: int | Path, height: int, width: int, rate_hz: float) -> None:
        self._what, self._size, self._rate_hz = what, (height, width), rate_hz
        self._stopped = threading.Event()

    def frames(self) -> Iterator[Pixels]:
        """Yields pictures until stopped or the camera ends.

        Raises:
            DeviceError: there is no such camera, or the file holds no video.
        """
        cv2 = opencv("cameras and video files")
        capture = cv2.VideoCapture(self._what if isinstance(self._what, int) else str(self._what))
        try:
            if not capture.isOpened():
                raise DeviceError(self._cannot_open())
            yield from self._camera(cv2, capture) if isinstance(self._what, int) else self._file(cv2, capture)
        finally:
            capture.release()

    def stop(self) -> None:
        """Ends it after the picture that is being read."""
        self._stopped.set()

    def _cannot_open(self) -> str:
        if isinstance(self._what, int):
            return f"camera {self._what} does not open; is it plugged in, and may this user read /dev/video{self._what}"
        return f"{self._what}: OpenCV finds no video in it"

    def _camera(self, cv2: ModuleType, capture: Any) -> Iterator[Pixels]:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[1])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[0])
        capture.set(cv2.CAP_PROP_FPS, self._rate_hz)
        while not self._stopped.is_set():
            given, picture = capture.read()
            if not given:
                return
            yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)

    def _file(self, cv2: ModuleType, capture: Any) -> Iterator[Pixels]:
        rate_hz = capture.get(cv2.CAP_PROP_FPS) or self._rate_hz
        due_s, given_any = time.monotonic(), False
        while not self._stopped.is_set():
            given, picture = capture.read()
            if not given:
                if not given_any:
                    raise DeviceError(self._cannot_open())
                capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
                given_any = False
                continue
            given_any = True
            due_s = max(due_s + 1 / rate_hz, time.monotonic() - 1)
            self._stopped.wait(max(0.0, due_s - time.monotonic()))
            yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
