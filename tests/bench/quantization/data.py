"""Models, calibration draws and evaluation tensors: the same arrays for every tool.

An evaluation row is `view * images + image`: agreement needs no labels, so one image gives several rows (centre,
mirror, corner crops). Statistics treat an image and its views as one cluster (compare.py).
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Step
from edgert.runtime.preprocess import build_preprocess

ROOT = Path(__file__).resolve().parents[3]
ZOO = Path(os.environ.get("EDGERT_ZOO", ROOT.parent / "shared" / "zoo"))
CALIBRATION_SAMPLES = 100

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """Where a crop lies (0: first row or column, 1: last) and whether it is mirrored."""

    down: float = 0.5
    right: float = 0.5
    mirrored: bool = False


CENTRE, MIRROR = View(), View(mirrored=True)
CORNERS = tuple(View(down, right) for down in (0.0, 1.0) for right in (0.0, 1.0))


@dataclass(frozen=True)
class Images:
    """Decoded images and how they become tensors: `prepare` (resize or pad), a crop of `size` pixels, `normalise`."""

    size: int
    normalise: tuple[Step, ...]
    prepare: Callable[[Pixels], Pixels]

    def tensor(self, image: Pixels, view: View) -> Floats:
        """Returns float32[3, size, size]."""
        whole = self.prepare(image)
        top, left = (round((whole.shape[i] - self.size) * at) for i, at in enumerate((view.down, view.right)))
        crop = whole[top : top + self.size, left : left + self.size]
        values, _ = build_preprocess(self.normalise)(crop[:, ::-1] if view.mirrored else crop)
        return np.asarray(values[0], np.float32)


@dataclass(frozen=True)
class BenchModel:
    """One model of the zoo: `pool` are the samples that may calibrate, `evaluated` those that may judge.

    `shared_pool`: both come from one set, and what calibrates a draw does not judge it. `probabilities`: the output is
    a softmax already. `clean`: tools get the graph as edgert imports it, because they cannot read the file (TFLite) or
    stumble over it (weights behind Cast).
    """

    name: str
    file: str
    pool: Callable[[], tuple[Floats, NDArray[np.int64]]]
    evaluated: Callable[[], tuple[Floats, NDArray[np.int64]]]
    views: int = 1
    shared_pool: bool = False
    probabilities: bool = False
    clean: bool = False

    @property
    def source(self) -> Path:
        return ZOO / "models" / self.file


def draw_indices(model: BenchModel, size: int, draw: int) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Returns the samples of the pool that calibrate draw `draw`, and the images that judge it (None: all).

    Args:
        model: whose draw.
        size: samples in the pool.
        draw: its number, which seeds it.
    """
    chosen = np.random.default_rng(draw).permutation(size)[:CALIBRATION_SAMPLES]
    judged = np.setdiff1d(np.arange(size), chosen) if model.shared_pool else None
    return np.sort(chosen), judged


def rows_of(images: NDArray[np.int64], views: int, count: int) -> NDArray[np.int64]:
    """Returns the evaluation rows of some images, view by view; `count` images there are in all."""
    return np.concatenate([images + view * count for view in range(views)])


def _speech(calibration: bool) -> tuple[Floats, NDArray[np.int64]]:
    with np.load(ZOO / "data" / "speech_commands_v2_test_mfcc_4890.npz") as data:
        chosen = data["split_calib"].astype(bool) == calibration
        x = data["mfcc"].astype(np.float32).reshape(-1, 49, 10, 1)[chosen]
        return x, data["labels"].astype(np.int64)[chosen]


def _same(image: Pixels) -> Pixels:
    return image


def _padded(image: Pixels) -> Pixels:
    """Four black pixels around, as in the training of CIFAR networks; a crop at (0.25, 0.75) is shifted by two."""
    return np.pad(image, ((4, 4), (4, 4), (0, 0)))


def _resized(image: Pixels) -> Pixels:
    resized, _ = build_preprocess(({"op": "resize_shorter", "size": 128, "antialias": True},))(image)
    return np.asarray(resized[0])


def _normalise(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[Step, ...]:
    return ({"op": "normalize", "mean": list(mean), "std": list(std)}, {"op": "layout", "to": "NCHW"})


def _cifar(views: tuple[View, ...]) -> tuple[Floats, NDArray[np.int64]]:
    with np.load(ZOO / "data" / "cifar10_test_jpegdegraded_500.npz") as data:
        images, labels = data["images"], data["labels"].astype(np.int64)
    kind = Images(32, _normalise((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)), _padded)
    return _all_views(kind, list(images), views), labels


def _imagenet(kind: Images, file: str, views: tuple[View, ...]) -> tuple[Floats, NDArray[np.int64]]:
    from PIL import Image
    from pyarrow import parquet

    table = parquet.read_table(ZOO / "data" / file)
    images = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in table["jpeg"].to_pylist()]
    return _all_views(kind, images, views), np.asarray(table["label"].to_pylist(), np.int64)


def _all_views(kind: Images, images: list[Pixels], views: tuple[View, ...]) -> Floats:
    return np.stack([kind.tensor(image, view) for view in views for image in images])


_TRAIN, _VAL = "imagenet_train_125_224px_calib.parquet", "imagenet_val_300_227px.parquet"
_PROXYLESS = Images(112, _normalise((127.5,), (127.5,)), _resized)
_LITE0 = Images(224, _normalise((127.0,), (128.0,)), _same)
_SHIFTS = tuple(View(down, right) for down in (0.25, 0.75) for right in (0.25, 0.75))
_CIFAR_VIEWS = (CENTRE, MIRROR, *_SHIFTS)
_PROXYLESS_VIEWS = (CENTRE, MIRROR, *CORNERS)
_LITE0_VIEWS = (CENTRE, MIRROR, View(0.0, 0.0))

MODELS = {
    model.name: model
    for model in (
        BenchModel(
            "kws",
            "mlperf_tiny_kws_dscnn_float.tflite",
            lambda: _speech(calibration=True),
            lambda: _speech(calibration=False),
            probabilities=True,
            clean=True,
        ),
        BenchModel(
            "resnet20",
            "resnet20_cifar10.onnx",
            lambda: _cifar((CENTRE,)),
            lambda: _cifar(_CIFAR_VIEWS),
            views=len(_CIFAR_VIEWS),
            shared_pool=True,
        ),
        BenchModel(
            "proxyless",
            "proxyless_w025_r112_imagenet.onnx",
            lambda: _imagenet(_PROXYLESS, _TRAIN, (CENTRE,)),
            lambda: _imagenet(_PROXYLESS, _VAL, _PROXYLESS_VIEWS),
            views=len(_PROXYLESS_VIEWS),
        ),
        BenchModel(
            "lite0",
            "efficientnet_lite0_f16w.onnx",
            lambda: _imagenet(_LITE0, _TRAIN, (CENTRE,)),
            lambda: _imagenet(_LITE0, _VAL, _LITE0_VIEWS),
            views=len(_LITE0_VIEWS),
            clean=True,
        ),
    )
}
