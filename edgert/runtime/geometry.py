"""How the pixels of a model's input relate to those of the original image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Geometry"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """input = original * scale + offset, in pixels, along x and y; sizes are (height, width)."""

    original_size: tuple[int, int]
    input_size: tuple[int, int]
    scale_xy: tuple[float, float] = (1.0, 1.0)
    offset_xy: tuple[float, float] = (0.0, 0.0)

    def scaled(self, height: int, width: int) -> Geometry:
        """The geometry after the image was resized to (height, width)."""
        factor_y, factor_x = height / self.input_size[0], width / self.input_size[1]
        return replace(
            self,
            input_size=(height, width),
            scale_xy=(self.scale_xy[0] * factor_x, self.scale_xy[1] * factor_y),
            offset_xy=(self.offset_xy[0] * factor_x, self.offset_xy[1] * factor_y),
        )

    def moved(self, height: int, width: int, left: int, top: int) -> Geometry:
        """The geometry after the image was placed at (left, top) of a canvas (height, width); negative: cropped."""
        offset = (self.offset_xy[0] + left, self.offset_xy[1] + top)
        return replace(self, input_size=(height, width), offset_xy=offset)

    def to_original(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps boxes xyxy float32[K, 4] from input pixels to original pixels, clipped to the image."""
        offset = np.array(self.offset_xy * 2, dtype=np.float32)
        scale = np.array(self.scale_xy * 2, dtype=np.float32)
        height, width = self.original_size
        limit = np.array([width, height, width, height], dtype=np.float32)
        mapped: NDArray[np.float32] = np.clip((boxes - offset) / scale, np.float32(0), limit)
        return mapped
