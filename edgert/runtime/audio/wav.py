"""Sound files: 16-bit PCM of one channel, and what it takes to bring them to a front end's sample rate."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgert.errors import DataError

__all__ = ["read_wav", "resample"]

_ZEROS = 16
_ROLL_OFF = 0.945
_BLOCK = 1 << 14


def read_wav(path: Path) -> tuple[NDArray[np.int16], int]:
    """Returns the samples of a .wav file of one channel and 16 bits, and the sample rate in Hz.

    Raises:
        DataError: the file cannot be read, or has another format.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            data = file.readframes(file.getnframes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (wave.Error, EOFError) as error:
        raise DataError(f"{path}: not a readable .wav file ({error or 'it ends early'}); PCM is allowed") from error
    if (channels, width) != (1, 2):
        raise DataError(f"{path}: {channels} channels of {8 * width} bits; one channel of 16 bits is allowed")
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16), rate


def resample(samples: NDArray[np.int16], from_hz: int, to_hz: int) -> NDArray[np.int16]:
    """Returns the sound at another rate: int16[ceil(n * to_hz / from_hz)], rounded to nearest, cut at full scale.

    A sinc under a Hann window with 16 zeros on each side, cut off at 0.945 of half the lower rate. Beyond the ends
    there is silence.

    Source: Smith and Gossett, A flexible sampling-rate conversion method, ICASSP, 1984; without their table: every
    weight is computed.
    """
    if from_hz == to_hz or not len(samples):
        return samples
    count = math.ceil(len(samples) * to_hz / from_hz)
    scale = min(1.0, to_hz / from_hz) * _ROLL_OFF
    reach = math.ceil(_ZEROS / scale)
    padded = np.pad(samples.astype(np.float64), reach + 1)
    found = np.empty(count, np.int16)
    for start in range(0, count, _BLOCK):
        at = np.arange(start, min(start + _BLOCK, count)) * from_hz / to_hz
        first = np.floor(at).astype(np.int64)
        offsets = np.arange(-reach + 1, reach + 1)
        distance = ((first[:, None] + offsets) - at[:, None]) * scale
        taper = np.cos(np.pi / 2 * np.clip(distance / _ZEROS, -1, 1)) ** 2
        weights = scale * np.sinc(distance) * taper
        values = (padded[first[:, None] + offsets + reach + 1] * weights).sum(axis=1)
        found[start : start + len(at)] = np.clip(np.rint(values), -32768, 32767)
    return found
