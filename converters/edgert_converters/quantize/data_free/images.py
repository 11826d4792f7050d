"""Pictures of nothing with the statistics of natural images: occluding shapes of every size, textured and shaded.

Source: Lee, Mumford and Huang, Occlusion models for natural images, IJCV 2001 (shapes whose sizes follow a cubic power
law give scale-invariant images); Baradad, Wulff, Wang, Isola and Torralba, Learning to see by looking at noise, 2021,
arXiv:2106.05963 (dead leaves and 1/f spectra as training images). We deviate: shapes are ellipses and boxes, each with
its own 1/f texture and contrast, colours scatter around grey as in natural images, and some pictures have large
saturated areas, because ranges are set by extremes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_image", "natural_noise", "paint_shape"]

_SMALLEST_RADIUS = 0.03
_LARGEST_RADIUS = 0.6
"""Radii of shapes as shares of the longer side."""
_SHAPES = 90
_CHROMA = 0.08
"""Standard deviation of a shape's colour around its grey."""
_TEXTURE = 0.35

Image = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Shape:
    """An ellipse or box: `mask` says which pixels of the picture it covers."""

    mask: NDArray[np.bool_]
    level: NDArray[np.float64]
    contrast: float


def draw_image(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Returns a picture, uint8[height, width, 3]; the same for the same state of `rng`."""
    texture = natural_noise((height, width), 1.0, rng)
    image = np.broadcast_to(_colour(rng), (height, width, 3)) + _TEXTURE * rng.uniform() * texture[..., None]
    for radius in sorted(_radii(rng), reverse=True):
        shape = _draw_shape(height, width, radius, rng)
        shift = tuple(int(rng.integers(size)) for size in (height, width))
        grain = np.roll(texture, shift, (0, 1))[shape.mask]
        image[shape.mask] = shape.level + shape.contrast * grain[:, None]
    image = image + rng.uniform(0.0, 0.3) * _gradient(height, width, rng)[..., None]
    exposed = (image - 0.5) * rng.uniform(0.4, 1.0) + 0.45 + rng.normal(0.0, 0.08)
    return np.rint(255.0 * np.clip(exposed, 0.0, 1.0)).astype(np.uint8)


def paint_shape(image: NDArray[np.generic], rng: np.random.Generator) -> None:
    """Paints one more shape of one colour over a picture uint8[H, W, 3], in place."""
    radius = math.exp(rng.uniform(math.log(0.05), math.log(0.4)))
    shape = _draw_shape(image.shape[0], image.shape[1], radius, rng)
    image[shape.mask] = np.rint(255.0 * shape.level).astype(np.uint8)


def natural_noise(shape: tuple[int, ...], exponent: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Returns noise with mean 0, standard deviation 1 and an amplitude spectrum that falls with 1 / f^exponent."""
    spectrum = np.fft.rfftn(rng.standard_normal(shape))
    axes = [np.fft.fftfreq(size) for size in shape[:-1]] + [np.fft.rfftfreq(shape[-1])]
    frequency = np.sqrt(sum(grid**2 for grid in np.meshgrid(*axes, indexing="ij")))
    frequency.flat[0] = np.inf
    noise = np.fft.irfftn(spectrum / frequency**exponent, shape, axes=range(len(shape)))
    spread = float(noise.std())
    return np.asarray(noise / spread if spread > 0 else noise, np.float64)


def _radii(rng: np.random.Generator) -> list[float]:
    """Radii with density r^-3 between the smallest and the largest, by inversion of the distribution."""
    low, high = _SMALLEST_RADIUS**-2, _LARGEST_RADIUS**-2
    return [1.0 / math.sqrt(low + u * (high - low)) for u in rng.uniform(size=_SHAPES)]


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.clip(rng.uniform(0.0, 1.0) + _CHROMA * rng.standard_normal(3), 0.0, 1.0)


def _draw_shape(height: int, width: int, radius: float, rng: np.random.Generator) -> _Shape:
    rows, columns = np.ogrid[:height, :width]
    size = radius * max(height, width)
    angle, ratio = rng.uniform(0, math.pi), rng.uniform(0.3, 1.0)
    y, x = rows - rng.uniform(0, height), columns - rng.uniform(0, width)
    along = (x * math.cos(angle) + y * math.sin(angle)) / size
    across = (y * math.cos(angle) - x * math.sin(angle)) / (size * ratio)
    is_box = rng.uniform() < 0.5
    mask = np.maximum(np.abs(along), np.abs(across)) < 1 if is_box else along**2 + across**2 < 1
    return _Shape(mask, _colour(rng), _TEXTURE * rng.uniform() ** 2)


def _gradient(height: int, width: int, rng: np.random.Generator) -> Image:
    """A linear ramp in a random direction, -1 to 1: light from one side."""
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    angle = rng.uniform(0, 2 * math.pi)
    return np.asarray((rows * math.sin(angle) + columns * math.cos(angle)) / math.sqrt(2), np.float64)
