"""MFCC in whole numbers: int32 coefficients in 1/1024, the same bits as edgert_frontend_mfcc.h (docs/numerics.md).

Source: Davis and Mermelstein, Comparison of parametric representations for monosyllabic word recognition, IEEE TASSP,
1980. The clip is not divided by its maximum before the transform: the logarithm of the maximum is subtracted after it,
which is the same and loses no bits.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.runtime.audio.integers import log2, root
from edgert.runtime.audio.settings import MfccSettings, fft_size
from edgert.runtime.audio.spectrum import Bands, band_sums, build_bands, build_window, cut_frames, spectrum

__all__ = ["FEATURE_BITS", "MfccTables", "build_mfcc", "mfcc"]

FEATURE_BITS = 10
_BAND_BITS = 15
_FLOOR = 1e-6  # added to every channel of the normalised clip before the logarithm, as in the reference


@dataclass(frozen=True, slots=True)
class MfccTables:
    """What the settings come to.

    `cosines`: int16[coefficients, channels], the cosine transform with its scale and ln 2, in 2^-`cosine_bits`.
    `floor`: what the maximum of the clip is multiplied by, in 2^-16, to be added before the logarithm.
    `unit`: log2 in 1/65536 of what the sums of a channel are in terms of samples.
    """

    points: int
    window: NDArray[np.int16]
    bands: Bands
    cosines: NDArray[np.int16]
    cosine_bits: int
    floor: int
    unit: int


@functools.lru_cache(maxsize=4)  # 1 ms, and a stream asks for every window
def build_mfcc(settings: MfccSettings) -> MfccTables:
    """Returns the tables of an MFCC front end."""
    points = fft_size(settings.window)
    exponent = 15 + _BAND_BITS - (points.bit_length() - 1)
    bands = build_bands(settings.channels, settings.low_hz, settings.high_hz, settings.sample_rate / points, _BAND_BITS)
    scale = math.log(2) * math.sqrt(2 / settings.channels)
    bits = 14 - math.floor(math.log2(scale))
    cosines = [
        [
            round(min(32767, (1 << bits) * scale * math.cos(math.pi * (2 * n + 1) * k / (2 * settings.channels))))
            for n in range(settings.channels)
        ]
        for k in range(settings.coefficients)
    ]
    floor = round(_FLOOR * (1 << (exponent + 16)))
    window = build_window(settings.window)
    return MfccTables(points, window, bands, np.array(cosines, np.int16), bits, floor, exponent << 16)


def mfcc(audio: NDArray[np.int16], settings: MfccSettings) -> NDArray[np.int32]:
    """Returns int32[frames, coefficients] in 1/1024 for a clip int16[samples].

    A shorter clip is continued with zeros, a longer one cut. A clip with nothing above 0 counts as one whose maximum
    is 1.
    """
    clip = np.zeros(settings.samples, np.int16)
    clip[: len(audio)] = audio[: settings.samples]
    tables = build_mfcc(settings)
    peak = np.int64(max(1, int(clip.max())))
    real, imaginary = spectrum(cut_frames(clip, settings.window, settings.step), tables.window, tables.points)
    sums = band_sums(root(real * real + imaginary * imaginary), tables.bands)
    logs = log2(np.maximum(1, sums + ((peak * tables.floor) >> 16))) - log2(np.array([peak])) - tables.unit
    drop = 16 + tables.cosine_bits - FEATURE_BITS
    return ((logs @ tables.cosines.T.astype(np.int64) + (1 << (drop - 1))) >> drop).astype(np.int32)
