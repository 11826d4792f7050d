"""Apps that listen: windows at every hop, files, a microphone's pipe, words from posteriors, the app as it is run."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgert.app import KeywordDetector, Trace
from edgert.app.events import MOST_EVENTS, Event, Journal
from edgert.app.frames import Frame
from edgert.app.live import LiveSource, Timing
from edgert.app.sound import Hearing, hearing_of, play_files, synthetic_sound, windows
from edgert.app.sound_sources import open_sound
from edgert.bundle import Bundle
from edgert.errors import DataError, MissingToolError, ModelError, UsageError
from edgert.runtime.audio.wav import resample
from tests import app_example, sound_example

APP = app_example.ROOT / "apps/keyword_spotting/app.py"
STEADY = Timing(stall_s=30.0, start_s=30.0, first_wait_s=0.01, longest_wait_s=0.05)
QUICK = Timing(stall_s=0.3, start_s=10.0, first_wait_s=0.01, longest_wait_s=0.05)
HEARING = Hearing(16000, 1000, 160)
LONGEST_S = 30.0


def frames_of(source: LiveSource, count: int) -> list[Frame]:
    found: list[Frame] = []
    end_s = time.monotonic() + LONGEST_S
    while len(found) < count:
        assert time.monotonic() < end_s, source.health()
        frame = source.read(0.05)
        found.extend([] if frame is None else [frame])
    return found


@pytest.fixture
def opened() -> Iterator[Callable[..., LiveSource]]:
    sources: list[LiveSource] = []

    def open_one(words: str, timing: Timing = STEADY) -> LiveSource:
        sources.append(open_sound(words, HEARING, timing))
        return sources[-1]

    yield open_one
    for source in sources:
        source.close()


def test_a_window_is_the_newest_samples_behind_silence() -> None:
    chunks = [np.full(160, i, np.int16) for i in range(1, 9)]
    found = list(windows(chunks, HEARING))
    assert {len(window) for window in found} == {1000}
    assert np.array_equal(found[0], np.r_[np.zeros(840, np.int16), chunks[0]])
    assert np.array_equal(found[-1], np.concatenate(chunks)[-1000:])


def test_a_hop_longer_than_the_window_leaves_sound_out() -> None:
    (window,) = windows([np.arange(160, dtype=np.int16)], Hearing(16000, 100, 160))
    assert np.array_equal(window, np.arange(60, 160))


def test_the_bundle_says_what_it_hears(tmp_path: Path) -> None:
    with Bundle.open(sound_example.write(tmp_path)) as bundle:
        hearing = hearing_of(bundle.manifest, 20.0)
    assert hearing == Hearing(16000, 8000, 320)
    assert hearing.hop_s == 0.02
    with (
        Bundle.open(app_example.write(tmp_path)) as bundle,
        pytest.raises(ModelError, match="no pre-processing for sound; convert the model with one of the steps log_mel"),
    ):
        hearing_of(bundle.manifest, 20.0)


def test_files_follow_each_other_and_begin_again(tmp_path: Path) -> None:
    ramps = [np.arange(500, dtype=np.int16), np.arange(1000, 1300, dtype=np.int16)]
    paths = [sound_example.write_wav(tmp_path / f"{i}.wav", ramp) for i, ramp in enumerate(ramps)]
    heard = np.concatenate(list(itertools.islice(play_files(paths, HEARING), 15)))
    assert np.array_equal(heard, np.tile(np.concatenate(ramps), 3)[: len(heard)])


def test_a_file_of_another_rate_is_resampled(tmp_path: Path) -> None:
    path = sound_example.write_wav(tmp_path / "x.wav", sound_example.tone(440, 0.5, 44100), 44100)
    heard = np.concatenate(list(itertools.islice(play_files([path], HEARING), 40)))
    expected = sound_example.tone(440, 0.5)[: len(heard)]
    assert np.abs(heard[200:] - expected[200:].astype(int)).max() <= 3


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 48000])
def test_resampling_keeps_the_band_and_nothing_above(rate_hz: int) -> None:
    low = resample(sound_example.tone(1000, 0.25, rate_hz), rate_hz, 16000)
    assert np.abs(low - sound_example.tone(1000, 0.25).astype(int))[300:-300].max() <= 12
    if rate_hz > 16000:
        high = resample(sound_example.tone(10000, 0.25, rate_hz), rate_hz, 16000)
        assert np.abs(high[300:-300].astype(int)).max() <= 60


def test_files_without_sound(tmp_path: Path) -> None:
    empty = sound_example.write_wav(tmp_path / "x.wav", np.zeros(0, np.int16))
    with pytest.raises(DataError, match=r"x\.wav: there is no sound in it"):
        next(play_files([empty, empty], HEARING))
    (tmp_path / "y.wav").write_text("words")
    with pytest.raises(DataError, match=r"y\.wav: not a readable \.wav file"):
        next(play_files([tmp_path / "y.wav"], HEARING))


def test_the_synthetic_machine_is_the_same_however_it_is_cut() -> None:
    whole = synthetic_sound(0, 4000, 16000)
    assert np.array_equal(whole, np.concatenate([synthetic_sound(i, 1000, 16000) for i in range(0, 4000, 1000)]))
    hum, rattle = (synthetic_sound(16000 * second, 16000, 16000) for second in (19, 21))
    assert np.abs(hum).max() < 12000
    assert np.std(rattle) > 1.1 * np.std(hum)
    assert np.array_equal(rattle, synthetic_sound(16000 * 21, 16000, 16000))


def test_windows_come_in_order_and_the_newest_wins(opened: Callable[..., LiveSource]) -> None:
    source = opened("synthetic")
    first = frames_of(source, 1)[0]
    end_s = time.monotonic() + LONGEST_S
    while source.health().frames < 10 and time.monotonic() < end_s:
        time.sleep(0.005)
    newest = frames_of(source, 1)[0]
    assert newest.sequence >= 10
    assert source.health().dropped >= newest.sequence - first.sequence - 1
    assert np.array_equal(newest.values, synthetic_sound(newest.sequence * 160 - 1000, 1000, 16000))


ARECORD = """
    import numpy as np
    samples = np.arange(1, 3201, dtype='<i2')
    out.write(samples.tobytes()); out.flush()
    {end}
