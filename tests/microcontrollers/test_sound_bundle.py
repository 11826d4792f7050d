"""A bundle that hears: converted with an audio front end, run on a .wav file here and on an emulated board."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import edgert
from edgert.bundle import Bundle
from edgert.cli import main
from tests.microcontrollers.boards import need_tools

TARGET = "qemu-mps2-an386"
STEPS = ({"op": "mfcc"}, {"op": "reshape", "shape": [49, 10, 1]})


@pytest.fixture(scope="module")
def clips(zoo: Path) -> dict[str, NDArray[np.int16]]:
    with np.load(zoo / "data/speech_commands_v2_wav_60.npz") as data:
        return {name: data[name] for name in ("wav_int16", "labels")}


@pytest.fixture(scope="module")
def bundle(zoo: Path, clips: dict[str, NDArray[np.int16]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    np.savez(folder / "eval.npz", x=clips["wav_int16"], y=clips["labels"])
    edgert.convert(
        zoo / "models/mlperf_tiny_kws_dscnn_int8.tflite",
        targets=("host", TARGET),
        preprocess=STEPS,
        eval=str(folder / "eval.npz"),
        output=folder / "kws.edge",
    )
    return folder / "kws.edge"


def _write_wav(path: Path, samples: NDArray[np.int16]) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def _run(bundle: Path, sound: Path, capsys: pytest.CaptureFixture[str], *options: str) -> NDArray[np.float64]:
    capsys.readouterr()
    assert main(["run", str(bundle), "--input", str(sound), "--json", *options]) == 0
    (output,) = json.loads(capsys.readouterr().out)["outputs"]
    return np.array(output["values"])


def test_the_folder_holds_the_front_end(bundle: Path, clips: dict[str, NDArray[np.int16]]) -> None:
    with Bundle.open(bundle) as opened:
        names = {name.rpartition("/")[2] for name in opened.manifest.files if f"c-{TARGET}/" in name}
        cmake = opened.read(f"variants/c-{TARGET}/CMakeLists.txt").decode()
        report = json.loads(opened.read("report.json"))
    assert {"frontend.c", "frontend.h", "edgert_frontend_mfcc.h", "edgert_frontend_spectrum.h"} <= names
    assert "STATIC model.c frontend.c)" in cmake
    made = next(variant for variant in report["variants"] if variant["id"] == f"c-{TARGET}")
    assert "frontend.c is the step mfcc, with the same bits" in made["notes"]
    assert made["value"] * len(clips["labels"]) >= 51 - 1e-6


def test_a_wav_file_is_heard_here_and_on_a_board(
    bundle: Path,
    clips: dict[str, NDArray[np.int16]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    need_tools()
    sound = _write_wav(tmp_path / "x.wav", clips["wav_int16"][31])
    here = _run(bundle, sound, capsys)
    there = _run(bundle, sound, capsys, "--device", "qemu:mps2-an386")
    assert here.argmax() == there.argmax() == clips["labels"][31]
    with edgert.load(bundle) as session:
        values, _ = session.preprocess(clips["wav_int16"][31])
        (expected,) = session.run(values).values()
    assert np.array_equal(here, expected)


def test_profile_measures_the_front_end(bundle: Path, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    assert main(["profile", str(bundle), "--duration", "0.1s", "--no-layers", "-o", str(record)]) == 0
    stages = json.loads(record.read_text())["stages"]
    assert stages["preprocess_ms"] > 0
    assert "pre-processing measured on 16000 samples of noise" in json.dumps(stages)
