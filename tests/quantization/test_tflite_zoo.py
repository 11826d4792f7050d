"""Float models of the zoo: .tflite and .onnx pairs agree; each goes to TFLite and back; no needless transposes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite")

from edgert.errors import UsageError
from edgert_converters.importers import ImportedModel, import_model
from edgert_converters.ops.spec import Array
from tests.conformance.tflite_chain import (
    count_operators,
    export,
    largest_difference,
    run_back,
    run_litert,
    run_onnx,
)

TOLERANCE: Final = 1e-4
"""Of the largest magnitude of each output."""
AUDIO_HZ, PITCH_HZ, PITCH_SAMPLES = 16000, 22050, 43844

Load = Callable[..., ImportedModel]


@pytest.fixture(scope="module")
def load(zoo: Path) -> Load:
    """Imports a model of the zoo through the child process, once per layout."""
    known: dict[tuple[str, str], ImportedModel] = {}

    def imported(name: str, layout: str = "keep") -> ImportedModel:
        if (name, layout) not in known:
            known[name, layout] = import_model(zoo / "models" / name, {}, layout=layout)
        return known[name, layout]

    return imported


@pytest.fixture(scope="module")
def audio(zoo: Path) -> Array:
    """A spoken word, twice, at the rate of basic-pitch: float32[1, 43844, 1]."""
    with np.load(zoo / "data" / "speech_commands_v2_wav_60.npz") as data:
        clip = np.tile(data["wav_int16"][0].astype(np.float32) / 32768, 2)
    times = np.arange(PITCH_SAMPLES) * (AUDIO_HZ / PITCH_HZ)
    return np.interp(times, np.arange(clip.size), clip).astype(np.float32)[None, :, None]


@pytest.fixture(scope="module")
def photo(zoo: Path) -> Callable[[int, int], Array]:
    """A CIFAR image by nearest neighbours, 0 to 1: float32[1, height, width, 3]."""
    with np.load(zoo / "data" / "cifar10_test_jpegdegraded_500.npz") as data:
        image = data["images"][0].astype(np.float32) / 255

    def sized(height: int, width: int) -> Array:
        rows, columns = np.arange(height) * 32 // height, np.arange(width) * 32 // width
        return np.ascontiguousarray(image[rows][:, columns][None])

    return sized


def _operators(imported: ImportedModel) -> Counter[str]:
    return Counter(node.op_type for node in imported.model.graph)


def _first(image: Array) -> Array:
    return np.ascontiguousarray(image.transpose(0, 3, 1, 2))


def test_ultraface_pair_agrees(zoo: Path, load: Load, photo: Callable[[int, int], Array]) -> None:
    name = "ultraface_RFB_320_nopost"
    image = np.asarray(photo(240, 320), np.float32) * 2 - 1
    ours = run_onnx(load(f"{name}.tflite").model, {"input_1": image})
    theirs = run_onnx(load(f"{name}.onnx").model, {"input": _first(image)})
    assert largest_difference({"Identity": theirs["boxes"], "Identity_1": theirs["scores"]}, ours) < TOLERANCE
    original = run_litert((zoo / "models" / f"{name}.tflite").read_bytes(), {"input_1": image})
    assert largest_difference(original, ours) < TOLERANCE


def test_basic_pitch_pair_agrees(zoo: Path, load: Load, audio: Array) -> None:
    ours = run_onnx(load("basic_pitch_nmp.tflite").model, {"input_2": audio})
    onnx = load("basic_pitch_nmp.onnx")
    theirs = run_onnx(onnx.model, {onnx.inputs[0].name: audio})
    pairs = {"note": "1", "onset": "2", "contour": "0"}
    expected = {name: theirs[f"StatefulPartitionedCall:{number}"] for name, number in pairs.items()}
    assert largest_difference(expected, ours) < TOLERANCE
    original = run_litert((zoo / "models" / "basic_pitch_nmp.tflite").read_bytes(), {"input_2": audio})
    assert largest_difference(original, ours) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "transposes", "shape_operators"),
    [
        ("mlperf_tiny_kws_dscnn_float", 0, 0),  # one channel: a Reshape does
        ("mlperf_tiny_vww_mobilenetv1_float", 1, 0),  # the input
        ("mlperf_tiny_ic_resnet8_float", 1, 0),  # the input
        ("ultraface_RFB_320_nopost", 9, 0),  # the input; 8 heads put anchors of all channels in one row per place
        ("basic_pitch_nmp", 1, 0),  # of 44 in the file
    ],
)
def test_transposes_left_by_the_import(load: Load, name: str, transposes: int, shape_operators: int) -> None:
    found = _operators(load(f"{name}.tflite"))
    assert found["Transpose"] <= transposes
    assert sum(found[op] for op in ("Shape", "Gather", "Unsqueeze", "Cast")) == shape_operators


@pytest.mark.parametrize(
    "name", ["mlperf_tiny_kws_dscnn_float", "mlperf_tiny_vww_mobilenetv1_float", "mlperf_tiny_ic_resnet8_float"]
)
def test_channels_first_images_need_no_transpose(load: Load, name: str) -> None:
    kept, first = load(f"{name}.tflite"), load(f"{name}.tflite", "nchw")
    assert (kept.inputs[0].layout, first.inputs[0].layout) == ("NHWC", "NCHW")
    n, height, width, channels = kept.inputs[0].shape
    assert first.inputs[0].shape == (n, channels, height, width)
    assert _operators(first)["Transpose"] == 0
    image = np.random.default_rng(0).normal(size=(1, height or 1, width or 1, channels or 1)).astype(np.float32)
    expected = run_onnx(kept.model, {kept.inputs[0].name: image})
    assert largest_difference(expected, run_onnx(first.model, {first.inputs[0].name: _first(image)})) < TOLERANCE


def test_an_onnx_model_cannot_be_channels_last(load: Load) -> None:
    with pytest.raises(UsageError, match=r"--layout nhwc: .*resnet20_cifar10\.onnx is channels-first"):
        load("resnet20_cifar10.onnx", "nhwc")


@pytest.mark.parametrize(
    ("name", "transposes"),
    [
        ("resnet20_cifar10.onnx", 0),
        ("proxyless_w025_r112_imagenet.onnx", 0),
        ("efficientnet_lite0_f16w.onnx", 0),
        ("nanodet_m_320.onnx", 16),  # one per channel shuffle
        ("ultraface_RFB_320_nopost.onnx", 0),
        ("basic_pitch_nmp.onnx", 0),
        ("basic_pitch_nmp.tflite", 0),
        ("ultraface_RFB_320_nopost.tflite", 0),
        ("mlperf_tiny_vww_mobilenetv1_float.tflite", 0),
        ("mlperf_tiny_ic_resnet8_float.tflite", 0),
        ("mlperf_tiny_ad_fcae_float.tflite", 0),
    ],
)
def test_float_models_go_there_and_back(
    load: Load, audio: Array, photo: Callable[[int, int], Array], name: str, transposes: int
) -> None:
    imported = load(name)
    (spec,) = imported.inputs
    feed = {spec.name: _sample(spec.shape, audio, photo)}
    expected, file = run_onnx(imported.model, feed), export(imported.model)
    assert count_operators(file.data)["TRANSPOSE"] <= transposes
    assert largest_difference(expected, run_litert(file, feed)) < TOLERANCE
    assert largest_difference(expected, run_back(file, feed)) < TOLERANCE


def _sample(shape: tuple[int | None, ...], audio: Array, photo: Callable[[int, int], Array]) -> Array:
    if len(shape) == 3:
        return audio
    if len(shape) != 4:
        return np.random.default_rng(0).normal(size=[size or 1 for size in shape]).astype(np.float32)
    first = shape[1] == 3
    height, width = (shape[2], shape[3]) if first else (shape[1], shape[2])
    image = photo(height or 1, width or 1)
    return _first(image) if first else image
