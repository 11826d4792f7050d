"""`--input` in words for apps that listen: which sound or vibration they name. Words never reach a shell."""

from __future__ import annotations

import functools
import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from edgert.app.frames import Array
from edgert.app.live import LiveSource, Producer, Timing
from edgert.app.sensor_lines import SerialProducer, parse_port, play_table
from edgert.app.sound import Hearing, PacedProducer, play_files, read_samples, synthetic_sound
from edgert.app.streams import ChildProducer
from edgert.errors import MissingToolError, UsageError, did_you_mean

__all__ = ["SOUND_WORDS", "open_sound"]

SOUND_WORDS = "synthetic | alsa:default | FILE.wav | FOLDER | FILE.csv | serial:///dev/ttyUSB0?baud=115200&columns=3"
_ALSA = re.compile(r"[A-Za-z][A-Za-z0-9_:,.=-]*")
_PACKAGES = "alsa-utils"


def open_sound(words: str, hearing: Hearing, timing: Timing | None = None) -> LiveSource:
    """Starts the source that the words name; each of its frames is the newest window.

    Raises:
        UsageError: the words name no source.
        MissingToolError: what the source needs is not installed.
    """
    return LiveSource(words, _producer_of(words, hearing), timing)


def _producer_of(words: str, hearing: Hearing) -> Callable[[], Producer]:
    kind, _, rest = words.partition(":")
    if words == "synthetic":
        return lambda: PacedProducer(_synthetic(hearing), hearing)
    if kind == "alsa":
        return functools.partial(ChildProducer, _arecord(rest, hearing), read_samples(hearing), _PACKAGES)
    if kind == "serial":
        return functools.partial(SerialProducer, parse_port(words), hearing)
    return _file_producer(Path(words).expanduser(), hearing)


def _synthetic(hearing: Hearing) -> Iterator[Array]:
    for index in itertools.count():
        yield synthetic_sound(index * hearing.hop, hearing.hop, hearing.rate_hz)


def _arecord(device: str, hearing: Hearing) -> list[str]:
    """One channel of 16 bits; ALSA's own plugins convert what the microphone gives, where `device` is such a plugin."""
    if not _ALSA.fullmatch(device):
        raise UsageError(f"{device!r} is no microphone of ALSA; as in alsa:default or alsa:plughw:1,0 (arecord -L)")
    if shutil.which("arecord") is None:
        raise MissingToolError("arecord", _PACKAGES, "a microphone")
    kind = ["-t", "raw", "-f", "S16_LE", "-c", "1", "-r", str(hearing.rate_hz)]
    return ["arecord", "-q", "-D", device, *kind]


def _file_producer(path: Path, hearing: Hearing) -> Callable[[], Producer]:
    if path.is_dir():
        found = sorted(entry for entry in path.iterdir() if entry.suffix.lower() == ".wav")
        if not found:
            raise UsageError(f"{path}: no .wav files in this folder")
        return lambda: PacedProducer(play_files(found, hearing), hearing)
    if path.is_file() and path.suffix.lower() == ".csv":
        return lambda: PacedProducer(play_table(path, hearing), hearing)
    if path.is_file():
        return lambda: PacedProducer(play_files([path], hearing), hearing)
    close = did_you_mean(str(path), ("synthetic", "alsa:default"))
    raise UsageError(f"the input {str(path)!r} is neither a file nor a folder{close}; --input {SOUND_WORDS}")
