"""The micro_frontend filterbank in whole numbers, the same bits as edgert_frontend_micro.h (docs/numerics.md).

Source: TensorFlow's microfrontend (tensorflow/lite/experimental/microfrontend), whose features these are bit for bit;
per-channel gain control: Wang et al., Trainable frontend for robust and far-field keyword spotting, ICASSP 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.runtime.audio.integers import Integers, bit_length, coarse_log2, nearest_root
from edgert.runtime.audio.settings import MicroFrontendSettings, fft_size
from edgert.runtime.audio.short_spectrum import short_spectrum
from edgert.runtime.audio.spectrum import Bands, band_sums, build_bands, cut_frames

__all__ = ["FEATURE_UNIT", "MicroFrontendTables", "build_micro_frontend", "micro_frontend"]

FEATURE_UNIT = 10 / 256
"""What a feature of 1 is as a real number: models are trained with 1 / 25.6."""

NOISE_BITS = 10
SHARE_BITS = 14
SNR_BITS = 12
RESULT_BITS = 6
_WINDOW_BITS = 12
_BAND_BITS = 12
_OCTAVES = 32
_LN_2 = 45426  # in 1/65536


@dataclass(frozen=True, slots=True)
class MicroFrontendTables:
    """What the settings come to.

    `gains`: int16[95], the gain for noise estimates of 0 and 1, then of each octave from 2 on its start and the two
    coefficients of a parabola. `smoothing`: of even and odd channels, `remaining`: the smallest share that is kept; in
    2^-14.
    """

    points: int
    window: NDArray[np.int16]
    bands: Bands
    gains: NDArray[np.int16]
    smoothing: tuple[int, int]
    remaining: int
    snr_shift: int
    correction_bits: int


def build_micro_frontend(settings: MicroFrontendSettings) -> MicroFrontendTables:
    """Returns the tables of a micro_frontend."""
    points = fft_size(settings.window)
    bin_hz = settings.sample_rate / points
    bands = build_bands(
        settings.channels, settings.low_hz, settings.high_hz, bin_hz, _BAND_BITS, int(1.5 + settings.low_hz / bin_hz)
    )
    correction = points.bit_length() - 1 - _BAND_BITS // 2
    shares = (settings.even_smoothing, settings.odd_smoothing, settings.min_signal_remaining)
    even, odd, remaining = (int(np.float32(share) * (1 << SHARE_BITS)) for share in shares)
    return MicroFrontendTables(
        points,
        _build_window(settings.window),
        bands,
        _build_gains(settings, NOISE_BITS - correction),
        (even, odd),
        remaining,
        settings.gain_bits - correction - SNR_BITS,
        correction,
    )


def _build_window(size: int) -> NDArray[np.int16]:
    """The Hann window sampled halfway between the periodic one's points, in 1/4096."""
    turn = np.float32(2 * math.pi / size)
    values = [0.5 - 0.5 * math.cos(float(turn) * (i + 0.5)) for i in range(size)]
    return np.array([math.floor(value * (1 << _WINDOW_BITS) + 0.5) for value in values], np.int16)


def _build_gains(settings: MicroFrontendSettings, noise_bits: int) -> NDArray[np.int16]:
    table = [_gain(settings, noise, noise_bits) for noise in (0, 1)]
    for octave in range(1, _OCTAVES):
        start = 1 << octave
        end = min(2 * start, (1 << _OCTAVES) - 1)
        y0, y1, y2 = (_gain(settings, noise, noise_bits) for noise in (start, start + start // 2, end))
        slope = 4 * (y1 - y0) - (y2 - y0)
        table += [y0, slope, y2 - y0 - slope]
    return np.array(table, np.int16)


def _gain(settings: MicroFrontendSettings, noise: int, noise_bits: int) -> int:
    """The gain, in float32 as in the reference."""
    above = np.float32(noise) / np.float32(1 << noise_bits) + np.float32(settings.offset)
    gain = np.float32(1 << settings.gain_bits) * np.float32(
        math.pow(float(above), -float(np.float32(settings.strength)))
    )
    return min(32767, int(gain + np.float32(0.5)))


def micro_frontend(audio: NDArray[np.int16], settings: MicroFrontendSettings) -> NDArray[np.int32]:
    """Returns int32[frames, channels] in units of `FEATURE_UNIT` for a clip int16[samples], from the first sample on.

    The noise estimate starts at 0 with the clip; a clip shorter than a window gives no rows.
    """
    tables = build_micro_frontend(settings)
    frames = cut_frames(audio, settings.window, settings.step).astype(np.int64)
    windowed = ((frames * tables.window) >> _WINDOW_BITS).astype(np.int16)
    room = 15 - bit_length(np.abs(windowed).max(1, initial=0).astype(np.int64))  # |-32768| is -32768 in 16 bits
    real, imaginary = short_spectrum(windowed << room[:, None].astype(np.int16), tables.points)
    signals = nearest_root(band_sums(real * real + imaginary * imaginary, tables.bands)) >> room[:, None]
    noise = np.zeros(settings.channels, np.int64)
    rows = np.zeros(signals.shape, np.int64)
    for row, signal in zip(rows, signals, strict=True):
        noise, reduced = _reduce_noise(noise, signal, tables)
        row[:] = _compress(_control_gain(reduced, noise, tables), settings, tables)
    return rows.astype(np.int32)


def _reduce_noise(noise: Integers, signal: Integers, tables: MicroFrontendTables) -> tuple[Integers, Integers]:
    """The estimate of the noise follows the signal slowly; what is above it is kept, and never too little."""
    share = np.resize(np.array(tables.smoothing, np.int64), len(signal))
    scaled = signal << NOISE_BITS
    noise = (scaled * share + noise * ((1 << SHARE_BITS) - share)) >> SHARE_BITS
    left = (scaled - np.minimum(noise, scaled)) >> NOISE_BITS
    return noise, np.maximum(left, (signal * tables.remaining) >> SHARE_BITS)


def _control_gain(signal: Integers, noise: Integers, tables: MicroFrontendTables) -> Integers:
    """Multiplies by the gain of the noise, a parabola per octave, and bends small results to a square."""
    table = tables.gains.astype(np.int64)
    octave = np.maximum(bit_length(noise) - 1, 1)
    t = ((noise >> np.maximum(octave - 10, 0)) << np.maximum(10 - octave, 0)) & 1023
    start, slope, bend = (table[3 * octave - 1 + i] for i in range(3))
    within = start + ((((bend * t) >> 5) + (slope << 5)) * t + (1 << 14) >> 15)
    gain = np.where(noise < 2, table[np.minimum(noise, 1)], within)
    snr = (signal * gain) >> tables.snr_shift
    small = (snr * snr) >> (2 + 2 * SNR_BITS - RESULT_BITS)
    return np.where(snr < 2 << SNR_BITS, small, (snr >> (SNR_BITS - RESULT_BITS)) - (1 << RESULT_BITS))


def _compress(values: Integers, settings: MicroFrontendSettings, tables: MicroFrontendTables) -> Integers:
    """The natural logarithm in 2^-log_shift, rounded twice; 0 and 1 give 0."""
    logs = (coarse_log2(np.maximum(values << tables.correction_bits, 1)) * _LN_2 + (1 << 15)) >> 16
    features: Integers = ((logs << settings.log_shift) + (1 << 15)) >> 16
    return features
