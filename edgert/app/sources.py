"""`--input` in words: which source they name. Words never reach a shell."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from edgert.app.live import LiveSource, Producer, Timing
from edgert.app.producers import CaptureProducer, ImagesProducer, SyntheticProducer, opencv
from edgert.app.streams import ChildProducer, HttpProducer, read_jpegs, read_ppm, read_raw, without_password
from edgert.errors import MissingToolError, UsageError, did_you_mean

__all__ = ["INPUT_WORDS", "Picture", "open_source"]

INPUT_WORDS = "synthetic | camera:0 | rpicam | rtsp://... | http://... | gst:LINE | FILE | FOLDER"
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm")
_MOST_IMAGES = 100_000


@dataclass(frozen=True, slots=True)
class Picture:
    """What is asked of a source: pictures a second, and pixels where the source lets one choose."""

    rate_hz: float = 15.0
    height: int = 480
    width: int = 640

    def __post_init__(self) -> None:
        if not 0 < self.rate_hz <= 1000:
            raise UsageError(f"the rate is {self.rate_hz} frames a second; allowed: above 0, at most 1000")
        if not (16 <= self.height <= 4320 and 16 <= self.width <= 7680 and self.width % 4 == 0):
            raise UsageError(f"the picture is {self.width}x{self.height}; allowed: 16 to 7680 (a multiple of 4) x 4320")


def open_source(words: str, picture: Picture, timing: Timing | None = None) -> LiveSource:
    """Starts the source that the words name; it comes up by itself, and again after every fault.

    Raises:
        UsageError: the words name no source.
        MissingExtraError, MissingToolError: what the source needs is not installed.
    """
    make = _producer_of(words, picture)
    return LiveSource(without_password(words), make, timing)


def _producer_of(words: str, picture: Picture) -> Callable[[], Producer]:
    kind, _, rest = words.partition(":")
    height, width, rate_hz = picture.height, picture.width, picture.rate_hz
    if words == "synthetic":
        return functools.partial(SyntheticProducer, rate_hz, height, width)
    if kind == "camera":
        if not re.fullmatch(r"\d{1,3}", rest):
            raise UsageError(f"camera {rest!r} is no number; as in camera:0")
        opencv("a camera")
        return functools.partial(CaptureProducer, int(rest), height, width, rate_hz)
    if kind in ("http", "https"):
        _require_host(words)
        opencv("MJPEG")
        return functools.partial(HttpProducer, words)
    if kind in ("rtsp", "rtsps"):
        _require_host(words)
        command = _ffmpeg(words)
        return functools.partial(ChildProducer, command, read_ppm, "ffmpeg")
    if words == "rpicam":
        opencv("rpicam")
        return functools.partial(ChildProducer, _rpicam(picture), read_jpegs, "rpicam-apps")
    if kind == "gst":
        packages = "gstreamer1.0-tools gstreamer1.0-plugins-base"
        return functools.partial(ChildProducer, _gstreamer(rest, picture), read_raw(height, width), packages)
    return _file_producer(Path(words).expanduser(), picture)


def _file_producer(path: Path, picture: Picture) -> Callable[[], Producer]:
    if path.is_dir():
        found = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in _IMAGES)[:_MOST_IMAGES]
        if not found:
            raise UsageError(f"{path}: no images in this folder ({', '.join(_IMAGES)})")
        opencv("images")
        return functools.partial(ImagesProducer, found, picture.rate_hz)
    if not path.is_file():
        close = did_you_mean(str(path), ("synthetic", "rpicam", "camera:0"))
        raise UsageError(f"the input {str(path)!r} is neither a file nor a folder{close}; --input {INPUT_WORDS}")
    opencv("images and videos")
    if path.suffix.lower() in _IMAGES:
        return functools.partial(ImagesProducer, [path], picture.rate_hz)
    return functools.partial(CaptureProducer, path, picture.height, picture.width, picture.rate_hz)


def _require_host(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"the input {without_password(url)!r} is no address: {error}") from error
    if not host:
        raise UsageError(f"the input {without_password(url)!r} names no host; as in rtsp://camera.local/stream")


def _installed(names: tuple[str, ...], packages: str, purpose: str) -> str:
    for name in names:
        if shutil.which(name) is not None:
            return name
    raise MissingToolError(names[0], packages, purpose)


def _ffmpeg(url: str) -> list[str]:
    program = _installed(("ffmpeg",), "ffmpeg", "RTSP")
    options = ["-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp", "-fflags", "nobuffer", "-flags", "low_delay"]
    return [program, *options, "-i", url, "-an", "-c:v", "ppm", "-f", "image2pipe", "pipe:1"]


def _rpicam(picture: Picture) -> list[str]:
    """MJPEG, since it says itself where a picture ends; -t 0: without end, -n: no preview."""
    program = _installed(("rpicam-vid", "libcamera-vid"), "rpicam-apps", "a camera of a Raspberry Pi")
    size = ["--width", str(picture.width), "--height", str(picture.height), "--framerate", f"{picture.rate_hz:g}"]
    return [program, "-t", "0", "-n", "--codec", "mjpeg", "--flush", *size, "-o", "-"]


def _gstreamer(line: str, picture: Picture) -> list[str]:
    """RGB rows of GStreamer are padded to 4 bytes: `Picture` allows only widths that need none."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"the GStreamer line {line!r} cannot be read: {error}") from error
    if not words:
        raise UsageError("gst: needs a line, as in gst:'v4l2src device=/dev/video0'")
    program = _installed(("gst-launch-1.0",), "gstreamer1.0-tools gstreamer1.0-plugins-base", "a GStreamer line")
    caps = f"video/x-raw,format=RGB,width={picture.width},height={picture.height}"
    return [program, "-q", *words, "!", "videoconvert", "!", "videoscale", "!", caps, "!", "fdsink", "fd=1"]
