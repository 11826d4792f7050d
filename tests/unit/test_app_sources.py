"""Frame sources: real bytes from stand-in programs and a local server, which die, stall and come back."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgert.app.findings import encode_jpeg
from edgert.app.frames import Frame, NewestSlot
from edgert.app.jpeg_stream import LARGEST_PICTURE_BYTES, JpegSplitter
from edgert.app.live import LiveSource, Timing
from edgert.app.producers import decode_image, moving_pattern
from edgert.app.sources import Picture, open_source
from edgert.app.streams import without_password
from edgert.errors import DeviceError, MissingToolError, UsageError

pytest.importorskip("cv2")

QUICK = Timing(stall_s=0.3, start_s=10.0, first_wait_s=0.01, longest_wait_s=0.05)
SMALL = Picture(rate_hz=100.0, height=48, width=64)
LONGEST_S = 30.0


def jpeg(index: int) -> bytes:
    return encode_jpeg(moving_pattern(index, 48, 64))


def wait_for(claim: Callable[[], bool], source: LiveSource | None = None) -> None:
    """Waits as long as it takes, up to a limit that only a fault reaches; reads the source meanwhile."""
    end_s = time.monotonic() + LONGEST_S
    while not claim():
        assert time.monotonic() < end_s, source and source.health()
        if source is None or source.read(0.02) is None:
            time.sleep(0.005)


def next_frame(source: LiveSource) -> Frame:
    frames: list[Frame] = []

    def came() -> bool:
        frame = source.read(0.05)
        frames.extend([frame] if frame else [])
        return bool(frames)

    wait_for(came)
    return frames[0]


@pytest.fixture
def opened() -> Iterator[Callable[..., LiveSource]]:
    sources: list[LiveSource] = []

    def open_one(words: str, picture: Picture = SMALL, timing: Timing = QUICK) -> LiveSource:
        sources.append(open_source(words, picture, timing))
        return sources[-1]

    yield open_one
    for source in sources:
        source.close()


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a program in front of PATH: it writes its arguments to the returned file, then runs the body."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def put(name: str, body: str) -> Path:
        log = tmp_path / f"{name}.log"
        head = f"#!{sys.executable}\nimport os, sys, time, pathlib\nout = sys.stdout.buffer\n"
        note = f"with open({str(log)!r}, 'a') as f: f.write(repr(sys.argv[1:]) + '\\n')\n"
        (folder / name).write_text(head + note + textwrap.dedent(body))
        (folder / name).chmod(0o755)
        return log

    return put


def test_the_pattern_moves_and_is_the_same_every_time() -> None:
    assert np.array_equal(moving_pattern(3, 48, 64), moving_pattern(3, 48, 64))
    assert not np.array_equal(moving_pattern(3, 48, 64), moving_pattern(4, 48, 64))


def test_the_newest_wins_and_what_it_replaced_is_counted() -> None:
    slot: NewestSlot[int] = NewestSlot()
    for value in range(5):
        slot.put(value)
    assert slot.take(0) == 4
    assert slot.replaced == 4
    assert slot.take(0) is None


def test_a_slow_reader_gets_the_newest_frame(opened: Callable[..., LiveSource]) -> None:
    source = opened("synthetic")
    next_frame(source)
    wait_for(lambda: source.health().frames >= 10)
    frame = source.read(1)
    assert frame is not None
    assert frame.sequence >= 10
    assert frame.values.shape == (48, 64, 3)
    assert source.health().dropped >= 8


def test_stills_and_folders(tmp_path: Path, opened: Callable[..., LiveSource]) -> None:
    for index in (0, 30):
        (tmp_path / f"{index:02}.jpg").write_bytes(jpeg(index))
    still = next_frame(opened(str(tmp_path / "30.jpg"))).values
    assert np.abs(still.astype(int) - moving_pattern(30, 48, 64)).mean() < 8
    folder = opened(str(tmp_path))
    seen: set[bytes] = set()

    def both() -> bool:
        seen.add(next_frame(folder).values.tobytes())
        return len(seen) == 2

    wait_for(both)


def test_a_video_file_starts_again_at_its_end(tmp_path: Path, opened: Callable[..., LiveSource]) -> None:
    import cv2

    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 60.0, (64, 48))
    for index in range(4):
        writer.write(np.ascontiguousarray(moving_pattern(index, 48, 64)[..., ::-1]))
    writer.release()
    source = opened(str(path))
    wait_for(lambda: source.health().frames > 6, source)
    assert source.health().restarts == 0
    assert np.abs(next_frame(source).values.astype(int) - moving_pattern(2, 48, 64)).mean() < 12


RPICAM = """
    picture = pathlib.Path({path!r}).read_bytes()
    for _ in range({count}):
        out.write(picture); out.flush()
    {end}
