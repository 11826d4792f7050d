"""Windows of sound: what a bundle's front end takes, the newest of it at every hop, files, a synthetic machine."""

from __future__ import annotations

import functools
import itertools
import math
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from edgert.app.frames import Array
from edgert.app.streams import FrameReader
from edgert.bundle import Manifest
from edgert.errors import DataError, ModelError
from edgert.runtime.audio.settings import FRONT_ENDS, needed_samples
from edgert.runtime.audio.wav import read_wav, resample
from edgert.runtime.steps import bind_step

__all__ = ["Hearing", "PacedProducer", "hearing_of", "play_files", "read_samples", "synthetic_sound", "windows"]

_LATE_S = 1.0
_RATTLE_EVERY_S, _RATTLE_FROM_S = 30, 20
_RATTLE_S = 4


@dataclass(frozen=True, slots=True)
class Hearing:
    """What a front end takes: `rate_hz` samples a second, `window` of them at a time, every `hop` samples anew."""

    rate_hz: int
    window: int
    hop: int

    @property
    def hop_s(self) -> float:
        """Seconds between two windows."""
        return self.hop / self.rate_hz


def hearing_of(manifest: Manifest, hop_ms: float) -> Hearing:
    """Returns what the bundle's front end takes; the hop in whole samples, at least one.

    Raises:
        ModelError: the bundle's pre-processing has no front end for sound.
    """
    for step in manifest.preprocess:
        if step["op"] in FRONT_ENDS:
            settings = bind_step(step, FRONT_ENDS, "preprocess")()
            features = math.prod(size or 1 for size in manifest.inputs[0].shape)
            hop = max(1, round(hop_ms * settings.sample_rate / 1000))
            return Hearing(settings.sample_rate, needed_samples(settings, features), hop)
    raise ModelError(
        f"the bundle {manifest.name!r} has no pre-processing for sound; convert the model with one of the steps "
        f"{', '.join(FRONT_ENDS)} in its recipe"
    )


def windows(chunks: Iterable[Array], hearing: Hearing) -> Iterator[Array]:
    """Yields the newest window after each chunk of new samples; before the first sample there was silence.

    Chunks are int16 sound or float32 of a sensor, which rests at its first value (gravity) and has its mean taken out.
    """
    newest: Array = np.zeros(0, np.int16)
    for chunk in chunks:
        if not len(newest):
            newest = np.full(hearing.window, chunk[0] if chunk.dtype == np.float32 else 0, chunk.dtype)
        newest = np.concatenate((newest, chunk))[-hearing.window :]
        yield newest - newest.mean() if newest.dtype == np.float32 else newest


def read_samples(hearing: Hearing) -> FrameReader:
    """Returns a reader of bare 16-bit samples, little endian, one channel, as `arecord -t raw` writes them."""

    def chunks(stream: IO[bytes]) -> Iterator[Array]:
        while len(data := stream.read(2 * hearing.hop)) == 2 * hearing.hop:
            yield np.frombuffer(data, "<i2").astype(np.int16)

    def read(stream: IO[bytes]) -> Iterator[Array]:
        return windows(chunks(stream), hearing)

    return read


class PacedProducer:
    """Windows of sound that is at hand already, given as fast as it would be heard."""

    def __init__(self, chunks: Iterable[Array], hearing: Hearing) -> None:
        self._chunks, self._hearing = chunks, hearing
        self._stopped = threading.Event()

    def frames(self) -> Iterator[Array]:
        """Yields a window at every hop until stopped; after a pause of the computer it goes on without a burst."""
        start_s = time.monotonic()
        for index, window in enumerate(windows(self._chunks, self._hearing), 1):
            wait_s = start_s + index * self._hearing.hop_s - time.monotonic()
            if wait_s < -_LATE_S:
                start_s -= wait_s
            if self._stopped.wait(max(0.0, wait_s)):
                return
            yield window

    def stop(self) -> None:
        """Ends it."""
        self._stopped.set()


def play_files(paths: Sequence[Path], hearing: Hearing) -> Iterator[NDArray[np.int16]]:
    """Yields hops of the files one behind the other at the front end's rate, from the first again after the last.

    Raises:
        DataError: a file is no 16-bit PCM of one channel, or there is no sound in any.
    """
    rest, heard = np.zeros(0, np.int16), 0
    sounds: dict[Path, NDArray[np.int16]] = {}
    for index in itertools.count():
        path = paths[index % len(paths)]
        if path not in sounds:
            sounds = {path: resample(*read_wav(path), hearing.rate_hz)}  # one file is in memory at a time
        heard += len(sounds[path])
        if index + 1 >= len(paths) and not heard:
            raise DataError(f"{path}: there is no sound in it")
        rest = np.concatenate((rest, sounds[path]))
        whole = len(rest) // hearing.hop * hearing.hop
        yield from rest[:whole].reshape(-1, hearing.hop)
        rest = rest[whole:]


@functools.lru_cache(maxsize=2)
def _noise(rate_hz: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal(rate_hz)


def synthetic_sound(start: int, count: int, rate_hz: int) -> NDArray[np.int16]:
    """Returns samples `start` to `start + count` of a machine that hums: the same for the same numbers everywhere.

    A hum of 120 Hz with overtones that swells a little, and noise; in seconds 20 to 24 of every 30 it rattles too.
    """
    index = np.arange(start, start + count)
    at_s = index / rate_hz
    swell = 1 + 0.1 * np.sin(2 * np.pi * 0.7 * at_s)
    hum = sum(np.sin(2 * np.pi * 120 * k * at_s) / k for k in (1, 2, 3, 5))
    noise = _noise(rate_hz)[index % rate_hz]
    since_s = at_s % _RATTLE_EVERY_S - _RATTLE_FROM_S
    blows = np.exp(-120 * (at_s % 0.0625)) * np.sin(2 * np.pi * 0.2 * rate_hz * at_s)
    rattle = np.where((since_s >= 0) & (since_s < _RATTLE_S), blows, 0.0)
    samples: NDArray[np.int16] = np.rint(3000 * swell * hum + 250 * noise + 5000 * rattle).astype(np.int16)
    return samples
