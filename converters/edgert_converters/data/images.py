"""Decoding image files (needs the vision extra)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgert.errors import DataError, MissingExtraError

__all__ = ["IMAGE_SUFFIXES", "decode_image", "list_images", "make_preview", "read_bytes"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"})
_PREVIEW_PIXELS = 96


def decode_image(data: bytes, where: str) -> NDArray[np.uint8]:
    """Returns the RGB image uint8[H, W, 3] of an encoded file.

    Raises:
        DataError: the bytes are no image that OpenCV reads; `where` names it.
        MissingExtraError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("opencv-python-headless", "vision", "reading images") from error
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as error:
        raise DataError(f"{where}: not an image that can be decoded ({error})") from error
    if image is None:
        raise DataError(f"{where}: not an image that can be decoded; remove or replace it")
    return np.ascontiguousarray(image[:, :, ::-1], dtype=np.uint8)


def list_images(folder: Path) -> list[Path]:
    """Returns the image files directly in a folder, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())


def read_bytes(path: Path) -> bytes:
    """Returns a file's bytes.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def make_preview(image: NDArray[np.generic]) -> NDArray[np.uint8] | None:
    """Returns a small uint8 RGB picture of an image [H, W], [H, W, 1] or [H, W, 3]; None for anything else."""
    if image.dtype != np.uint8 or image.ndim not in {2, 3} or (image.ndim == 3 and image.shape[2] not in {1, 3}):
        return None
    step = max(1, -(-max(image.shape[:2]) // _PREVIEW_PIXELS))
    small = image[::step, ::step]
    small = small[:, :, None] if small.ndim == 2 else small
    return np.ascontiguousarray(np.broadcast_to(small, (*small.shape[:2], 3))).astype(np.uint8)
