"""Apps that watch: scores, the threshold that learns, alarms, vibration from tables and a serial port, log-mel."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.helper as make
import pytest
from numpy.typing import NDArray

from edgert.app.alarms import AdaptiveThreshold, AlarmDetector, anomaly_score
from edgert.app.frames import Frame
from edgert.app.live import Timing
from edgert.app.model import AppModel
from edgert.app.sensor_lines import LineReader, Port, parse_port, play_table
from edgert.app.sound import Hearing, synthetic_sound, windows
from edgert.app.sound_sources import open_sound
from edgert.bundle import SCHEMA, Manifest, Source, TensorSpec, Variant, write_bundle
from edgert.dtypes import DType
from edgert.errors import DataError, ModelError, UsageError
from edgert.runtime.audio.log_mel import log_mel
from edgert.runtime.audio.settings import LogMelSettings, needed_samples
from edgert.runtime.audio.wav import resample
from edgert.runtime.preprocess import build_preprocess
from edgert.runtime.results import Classification, Detections, Raw
from tests.app_example import ROOT
from tests.sound_example import write_wav

APP = ROOT / "apps/anomaly/app.py"
REFERENCE = ROOT / "tests/data/log_mel.npz"
"""What librosa 0.11.0 gives for 3072 samples: `default` with n_fft 1024, hop 512, 128 bands, `narrow` with n_fft 512,
hop 200, 40 bands from 50 to 3000 Hz; power 2, center False, 10 log10(x + epsilon) of float64."""
DECIBELS = 1e-4  # both in float64; stored as float32
HEARING = Hearing(100, 50, 10)
QUICK = Timing(stall_s=30.0, start_s=30.0, first_wait_s=0.01, longest_wait_s=0.05)
LONGEST_S = 30.0


def test_log_mel_is_librosas() -> None:
    with np.load(REFERENCE) as reference:
        audio, default, narrow = reference["audio"], reference["default"], reference["narrow"]
    np.testing.assert_allclose(log_mel(audio, LogMelSettings()), default, atol=DECIBELS)
    settings = LogMelSettings(window=512, step=200, channels=40, low_hz=50.0, high_hz=3000.0, frames=13)
    np.testing.assert_allclose(log_mel(audio, settings), narrow, atol=DECIBELS)
    assert needed_samples(LogMelSettings(), 640) == 3072


def test_log_mel_is_a_step_for_sound_and_for_vibration() -> None:
    with np.load(REFERENCE) as reference:
        audio, default = reference["audio"], reference["default"]
    steps = build_preprocess([{"op": "log_mel"}, {"op": "flatten"}])
    for values, decibels in ((audio, DECIBELS), ((audio / 32768).astype(np.float32), 0.01)):
        found = steps(values)[0].astype(np.float64)
        np.testing.assert_allclose(found, default.reshape(1, 640), atol=decibels)
    with pytest.raises(DataError, match=r"expected sound as int16\[samples\], got uint8"):
        steps(np.zeros((8, 8, 3), np.uint8))


def frame_of(features: NDArray[np.float32] | None) -> Frame:
    return Frame(np.zeros(1, np.int16), 0.0, 1, features)


def test_the_score_is_the_mean_squared_error() -> None:
    given, answer = np.arange(6, dtype=np.float32).reshape(1, 6), np.full((1, 6), 2, np.float32)
    expected = np.mean((np.arange(6) - 2.0) ** 2)
    assert anomaly_score(frame_of(given), Raw({"y": answer})) == pytest.approx(expected)
    assert anomaly_score(frame_of(given), Classification(answer[0], np.arange(5))) == pytest.approx(expected)
    assert anomaly_score(frame_of(given), Raw({"y": np.full((1, 1), 7.5, np.float32)})) == 7.5


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (Raw({"y": np.zeros((1, 5), np.float32)}), "no autoencoder: it is given 6 values and gives 5"),
        (Raw({"y": np.zeros(6), "z": np.zeros(6)}), "the bundle gives no score"),
        (Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)), "gives no score"),
    ],
)
def test_what_is_no_autoencoder(result: Raw | Detections, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        anomaly_score(frame_of(np.zeros((1, 6), np.float32)), result)


def test_the_threshold_is_median_and_deviations_of_what_was_normal() -> None:
    threshold = AdaptiveThreshold(warm_up_s=5.0, size=100)
    scores = np.random.default_rng(0).normal(10, 2, 400)
    limits = [threshold.update(i / 10, float(score), 100.0) for i, score in enumerate(scores)]
    assert limits[:50] == [None] * 50
    kept = scores[-101:-1]
    expected = np.median(kept) + 100 * 1.4826 * np.median(np.abs(kept - np.median(kept)))
    assert limits[-1] == pytest.approx(expected)
    assert limits[-1] == pytest.approx(10 + 100 * 2, rel=0.25)


def test_what_is_above_the_threshold_is_not_learned() -> None:
    threshold = AdaptiveThreshold(warm_up_s=1.0, size=20)
    scores = np.random.default_rng(0).uniform(1, 2, 40)
    assert not any(score > (threshold.update(i, score, 9.0) or 2) for i, score in enumerate(scores))
    limits = {threshold.update(40 + i, 1000.0, 9.0) for i in range(100)}
    assert len(limits) == 1
    assert limits.pop() == pytest.approx(
        np.median(scores[-20:]) + 9 * 1.4826 * np.median(np.abs(scores[-20:] - np.median(scores[-20:])))
    )


def test_a_steady_score_still_has_room() -> None:
    threshold = AdaptiveThreshold(warm_up_s=0.0, size=20)
    assert [threshold.update(i, 4.0, 5.0) for i in range(12)][-1] == pytest.approx(4.0 + 5 * 0.04)


def test_an_alarm_begins_once_and_ends_after_the_pause() -> None:
    detector = AlarmDetector(0.1, smooth_s=0.3, pause_s=1.0, warm_up_s=5.0)
    noise = np.random.default_rng(0).normal(1, 0.05, 400)
    changes = []
    for i, score in enumerate(noise):
        verdict = detector.update(i / 10, score + 3 * (200 <= i < 230) + 3 * (i == 235), 8.0)
        changes += [("alarm", i)] * verdict.has_begun + [("normal", i)] * verdict.has_ended
    assert changes == [("alarm", 200), ("normal", 247)]


def test_lines_of_numbers_however_they_come() -> None:
    text = b"x,y,z\r\n3,4,0\r\n0;0;-2\n bad\n1 2\n1.5\t2\t6\nnan,0,0\n" + b"9,9"
    expected = [5.0, 2.0, 6.5]
    for size in (1, 3, len(text)):
        reader = LineReader(3)
        found = np.concatenate([reader.feed(text[i : i + size]) for i in range(0, len(text), size)])
        assert found.tolist() == expected
    assert LineReader().feed(b"t\n-1.5\n2\n").tolist() == [-1.5, 2.0]
    assert LineReader(1).feed(b"7,8\n").tolist() == [7.0]


def test_a_table_is_played_and_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a\n" + "\n".join(str(i) for i in range(25)))
    heard = np.concatenate(list(itertools.islice(play_table(path, HEARING), 7)))
    assert heard.tolist() == np.tile(np.arange(25.0), 3)[:70].tolist()
    path.write_text("a\n1\n")
    with pytest.raises(DataError, match=r"x\.csv: 1 lines of numbers; one step of the stream \(--hop\) takes 10"):
        next(play_table(path, HEARING))


def test_gravity_is_taken_out() -> None:
    found = list(windows([np.full(10, 9.81, np.float32)] * 6, HEARING))
    assert np.abs(found).max() < 1e-5
    assert found[0].shape == (50,)


@pytest.mark.parametrize(
    ("words", "port"),
    [
        ("serial:///dev/ttyUSB0?baud=9600&columns=3", Port("/dev/ttyUSB0", 9600, 3)),
        ("serial:/dev/ttyACM1", Port("/dev/ttyACM1")),
        ("serial:COM3", Port("COM3")),
    ],
)
def test_serial_ports(words: str, port: Port) -> None:
    assert parse_port(words) == port


@pytest.mark.parametrize(
    "words", ["serial:", "serial:///dev/x?baud=fast", "serial:///dev/x?columns=0", "serial:///x?a=1"]
)
def test_no_serial_ports(words: str) -> None:
    with pytest.raises(UsageError, match=r"is no serial sensor; as in serial:///dev/ttyUSB0"):
        parse_port(words)


@pytest.fixture
def sensor() -> Iterator[tuple[str, int]]:
    """A real pseudo-terminal: its name, and the descriptor that a sensor would write to."""
    pytest.importorskip("serial")
    if not hasattr(os, "openpty"):
        pytest.skip("needs a pseudo-terminal")
    ours, theirs = os.openpty()
    yield os.ttyname(theirs), ours
    os.close(theirs)
    os.close(ours)


def test_a_sensor_on_a_serial_port(sensor: tuple[str, int]) -> None:
    name, line = sensor
    source = open_sound(f"serial://{name}?columns=3", HEARING, QUICK)
    ended = threading.Event()

    def measure() -> None:
        for i in itertools.count():
            if ended.wait(0.001):
                return
            os.write(line, f"{3 * (i % 7)},{4 * (i % 7)},0\r\n".encode())

    writer = threading.Thread(target=measure)
    writer.start()
    try:
        end_s = time.monotonic() + LONGEST_S
        frame = None
        while frame is None or frame.sequence < 6:
            assert time.monotonic() < end_s, source.health()
            frame = source.read(0.05) or frame
        assert source.health().problem is None
    finally:
        ended.set()
        writer.join()
        source.close()
    assert set(np.round(np.unique(np.diff(frame.values)), 3).tolist()) <= {5.0, -30.0}
    assert abs(float(frame.values.mean())) < 1e-3


def test_a_sensor_that_is_not_there() -> None:
    pytest.importorskip("serial")
    source = open_sound("serial:///dev/edgert-no-such-port", HEARING, QUICK)
    end_s = time.monotonic() + LONGEST_S
    while source.health().problem is None:
        assert time.monotonic() < end_s
        source.read(0.01)
    source.close()
    assert "could not open port" in (source.health().problem or "")
    assert "is the sensor plugged in" in (source.health().problem or "")


STEP = {"op": "log_mel", "window": 512, "step": 512, "channels": 16, "frames": 2}


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear autoencoder of rank 4, fitted on the synthetic machine before it rattles."""
    steps = ({**STEP}, {"op": "flatten"})
    front_end = build_preprocess(steps)
    normal = np.concatenate([front_end(synthetic_sound(i * 800, 1024, 16000))[0] for i in range(300)]).astype(float)
    mean = normal.mean(axis=0)
    directions = np.linalg.svd(normal - mean)[2][:4].astype(np.float32)
    nodes = [
        make.make_node("Sub", ["x", "mean"], ["centred"]),
        make.make_node("MatMul", ["centred", "encode"], ["code"]),
        make.make_node("MatMul", ["code", "decode"], ["spread"]),
        make.make_node("Add", ["spread", "mean"], ["y"]),
    ]
    values = {"mean": mean.astype(np.float32)[None], "encode": directions.T.copy(), "decode": directions}
    ports = [make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 32]) for name in ("x", "y")]
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = make.make_graph(nodes, "ad", ports[:1], ports[1:], weights)
    data = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8).SerializeToString()
    x, y = (TensorSpec(name, (1, 32), DType.FLOAT) for name in ("x", "y"))
    variant = Variant("onnx-fp32", "onnx", "fp32", "variants/onnx-fp32/model.onnx", (x,), (y,), (), len(data))
    source = Source("ad.onnx", "onnx", "0" * 64)
    manifest = Manifest(SCHEMA, "ad", "0.1.0", source, (x,), (y,), (variant,), "onnx-fp32", preprocess=steps)
    return write_bundle(tmp_path_factory.mktemp("ad") / "ad.edge", manifest, {variant.path: data})


