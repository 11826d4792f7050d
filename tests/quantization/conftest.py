"""Real models of the zoo, each converted once by the command line and shared by all tests of this tier."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.quantization.command_line import RECIPES, edgert

AUDIO_HZ, PITCH_HZ, PITCH_SAMPLES = 16000, 22050, 43844
LITE0_IMAGES = 100


@dataclass(frozen=True, slots=True)
class Converted:
    """A model file, the bundle that was made of it, and what `--json` said."""

    source: Path
    bundle: Path
    summary: dict[str, Any]

    def variant(self, variant_id: str) -> dict[str, Any]:
        (row,) = (row for row in self.summary["variants"] if row["id"] == variant_id)
        return dict(row)


@dataclass(frozen=True, slots=True)
class ZooModel:
    """A file of the zoo, how it is converted, and the name of its data."""

    file: str
    words: tuple[str, ...] = ()
    evaluation: str = ""
    calibration: str | None = None


_IMAGENET_CALIB, _COCO_CALIB = "imagenet_train_125_224px_calib.parquet", "coco_train2017_32_416px.parquet"
_COCO = "coco_val2017_64_416px.parquet"
_ONNX_ONLY = ("--format", "onnx")  # this tier has minutes; test_tflite_zoo.py runs the TFLite forms of all
ZOO_MODELS = {
    "resnet20": ZooModel("resnet20_cifar10", evaluation="cifar10_test_jpegdegraded_500.npz"),
    "proxyless_w025": ZooModel("proxyless_w025_r112_imagenet", (), "imagenet_val_300_227px.parquet", _IMAGENET_CALIB),
    "efficientnet_lite0": ZooModel(
        "efficientnet_lite0_f16w",
        ("--calib-samples", "48", *_ONNX_ONLY),
        "imagenet_val_300_227px.parquet",
        _IMAGENET_CALIB,
    ),
    "nanodet_m": ZooModel("nanodet_m_320", _ONNX_ONLY, _COCO, _COCO_CALIB),
    "ultraface": ZooModel("ultraface_RFB_320_nopost", ("--metric", "agreement"), _COCO, _COCO_CALIB),
    "basic_pitch": ZooModel("basic_pitch_nmp", _ONNX_ONLY, evaluation="speech_commands_v2_wav_60.npz"),
}


@pytest.fixture(scope="session")
def convert_zoo(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Converted]:
    """Converts a model of the zoo at its first use: float, int8 and float16 in one bundle."""
    pytest.importorskip("pyarrow")
    folder = tmp_path_factory.mktemp("converted")
    done: dict[str, Converted] = {}

    def convert(name: str) -> Converted:
        if name not in done:
            done[name] = _convert(name, zoo, folder)
        return done[name]

    return convert


@pytest.fixture(scope="session")
def resnet20(convert_zoo: Callable[[str], Converted]) -> Converted:
    return convert_zoo("resnet20")


@pytest.fixture(scope="session")
def some_images(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], Path]:
    """Writes images START to STOP of CIFAR, with labels, to a file."""
    folder = tmp_path_factory.mktemp("images")
    counter = itertools.count()

    def write(start: int, stop: int) -> Path:
        with np.load(zoo / "data" / "cifar10_test_jpegdegraded_500.npz") as data:
            path = folder / f"images{next(counter)}.npz"
            np.savez(path, images=data["images"][start:stop], labels=data["labels"][start:stop])
        return path

    return write


def _convert(name: str, zoo: Path, folder: Path) -> Converted:
    model = ZOO_MODELS[name]
    source, bundle = zoo / "models" / f"{model.file}.onnx", folder / f"{name}.edge"
    words: list[object] = ["convert", source, "--json", "--precision", "int8", "--precision", "fp16", "-o", bundle]
    recipe = RECIPES / f"{name}.toml"
    if recipe.is_file():
        words += ["--recipe", recipe]
    words += ["--eval", _evaluation(name, zoo / "data" / model.evaluation, folder), *model.words]
    if model.calibration is not None:
        words += ["--calib", zoo / "data" / model.calibration]
    result = edgert(*words)
    assert bundle.is_file(), result.stderr
    return Converted(source, bundle, result.json)


def _evaluation(name: str, path: Path, folder: Path) -> Path:
    if name == "basic_pitch":
        return _write_audio(path, folder / "audio.npz")
    return _first_rows(path, LITE0_IMAGES, folder) if name == "efficientnet_lite0" else path


def _first_rows(path: Path, count: int, folder: Path) -> Path:
    """The largest model sees fewer images: this tier has minutes."""
    from pyarrow import parquet

    shorter = folder / f"first{count}.parquet"
    parquet.write_table(parquet.read_table(path).slice(0, count), shorter)
    return shorter


def _write_audio(path: Path, target: Path) -> Path:
    """One-second clips, repeated and brought to the model's rate by linear interpolation: float32[60, 43844, 1]."""
    with np.load(path) as data:
        clips = data["wav_int16"].astype(np.float32) / 32768
    times = np.arange(PITCH_SAMPLES) * (AUDIO_HZ / PITCH_HZ)
    repeated = np.tile(clips, (1, 2))
    audio = np.stack([np.interp(times, np.arange(repeated.shape[1]), clip) for clip in repeated])
    np.savez(target, x=audio.astype(np.float32)[..., None])
    return target
