"""Checks "will int8 pay here?" against the truth: predicted and measured ratio for each model and engine of the zoo.

    python tests/bench/int8_payoff.py [--bundles FOLDER] [MODEL ...]

Predicted: what `edgert inspect` answers before any conversion, with an empty cache; *layers* is what the sum of single
layers alone would say, *facts* the answer without any measurement. Measured: both variants of a real conversion (32
random calibration samples), timed in turns through `edgert.load(...).run`, one thread, the least of each divided.
Right: on the same side of 1, or both within 5 % of it. `--bundles` keeps the conversions there and uses those it
finds. Needs the zoo (EDGERT_ZOO). Never part of CI.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

import edgert
from edgert.commands.console import format_table
from edgert.payoff import Int8Answer, Int8Basis, Int8Payoff
from edgert.runtime.cpu import dot_product
from edgert.target import get_target
from edgert_converters.importers import import_model
from edgert_converters.layers import build_layers
from edgert_converters.payoff.answer import answer_payoff
from edgert_converters.payoff.cache import load_cache, save_cache

ROOT = Path(__file__).resolve().parents[2]
ZOO = Path(os.environ.get("EDGERT_ZOO", ROOT.parent / "shared" / "zoo"))
MODELS = (
    "resnet20_cifar10.onnx",
    "proxyless_w025_r112_imagenet.onnx",
    "efficientnet_lite0_f16w.onnx",
    "nanodet_m_320.onnx",
    "ultraface_RFB_320_nopost.onnx",
    "basic_pitch_nmp.onnx",
    "mlperf_tiny_kws_dscnn_float.tflite",
    "mlperf_tiny_ic_resnet8_float.tflite",
    "mlperf_tiny_vww_mobilenetv1_float.tflite",
    "mlperf_tiny_ad_fcae_float.tflite",
    "ultraface_RFB_320_nopost.tflite",
)
ROUNDS, BLOCK_S, SAME = 60, 0.02, 0.05
HEADER = ("model", "engine", "predicted", "interval", "answer", "layers", "facts", "measured", "right")
VARIANTS = {"onnxruntime": "onnx", "litert": "tflite", "openvino": "onnx"}
Answers = Mapping[str, Int8Payoff]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundles", type=Path, metavar="FOLDER")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="file names (default: all)")
    arguments = parser.parse_args()
    if not (ZOO / "MANIFEST.md").is_file():
        print(f"real models and data not found in {ZOO}; set EDGERT_ZOO", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        bundles = arguments.bundles or Path(folder)
        bundles.mkdir(parents=True, exist_ok=True)
        rows = []
        for name in arguments.models or MODELS:
            # an empty cache for each, so that no model is helped by another
            os.environ["EDGERT_CACHE"] = str(Path(folder) / f"cache-{name}")
            rows += check(ZOO / "models" / name, bundles)
    print(format_table(HEADER, rows))
    right = sum(row[-1] == "yes" for row in rows)
    print(f"\nright: {right} of {len(rows)} ({right / len(rows):.0%}); dot product {dot_product().value}")
    return 0


def check(model: Path, bundles: Path) -> list[tuple[str, ...]]:
    """Rows of one model, an engine each."""
    facts = ask(model, measure=False)
    start = time.perf_counter()
    predicted = ask(model, measure=True)
    seconds = time.perf_counter() - start
    forget_networks()
    layers = ask(model, measure=False)
    bundle = convert(model, bundles)
    rows = []
    for engine, answer in predicted.items():
        measured = time_pair(bundle, engine, VARIANTS[engine])
        predicted_ratio = answer.ratio or float("nan")
        rows.append(
            (
                model.name,
                engine,
                f"{predicted_ratio:.2f}",
                "-" if answer.interval is None else "{:.2f} to {:.2f}".format(*answer.interval),
                answer.answer.value,
                f"{layers[engine].ratio:.2f}" if layers[engine].basis is Int8Basis.LAYERS else "-",
                "-" if facts[engine].answer is Int8Answer.UNKNOWN else facts[engine].answer.value,
                f"{measured:.2f}",
                "yes" if is_right(predicted_ratio, measured) else "no",
            )
        )
    print(f"{model.name}: answered in {seconds:.1f} s", file=sys.stderr, flush=True)
    return rows


def ask(model: Path, *, measure: bool) -> Answers:
    imported = import_model(model, {})
    answers = answer_payoff(imported, build_layers(imported.model), [get_target("host")], measure=measure)
    return {row.engine: row for row in answers.rows}


def forget_networks() -> None:
    """Leaves single layers alone in the cache."""
    cache, _ = load_cache()
    (Path(os.environ["EDGERT_CACHE"]) / "int8_payoff.json").unlink()
    places = {key: dataclasses.replace(place, networks={}) for key, place in cache.places.items()}
    save_cache(dataclasses.replace(cache, places=places))


def convert(model: Path, bundles: Path) -> Path:
    bundle = bundles / f"{model.name.replace('.', '_')}.edge"
    if not bundle.is_file():
        edgert.convert(model, output=bundle, formats=("onnx", "tflite"))
    return bundle


def time_pair(bundle: Path, engine: str, form: str) -> float:
    """Time int8 / float, least runs of blocks in turns."""
    ids = (f"{form}-fp32", f"{form}-int8")
    sessions = [edgert.load(bundle, variant=id_, engine=engine, threads=1, tuned=False) for id_ in ids]
    rng = np.random.default_rng(0)
    feed = {
        spec.name: rng.standard_normal([size or 1 for size in spec.shape]).astype(spec.dtype.numpy)
        for spec in sessions[0].inputs
    }
    runs = [lambda session=session: session.run(feed) for session in sessions]
    counts = [max(1, int(BLOCK_S / min(timed(run) for _ in range(3)))) for run in runs]
    least = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for index, run in enumerate(runs):
            least[index] = min(least[index], *(timed(run) for _ in range(counts[index])))
    return least[1] / least[0]


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def is_right(predicted: float, measured: float) -> bool:
    if abs(predicted - 1.0) <= SAME and abs(measured - 1.0) <= SAME:
        return True
    return not np.isnan(predicted) and (predicted < 1.0) == (measured < 1.0)


if __name__ == "__main__":
    sys.exit(main())
