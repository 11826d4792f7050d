"""A small bundle that takes sound: the network of `edgert demo` behind an MFCC of 32x32; and sounds to play to it."""

from __future__ import annotations

import dataclasses
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Bundle, write_bundle
from tests import app_example as example

STEPS = (
    {"op": "mfcc", "samples": 8000, "step": 240, "coefficients": 32},
    {"op": "reshape", "shape": [1, 32, 32]},
)
RATE_HZ, WINDOW = 16000, 8000
LABELS = ("_silence_", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write(folder: Path) -> Path:
    with Bundle.open(example.write(folder)) as bundle:
        data = {variant.path: bundle.read(variant.path) for variant in bundle.manifest.variants}
        manifest = dataclasses.replace(bundle.manifest, name="sounds", preprocess=STEPS, labels=LABELS)
    return write_bundle(folder / "sounds.edge", manifest, data)


def tone(hz: float, seconds: float, rate_hz: int = RATE_HZ) -> NDArray[np.int16]:
    at_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.rint(9000 * np.sin(2 * np.pi * hz * at_s)).astype(np.int16)


def write_wav(path: Path, samples: NDArray[np.int16], rate_hz: int = RATE_HZ) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return path