"""


def test_rpicam_dies_and_comes_back(
    tmp_path: Path, stand_in: Callable[[str, str], Path], opened: Callable[..., LiveSource]
) -> None:
    (tmp_path / "p.jpg").write_bytes(jpeg(1))
    end = "print('ERROR: *** no cameras available ***', file=sys.stderr); sys.exit(255)"
    log = stand_in("rpicam-vid", RPICAM.format(path=str(tmp_path / "p.jpg"), count=2, end=end))
    source = opened("rpicam")
    wait_for(lambda: source.health().frames >= 4, source)
    wait_for(lambda: source.health().problem is not None, source)
    assert source.health().problem == "rpicam-vid ended (status 255): ERROR: *** no cameras available ***"
    assert source.health().restarts >= 1
    first = log.read_text().splitlines()[0]
    assert "'--codec', 'mjpeg'" in first and "'--width', '64', '--height', '48', '--framerate', '100'" in first


def test_a_program_that_stalls_is_ended_and_started_anew(
    tmp_path: Path, stand_in: Callable[[str, str], Path], opened: Callable[..., LiveSource]
) -> None:
    (tmp_path / "p.jpg").write_bytes(jpeg(1))
    log = stand_in("rpicam-vid", RPICAM.format(path=str(tmp_path / "p.jpg"), count=1, end="time.sleep(600)"))
    source = opened("rpicam")
    problems: set[str | None] = set()

    def came_back() -> bool:
        problems.add(source.health().problem)
        return source.health().frames >= 3

    wait_for(came_back, source)
    assert "it gave no frame any more" in problems
    assert len(log.read_text().splitlines()) >= 3


def test_a_gstreamer_line_travels_as_words(
    stand_in: Callable[[str, str], Path], opened: Callable[..., LiveSource], tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(moving_pattern(5, 48, 64).tobytes())
    body = f"data = pathlib.Path({str(raw)!r}).read_bytes()\nwhile True:\n    out.write(data); time.sleep(0.01)\n"
    log = stand_in("gst-launch-1.0", body)
    source = opened("gst:videotestsrc pattern='ball; touch x' ! queue")
    assert np.array_equal(next_frame(source).values, moving_pattern(5, 48, 64))
    words = log.read_text()
    assert "['-q', 'videotestsrc', 'pattern=ball; touch x', '!', 'queue', '!', 'videoconvert'" in words
    assert "'video/x-raw,format=RGB,width=64,height=48', '!', 'fdsink', 'fd=1']" in words


def test_rtsp_through_ffmpeg_and_no_password_is_shown(
    stand_in: Callable[[str, str], Path], opened: Callable[..., LiveSource], tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(b"P6\n64 48\n255\n" + moving_pattern(7, 48, 64).tobytes())
    end = "print('rtsp://me:secret@cam/s: 401 Unauthorized', file=sys.stderr); sys.exit(1)\n"
    body = f"data = pathlib.Path({str(raw)!r}).read_bytes()\nout.write(data + data); out.flush()\n{end}"
    log = stand_in("ffmpeg", body)
    source = opened("rtsp://me:secret@cam/s")
    assert np.array_equal(next_frame(source).values, moving_pattern(7, 48, 64))
    assert "'-i', 'rtsp://me:secret@cam/s', '-an', '-c:v', 'ppm'" in log.read_text()
    wait_for(lambda: source.health().problem is not None, source)
    assert source.health().problem == "ffmpeg ended (status 1): rtsp://cam/s: 401 Unauthorized"
    assert source.health().words == "rtsp://cam/s"


def test_what_is_no_picture_is_said(stand_in: Callable[[str, str], Path], opened: Callable[..., LiveSource]) -> None:
    stand_in("ffmpeg", "out.write(b'hello, this is no picture' * 9)")
    source = opened("rtsp://cam/s")
    wait_for(lambda: source.health().problem is not None, source)
    assert "expected PPM pictures, got b'hello" in (source.health().problem or "")


class Camera:
    """An MJPEG server on this computer that can be killed and started again on the same port."""

    def __init__(self, kind: str = "multipart/x-mixed-replace; boundary=f") -> None:
        self.kind, self.port = kind, 0
        self.server: http.server.ThreadingHTTPServer | None = None
        self.asked: list[str | None] = []

    def start(self) -> None:
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.asked.append(self.headers.get("Authorization"))
                self.send_response(200)
                self.send_header("Content-Type", camera.kind)
                self.end_headers()
                index = 0
                while camera.server is running:
                    part = jpeg(index)
                    head = f"--f\r\nContent-Type: image/jpeg\r\nContent-Length: {len(part)}\r\n\r\n"
                    try:
                        self.wfile.write(head.encode() + part + b"\r\n")
                    except OSError:
                        return
                    index += 1
                    time.sleep(0.01)

            def log_message(self, *_: object) -> None: ...

        running = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        running.daemon_threads = True
        self.server, self.port = running, running.server_port
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()

    def kill(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            server.shutdown()
            server.server_close()


@pytest.fixture
def camera() -> Iterator[Camera]:
    camera = Camera()
    camera.start()
    yield camera
    camera.kill()


def test_mjpeg_over_http_survives_its_server(camera: Camera, opened: Callable[..., LiveSource]) -> None:
    source = opened(f"http://me:p%40ss@127.0.0.1:{camera.port}/video?x=1")
    assert next_frame(source).values.shape == (48, 64, 3)
    assert camera.asked[0] == "Basic bWU6cEBzcw=="
    camera.kill()
    wait_for(lambda: "refused" in (source.health().problem or ""), source)
    before = source.health().frames
    camera.start()
    wait_for(lambda: source.health().frames > before, source)
    assert source.health().problem is None
    assert source.health().restarts >= 1


def test_a_server_that_sends_no_mjpeg(opened: Callable[..., LiveSource]) -> None:
    camera = Camera("text/html")
    camera.start()
    source = opened(f"http://127.0.0.1:{camera.port}/")
    wait_for(lambda: source.health().problem == "expected an MJPEG stream from 127.0.0.1, got text/html", source)
    camera.kill()


def test_pictures_are_cut_by_their_markers_at_any_border() -> None:
    thumbnail = b"\xff\xe1" + (2 + 40).to_bytes(2, "big") + b"\xff\xd8\xff\xd9".ljust(40, b"\0")
    first, second = jpeg(1), jpeg(2)
    first = first[:2] + thumbnail + first[2:]
    stream = b"--f\r\n\xff\r\n" + first + b"\r\n--f\r\n" + second
    for size in (1, 2, 3, 7, 1000, len(stream)):
        splitter = JpegSplitter()
        parts = [stream[i : i + size] for i in range(0, len(stream), size)]
        assert [picture for part in parts for picture in splitter.feed(part)] == [first, second]


def test_a_damaged_picture_costs_only_itself() -> None:
    whole = jpeg(1)
    cut = whole[: len(whole) // 2]
    found = list(JpegSplitter().feed(cut + whole + b"\xff\xd8" * 3000 + whole))
    assert found[-1] == whole
    assert decode_image(found[0]) is not None


def test_a_stream_without_an_end_is_refused() -> None:
    splitter = JpegSplitter()
    with pytest.raises(DeviceError, match="no JPEG picture ends within 16,777,216 bytes"):
        list(splitter.feed(b"\xff\xd8\xff\xda\x00\x02" + bytes(LARGEST_PICTURE_BYTES)))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("camera:front", "camera 'front' is no number; as in camera:0"),
        ("rtsp://", "names no host"),
        ("http://u:p@host:port/", r"'http://host:port/' is no address"),
        ("gst:", "needs a line"),
        ("gst:a 'b", "cannot be read: No closing quotation"),
        ("sinthetic", r"neither a file nor a folder.*did you mean 'synthetic'"),
    ],
)
def test_words_that_name_no_source(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source(words, SMALL)


def test_an_empty_folder_and_a_missing_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no images in this folder"):
        open_source(str(tmp_path), SMALL)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="RTSP needs ffmpeg; on Debian: apt install ffmpeg"):
        open_source("rtsp://cam/", SMALL)


@pytest.mark.parametrize(("rate_hz", "width", "message"), [(0.0, 64, "the rate is 0.0"), (5.0, 63, "picture is 63x48")])
def test_impossible_pictures(rate_hz: float, width: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Picture(rate_hz, 48, width)


def test_nothing_of_a_closed_source_stays(
    tmp_path: Path, stand_in: Callable[[str, str], Path], opened: Callable[..., LiveSource]
) -> None:
    (tmp_path / "p.jpg").write_bytes(jpeg(1))
    pid = tmp_path / "pid"
    end = f"pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(600)"
    stand_in("rpicam-vid", RPICAM.format(path=str(tmp_path / "p.jpg"), count=1, end=end))
    source = opened("rpicam", SMALL, Timing())
    wait_for(lambda: pid.exists() and bool(pid.read_text()))
    source.close()
    assert subprocess.run(["ps", "-p", pid.read_text()], capture_output=True, check=False).returncode == 1


def test_passwords_are_taken_out() -> None:
    assert without_password("a http://u:p@h/x b rtsp://q@h") == "a http://h/x b rtsp://h"
