"""The models that are measured and the files of each: edgert's variants, other tools' and published ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edgert
from edgert_converters.exporters.onnx import serialize
from edgert_converters.importers import import_model
from edgert_converters.quantize.existing import strip_quantization
from edgert_converters.tflite.read import parse_tflite
from edgert_converters.tflite.versions import with_versions
from edgert_converters.tflite.wide_windows import ungroup_windows
from edgert_converters.tflite.write import serialize_tflite
from tests.bench.quantization.data import MODELS as BENCH_MODELS
from tests.bench.quantization.data import ROOT, ZOO
from tests.bench.quantization.workspace import Workspace

Floats = NDArray[np.float32]
QUANTIZE_STATIC, OF_CLEANED, PUBLISHED = "quantize_static", "quantize_static of edgert's float", "published int8"
PLAIN_WINDOWS = "tflite-int8, 7 x 7 depthwise as such"
TARGETS = ("raspberry-pi-4", "raspberry-pi-5")
_SUFFIX_OF = {".onnx": "onnx", ".tflite": "tflite"}


@dataclass(frozen=True)
class Entry:
    """`samples`: what chooses ranges; counts do not depend on it. `published`: somebody else's int8 file of it."""

    title: str
    file: str
    samples: Callable[[Path], Floats]
    published: str | None = None
    precisions: tuple[str, ...] = ("int8",)


@dataclass(frozen=True)
class Subject:
    """A file that is run; `format` is that of edgert's variants."""

    label: str
    path: Path
    format: str


def _bench(name: str) -> Callable[[Path], Floats]:
    return lambda work: np.load(Workspace(BENCH_MODELS[name], work).calibration(0))["x"]


def _noise(*shape: int, high: float) -> Callable[[Path], Floats]:
    return lambda _: np.random.default_rng(0).uniform(0.0, high, (16, *shape)).astype(np.float32)


MODELS = {
    "kws": Entry("DS-CNN (kws)", "mlperf_tiny_kws_dscnn_float.tflite", _bench("kws"), "mlperf_tiny_kws_dscnn_int8"),
    "proxyless": Entry("ProxylessNAS", "proxyless_w025_r112_imagenet.onnx", _bench("proxyless")),
    "resnet20": Entry("ResNet20", "resnet20_cifar10.onnx", _bench("resnet20")),
    "resnet8": Entry(
        "ResNet8 (ic)",
        "mlperf_tiny_ic_resnet8_float.tflite",
        _noise(32, 32, 3, high=255.0),
        "mlperf_tiny_ic_resnet8_int8",
    ),
    "vww": Entry(
        "MobileNetV1 (vww)",
        "mlperf_tiny_vww_mobilenetv1_float.tflite",
        _noise(96, 96, 3, high=1.0),
        "mlperf_tiny_vww_mobilenetv1_int8",
    ),
}


def make_files(entry: Entry, folder: Path) -> list[Subject]:
    """Converts the model, quantizes it with the other tool and returns every file to run."""
    calibration = folder / "calibration.npz"
    np.savez(calibration, x=entry.samples(folder))
    source, ours = ZOO / "models" / entry.file, folder / "edgert"
    edgert.convert(source, targets=TARGETS, calib=str(calibration), precisions=entry.precisions, output=ours)
    subjects = [Subject(path.stem, path, _SUFFIX_OF[path.suffix]) for path in _models(ours)]
    subjects += _plain_windows(ours / "tflite-int8.tflite", folder)
    for label, graph in _float_graphs(source, ours, folder):
        quantized = folder / f"{label}.onnx"
        _quantize_static(graph, calibration, quantized)
        subjects.append(Subject(label, quantized, "onnx"))
    if entry.published:
        subjects.append(Subject(PUBLISHED, ZOO / "models" / f"{entry.published}.tflite", "tflite"))
    return subjects


def _models(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in _SUFFIX_OF)


def _plain_windows(path: Path, folder: Path) -> list[Subject]:
    """The same file without groups of eight channels, where it has some."""
    file = parse_tflite(path.read_bytes())
    plain = ungroup_windows(file.subgraphs[0])
    if plain.operators == file.subgraphs[0].operators:
        return []
    output = folder / "plain.tflite"
    output.write_bytes(serialize_tflite(replace(file, subgraphs=(with_versions(plain),))))
    return [Subject(PLAIN_WINDOWS, output, "tflite")]


def _float_graphs(source: Path, ours: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """The ONNX files that quantize_static gets: the source, or what stands in a .tflite file; and edgert's float."""
    if source.suffix == ".onnx":
        yield QUANTIZE_STATIC, source
    else:
        plain = folder / "plain.onnx"
        plain.write_bytes(serialize(strip_quantization(import_model(source, {}).model)))
        yield QUANTIZE_STATIC, plain
    yield OF_CLEANED, ours / "onnx-fp32.onnx"


def _quantize_static(model: Path, calibration: Path, output: Path) -> None:
    script = ROOT / "tests/bench/quantization/peer_onnxruntime.py"
    subprocess.run([sys.executable, script, model, calibration, "signed", output], check=True, capture_output=True)