def run(*flags: str) -> list[dict[str, object]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(APP), "--headless", "--energy", "none", "--threads", "1", *flags]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_machine_that_begins_to_rattle_is_heard(autoencoder: Path) -> None:
    """Windows of a real autoencoder, in the order of time, from 6 s before the rattle to 3 s after it."""
    detector = AlarmDetector(0.05, smooth_s=0.2, pause_s=1.0)
    model = AppModel(autoencoder)
    changes: list[tuple[str, float]] = []
    for i in range(int(13 / 0.05)):
        window = synthetic_sound(16000 * 14 + i * 800 - 224, 1024, 16000)  # ends with hop i + 1
        timed = model.run(window)
        score = anomaly_score(frame_of(timed.features), timed.result)
        verdict = detector.update((i + 1) * 0.05, score, 15.0)
        if verdict.has_begun or verdict.has_ended:
            changes.append(("alarm" if verdict.has_begun else "normal", (i + 1) * 0.05))
    model.close()
    assert [label for label, _ in changes] == ["alarm", "normal"]
    assert [at_s for _, at_s in changes] == pytest.approx([6.1, 11.2], abs=0.2)


def test_the_app_learns_from_a_file_of_another_rate(autoencoder: Path, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "machine.wav", resample(synthetic_sound(0, 32000, 16000), 16000, 22050), 22050)
    (summary,) = run("--bundle", str(autoencoder), "--input", str(path), "--hop", "50", "--seconds", "1.5")
    assert int(str(summary["frames"])) > 2
    assert (summary["events"], summary["problem"]) == (0, None)


def test_the_app_watches_a_table(autoencoder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    values = np.random.default_rng(0).normal(0, 0.1, (4000, 3))
    path.write_text("x,y,z\n" + "\n".join(",".join(f"{v:.4f}" for v in row) for row in values))
    (summary,) = run("--bundle", str(autoencoder), "--input", str(path), "--seconds", "1")
    assert int(str(summary["frames"])) > 2
    assert summary["problem"] is None