"""


@pytest.fixture
def arecord(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a stand-in in front of PATH; its arguments go to the returned file."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def put(end: str) -> Path:
        log, program = tmp_path / "log", tmp_path / "arecord"
        note = f"open({str(log)!r}, 'a').write(repr(sys.argv[1:]) + '\\n')\n"
        head = f"#!{sys.executable}\nimport sys, time\nout = sys.stdout.buffer\n{note}"
        program.write_text(head + textwrap.dedent(ARECORD.format(end=end)))
        program.chmod(0o755)
        return log

    return put


def test_a_microphone_that_dies_and_comes_back(
    arecord: Callable[[str], Path], opened: Callable[..., LiveSource]
) -> None:
    words = "arecord: pcm_read:2221: read error: No such device"
    log = arecord(f"print({words!r}, file=sys.stderr); sys.exit(1)")
    source = opened("alsa:plughw:1,0")
    problems: set[str | None] = set()
    end_s = time.monotonic() + LONGEST_S
    while source.health().frames < 40 or not any(problems):
        assert time.monotonic() < end_s, source.health()
        source.read(0.01)
        problems.add(source.health().problem)
    assert problems - {None} == {f"arecord ended (status 1): {words}"}
    first = log.read_text().splitlines()[0]
    assert first == repr(["-q", "-D", "plughw:1,0", "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", "16000"])


def test_a_microphone_that_falls_silent_is_started_anew(
    arecord: Callable[[str], Path], opened: Callable[..., LiveSource]
) -> None:
    log = arecord("time.sleep(600)")
    source = opened("alsa:default", QUICK)
    end_s = time.monotonic() + LONGEST_S
    while source.health().frames < 40:
        assert time.monotonic() < end_s, source.health()
        source.read(0.02)
    assert len(log.read_text().splitlines()) >= 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("alsa:", "'' is no microphone of ALSA; as in alsa:default"),
        ("alsa:-V", "'-V' is no microphone"),
        ("sinthetic", r"neither a file nor a folder.*did you mean 'synthetic'"),
    ],
)
def test_words_that_name_no_sound(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_sound(words, HEARING)


def test_an_empty_folder_and_no_alsa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"no \.wav files in this folder"):
        open_sound(str(tmp_path), HEARING)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="a microphone needs arecord; on Debian: apt install alsa-utils"):
        open_sound("alsa:default", HEARING)


def posteriors(label: int, value: float) -> NDArray[np.float32]:
    found = np.full(3, (1 - value) / 2, np.float32)
    found[label] = value
    return found


def heard(detector: KeywordDetector, values: list[tuple[int, float]], threshold: float = 0.6) -> list[tuple[int, int]]:
    """Which class was detected at which window of 100 ms."""
    found = [detector.update(i / 10, posteriors(*value), threshold)[1] for i, value in enumerate(values)]
    return [(i, label) for i, label in enumerate(found) if label is not None]


def test_a_word_is_detected_once_and_a_glitch_is_not() -> None:
    labels = ("_silence_", "yes", "no")
    word = [(0, 0.9)] * 5 + [(1, 0.95)] * 6 + [(0, 0.9)] * 9
    assert heard(KeywordDetector(labels, 0.3), word * 2) == [(6, 1), (26, 1)]
    assert heard(KeywordDetector(labels, 0.3), [(0, 0.9)] * 5 + [(1, 1.0)] + [(0, 0.9)] * 5) == []
    assert heard(KeywordDetector(labels, 0.3), [(0, 1.0)] * 30) == []
    assert heard(KeywordDetector(labels, 0.3, 0.5), [(1, 1.0)] * 12) == [(3, 1), (8, 1)]


def test_posteriors_are_averaged_over_the_time_asked_for() -> None:
    detector = KeywordDetector(("a", "b", "c"), 0.3)
    values = np.random.default_rng(0).dirichlet((1, 1, 1), 20).astype(np.float32)
    for i, value in enumerate(values):
        smoothed, _ = detector.update(i / 10, value, 2.0)
        np.testing.assert_allclose(smoothed, values[max(0, i - 2) : i + 1].mean(axis=0), rtol=1e-6)


def test_events_are_lines_and_the_newest_are_kept() -> None:
    out = io.StringIO()
    journal = Journal(out)
    frame = Frame(np.zeros(1), time.monotonic() - 3600, 1)
    for i in range(MOST_EVENTS + 5):
        journal.add(Event.of(frame, f"word {i}", 0.91239, i / 10))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (len(lines), journal.count, len(journal.newest())) == (55, 55, 50)
    assert journal.newest()[0] == lines[-1]
    assert (lines[3]["label"], lines[3]["score"], lines[3]["stream_s"]) == ("word 3", 0.9124, 0.3)
    from datetime import datetime, timezone

    ago = datetime.now(timezone.utc) - datetime.fromisoformat(lines[0]["at"].replace("Z", "+00:00"))
    assert 3599 < ago.total_seconds() < 3600 + LONGEST_S


def test_a_plot_keeps_its_peaks_and_its_size() -> None:
    trace = Trace("t", [f"n{i}" for i in range(8)], high=1.0)
    for i in range(1000):
        trace.add(i * 0.05, [0.1 * k + (k == 2 and i == 990) for k in range(8)], 0.5 if i > 600 else None)
    plot = trace.values()
    lines = plot["lines"]
    assert [line["name"] for line in lines] == ["n2", "n4", "n5", "n6", "n7"]
    assert len(plot["at_s"]) == len(lines[0]["values"]) == len(plot["limit"]) == 300
    assert plot["at_s"][-1] == 49.95
    assert np.allclose(np.diff(plot["at_s"][:-1]), 0.1)
    assert (plot["limit"][0], plot["limit"][-1]) == (None, 0.5)


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(app_example.ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(APP), "--headless", "--energy", "none", "--threads", "1", *flags]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_app_hears_a_file_and_says_so_in_lines(tmp_path: Path) -> None:
    bundle = sound_example.write(tmp_path)
    sound = sound_example.write_wav(tmp_path / "x.wav", np.r_[sound_example.tone(700, 0.6), np.zeros(4800, np.int16)])
    flags = ("--hop", "20", "--smooth", "60", "--pause", "400", "--threshold", "0.2", "--seconds", "2")
    done = run("--bundle", str(bundle), "--input", str(sound), *flags)
    assert (done.returncode, done.stderr) == (0, "")
    *events, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert summary["events"] == len(events) > 0
    assert {event["label"] for event in events} <= set(sound_example.LABELS[1:])
    assert all(0.2 <= event["score"] <= 1 for event in events)
    times = [event["stream_s"] for event in events]
    assert all(later - earlier >= 0.399 for earlier, later in itertools.pairwise(times))
    assert summary["stages"]["inference"]["count"] == summary["frames"] > 10
    assert (summary["input"], summary["problem"]) == (str(sound), None)


def test_a_bundle_for_pictures_is_refused(tmp_path: Path) -> None:
    done = run("--bundle", str(app_example.write(tmp_path)), "--input", "synthetic", "--seconds", "1")
    assert done.returncode == 4
    assert "error: the bundle 'digits' has no pre-processing for sound" in done.stderr
