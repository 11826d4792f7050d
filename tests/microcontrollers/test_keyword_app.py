"""keyword_spotting with a microcontroller as its device: the page's computer hears, the emulated board infers."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgert
from edgert.app.model import AppModel
from edgert.app.place import Place
from edgert.bundle import Bundle, write_bundle
from edgert.cli import main
from edgert.errors import DeviceError
from edgert.runtime.results import Classification
from tests.app_example import ROOT
from tests.microcontrollers.boards import need_tools
from tests.sound_example import write_wav

TARGET, DEVICE = "qemu-mps2-an386", "qemu:mps2-an386"
WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "silence", "unknown")
CLIPS = (0, 14, 26)


@pytest.fixture(scope="module")
def bundle(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_tools()
    output = tmp_path_factory.mktemp("kws") / "kws.edge"
    steps = ({"op": "mfcc"}, {"op": "reshape", "shape": [49, 10, 1]})
    model = zoo / "models/mlperf_tiny_kws_dscnn_int8.tflite"
    edgert.convert(model, targets=(TARGET,), preprocess=steps, labels=WORDS, output=output)
    return output


def test_words_are_heard_by_an_emulated_board(bundle: Path, zoo: Path, tmp_path: Path) -> None:
    with np.load(zoo / "data/speech_commands_v2_wav_60.npz") as data:
        clips, labels = data["wav_int16"], data["labels"]
    for place, clip in enumerate(CLIPS):
        write_wav(tmp_path / f"{place}.wav", clips[clip])
    app = [str(ROOT / "apps/keyword_spotting/app.py"), "--bundle", str(bundle), "--device", DEVICE]
    flags = ["--input", str(tmp_path), "--hop", "100", "--smooth", "200", "--threshold", "0.6", "--energy", "none"]
    roots = os.pathsep.join(str(ROOT / folder) for folder in (".", "converters", "targets"))
    done = subprocess.run(
        [sys.executable, *app, *flags, "--headless", "--seconds", "9"],
        env={**os.environ, "PYTHONPATH": roots},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    *events, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert (summary["variant"], summary["engine"]) == (f"c-{TARGET}", "firmware 1")
    assert summary["stages"]["inference"]["count"] == summary["frames"] > 5
    said = {WORDS[labels[clip]] for clip in CLIPS}
    assert {event["label"] for event in events} & said
    assert {event["label"] for event in events} <= set(WORDS[:10])


def test_a_board_that_was_lost_is_reached_again(bundle: Path, zoo: Path) -> None:
    with np.load(zoo / "data/speech_commands_v2_wav_60.npz") as data:
        clip, label = data["wav_int16"][31], data["labels"][31]
    model = AppModel(bundle, place=Place(DEVICE))
    try:
        assert model.is_remote
        assert model.variants == (model.variant,) == (f"c-{TARGET}",)
        before = model.run(clip).result
        children = ["ps", "--ppid", str(os.getpid()), "-o", "pid=,comm="]
        listed = subprocess.run(children, capture_output=True, text=True, check=True).stdout.splitlines()
        (emulator,) = [int(line.split()[0]) for line in listed if "qemu-system-arm" in line]
        os.kill(emulator, signal.SIGKILL)
        with pytest.raises(DeviceError, match="the line is gone"):
            model.run(clip)
        after = model.run(clip).result
    finally:
        model.close()
    assert isinstance(before, Classification) and isinstance(after, Classification)
    assert np.array_equal(before.scores, after.scores)
    assert int(before.top[0]) == int(label)


def test_it_is_deployed_with_a_canary(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = str(ROOT / "apps/keyword_spotting")
    assert main(["deploy", app, "--device", DEVICE, "--bundle", str(bundle), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["devices"]
    assert (found["outcome"], found["health"]["known_answers"]["max_steps"]) == ("deployed", 0)

    with Bundle.open(bundle) as opened:
        files = {name: opened.read(name) for name in opened.manifest.files}
        golden, manifest = opened.golden(), opened.manifest
    golden = {name: array if name.startswith("input/") else array[::-1] for name, array in golden.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **golden)  # type: ignore[arg-type]
    wrong = write_bundle(tmp_path / "wrong.edge", manifest, {**files, "golden.npz": buffer.getvalue()})
    assert main(["deploy", app, "--device", DEVICE, "--bundle", str(wrong), "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["devices"]
    assert found["outcome"] == "failed"
    assert "the model's answers are wrong" in found["reason"]


def test_a_real_board_must_be_named(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = str(ROOT / "apps/keyword_spotting")
    assert main(["deploy", app, "--device", "serial:///dev/ttyNONE", "--bundle", str(bundle)]) == 1
    assert "say which board it is with --target NAME" in capsys.readouterr().out
