"""Prints what int8 keeps without data, beside calibrated ranges and random inputs: the table in docs/quantize.md.

    python tests/bench/data_free.py [--seeds N] [--algorithm NAME ...] [--precision NAME]

ResNet20 as a file without and with BatchNormalization (built from its checkpoint; needs torch) and ProxylessNAS w0.25.
Calibrated: 100 images, drawn anew for each seed. Needs the zoo (EDGERT_ZOO). Never part of CI.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgert.bundle import Step
from edgert.dtypes import DType
from edgert.recipe import DEFAULT_ALGORITHMS, Algorithm, Recipe
from edgert.recipe_file import load_recipe
from edgert_converters.data import Dataset, load_dataset
from edgert_converters.engine import load_runner
from edgert_converters.importers import ImportedModel, import_model
from edgert_converters.quantize.chain import chain_settings, plan_draft, prepare
from edgert_converters.quantize.data_free import data_free_calibration
from edgert_converters.quantize.draft import Calibration, Settings
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.precisions import PRECISIONS
from edgert_converters.quantize.scheme import Scheme
from edgert_converters.variants import RANDOM_SAMPLES, random_samples

ROOT = Path(__file__).resolve().parents[2]
ZOO = Path(os.environ.get("EDGERT_ZOO", ROOT.parent / "shared" / "zoo"))
CALIBRATION_IMAGES = 100
HEADER = "| model | ranges from | top-1 % (float) | agree | SQNR dB | measured on |\n|---|---|---|---|---|---|"

Inputs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A model with its samples: those that may calibrate and those that judge, with labels."""

    title: str
    imported: ImportedModel
    steps: tuple[Step, ...]
    calibration: Sequence[Inputs]
    judging: Sequence[Inputs]
    labels: np.ndarray


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--algorithm", nargs="+", type=Algorithm, default=DEFAULT_ALGORITHMS, help="instead of the default steps"
    )
    parser.add_argument("--precision", choices=("int8", "int8x4"), default="int8")
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    settings = chain_settings(Recipe(Path("net.onnx"), algorithms=tuple(arguments.algorithm)))
    scheme = PRECISIONS[arguments.precision].cell.scheme
    if not (ZOO / "MANIFEST.md").is_file():
        print(f"real models and data not found in {ZOO}; set EDGERT_ZOO", file=sys.stderr)
        return 0
    print(HEADER)
    for case in (_proxyless(), _resnet20("ResNet20", ZOO / "models" / "resnet20_cifar10.onnx"), _with_statistics()):
        if case is not None:
            _report(case, seeds, settings, scheme)
    return 0


def _report(case: Case, seeds: range, settings: Settings, scheme: Scheme) -> None:
    rows = {
        "100 images": [_calibrated(case, seed) for seed in seeds],
        "nothing (data-free)": [
            data_free_calibration(case.imported.model, case.imported.inputs, case.steps, None, seed, _silent)
            for seed in seeds
        ],
        "random normal inputs": [_fixed(random_samples(case.imported.inputs, RANDOM_SAMPLES, seed)) for seed in seeds],
    }
    for name, calibrations in rows.items():
        figures = np.array([_measure(case, calibration, settings, scheme) for calibration in calibrations])
        top1, agree, sqnr, plain = figures.mean(axis=0)
        print(f"| {case.title} | {name} | {top1:.1f} ({plain:.1f}) | {agree:.3f} | {sqnr:.1f} | this x86 |", flush=True)


def _silent(stage: str, done: int, total: int) -> None:
    """Progress nobody reads."""


def _fixed(samples: Sequence[Inputs]) -> Calibration:
    return Calibration(lambda: samples, len(samples), _silent)


def _calibrated(case: Case, seed: int) -> Calibration:
    chosen = np.random.default_rng(seed).permutation(len(case.calibration))[:CALIBRATION_IMAGES]
    return _fixed([case.calibration[index] for index in chosen])


def _measure(
    case: Case, calibration: Calibration, settings: Settings, scheme: Scheme
) -> tuple[float, float, float, float]:
    draft = plan_draft(prepare(case.imported.model, calibration, settings), scheme, calibration, settings)
    expected = _scores(case, case.imported.model)
    got = _scores(case, apply_plan(draft.model, draft.final, DType.UINT8))
    centred = [scores - scores.mean(axis=1, keepdims=True) for scores in (expected, got)]
    noise = np.sum((centred[0] - centred[1]) ** 2)
    top1, plain = (100 * float(np.mean(scores.argmax(axis=1) == case.labels)) for scores in (got, expected))
    agree = float(np.mean(got.argmax(axis=1) == expected.argmax(axis=1)))
    return top1, agree, float(10 * np.log10(np.sum(centred[0] ** 2) / noise)), plain


def _scores(case: Case, model: ir.Model) -> np.ndarray:
    run, name = load_runner(model), case.imported.outputs[0].name
    return np.stack([run(sample)[name].ravel() for sample in case.judging]).astype(np.float64)


def _proxyless() -> Case:
    imported = import_model(ZOO / "models" / "proxyless_w025_r112_imagenet.onnx", {})
    steps = _steps("proxyless_w025")
    calib = load_dataset(str(ZOO / "data" / "imagenet_train_125_224px_calib.parquet"), imported.inputs, steps, ())
    judge = load_dataset(str(ZOO / "data" / "imagenet_val_300_227px.parquet"), imported.inputs, steps, ())
    inputs, labels = _samples(judge, 0, len(judge))
    return Case("ProxylessNAS w0.25", imported, steps, _samples(calib, 0, len(calib))[0], inputs, labels)


def _resnet20(title: str, path: Path) -> Case:
    """The first 100 images (of 500) calibrate at most: seeds then differ in nothing but data-free and random draws."""
    imported, steps = import_model(path, {}), _steps("resnet20")
    data = load_dataset(str(ZOO / "data" / "cifar10_test_jpegdegraded_500.npz"), imported.inputs, steps, ())
    inputs, labels = _samples(data, CALIBRATION_IMAGES, len(data))
    return Case(title, imported, steps, _samples(data, 0, CALIBRATION_IMAGES)[0], inputs, labels)


def _with_statistics() -> Case | None:
    try:
        from tests.batch_norm_example import export_resnet20
    except ImportError:
        print("ResNet20 with BatchNormalization left out: it needs torch", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet20_bn.onnx"
        export_resnet20(ZOO / "models" / "resnet20-12fca82f.th", path)
        return _resnet20("ResNet20 with BatchNormalization", path)


def _steps(recipe: str) -> tuple[Step, ...]:
    file = ROOT / "tests" / "data" / "recipes" / f"{recipe}.toml"
    return load_recipe(file, {"model": Path("net.onnx")}).preprocess


def _samples(data: Dataset, start: int, stop: int) -> tuple[list[Inputs], np.ndarray]:
    samples = [data.sample(index) for index in range(start, stop)]
    return [sample.inputs for sample in samples], np.array([int(np.asarray(sample.label)) for sample in samples])


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    raise SystemExit(main())
