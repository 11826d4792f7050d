"""Does a 10-second race find what a 120-second one finds? Races bundles of the zoo twice and prints both winners.

    python tests/bench/race.py [BUNDLE|MODEL ...] [--seconds 10] [--long 120]

Without arguments: DS-CNN (speech commands), ResNet-20 (CIFAR-10), the network of `edgert demo`, as bundles with float
and int8 in ONNX and TFLite, and MobileNetV1 as the published int8 .tflite. "same" is the same variant, engine, threads
and options; else the long race's own p50 of the short race's winner must lie within 2 % or 5 us of its winner's. Never
part of CI: a time on a shared machine proves nothing there.
"""

from __future__ import annotations

import argparse
import importlib.resources
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import edgert
from edgert.commands.console import format_table
from edgert.commands.tune import tune
from edgert.demo import PREPROCESS
from edgert.profiler.race_table import RaceResult, RaceRow

ROOT = Path(__file__).resolve().parents[2]
ZOO = Path(os.environ.get("EDGERT_ZOO", ROOT.parent / "shared" / "zoo"))
NEAR_SHARE, NEAR_MS = 0.02, 0.005
HEADER = ("model", "race", "winner", "p50", "p99", "in the long race", "verdict", "load average")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--long", type=float, default=120.0)
    arguments = parser.parse_args()
    rows, failed = [], 0
    with tempfile.TemporaryDirectory(prefix="edgert-race-") as folder:
        os.environ["EDGERT_SETTINGS"] = str(Path(folder) / "settings")
        for model in arguments.models or bundles(Path(folder)):
            short = tune(model, seconds=arguments.seconds)
            load = os.getloadavg()[0]
            long = tune(model, seconds=arguments.long)
            gap, verdict = compare(short, long)
            failed += verdict.startswith("DIFFERENT")
            rows += [
                table_row(model, arguments.seconds, short, f"{gap:+.1%}", verdict, load),
                table_row(model, arguments.long, long, "", "", os.getloadavg()[0]),
            ]
            print(f"{model.name}: {verdict}", file=sys.stderr, flush=True)
    print(format_table(HEADER, rows))
    print(f"{len(rows) // 2 - failed} of {len(rows) // 2} within 2 % or 5 us")
    return int(bool(failed))


def compare(short: RaceResult, long: RaceResult) -> tuple[float, str]:
    """How much slower the short race's winner is, as the long race measured it, and the verdict."""
    if short.winner.choice == long.winner.choice:
        return 0.0, "same"
    row = next(row for row in long.rows if row.choice == short.winner.choice)
    gap = (row.ratio or np.inf) - 1
    gap_ms = gap * p50(long.winner)
    return gap, "near" if gap <= NEAR_SHARE or gap_ms <= NEAR_MS else "DIFFERENT"


def table_row(model: Path, seconds: float, result: RaceResult, gap: str, verdict: str, load: float) -> tuple[str, ...]:
    winner = result.winner
    times = f"{p50(winner):.4f} ms", f"{winner.p99_ms:.3f} ms"
    race = f"{seconds:g} s ({result.measured_s:.0f} s used)"
    return (model.name, race, winner.name, *times, gap, verdict, f"{load:.1f}")


def p50(row: RaceRow) -> float:
    if row.p50_ms is None:
        raise ValueError(f"{row.name} was not measured")
    return row.p50_ms


def bundles(folder: Path) -> Iterator[Path]:
    """Converts the networks of this benchmark."""
    both = {"formats": ("onnx", "tflite")}
    with np.load(ZOO / "data/speech_commands_v2_test_mfcc_4890.npz") as data:
        calib = data["split_calib"].astype(bool)
        x = data["mfcc"].astype(np.float32).reshape(-1, 49, 10, 1)
        np.savez(folder / "kws_calib.npz", x=x[calib])
        np.savez(folder / "kws_eval.npz", x=x[~calib][:1000], y=data["labels"][~calib][:1000])
    kws = {"calib": str(folder / "kws_calib.npz"), "eval": str(folder / "kws_eval.npz")}
    yield convert(ZOO / "models/mlperf_tiny_kws_dscnn_float.tflite", folder / "kws.edge", **kws, **both)
    files = importlib.resources.files("edgert.demo")
    digits = {"calib": str(files / "digits_calib.npz"), "eval": str(files / "digits_eval.npz")}
    demo = Path(str(files / "digits.onnx"))
    yield convert(demo, folder / "digits.edge", **digits, preprocess=PREPROCESS, **both)
    cifar = {"recipe": ROOT / "tests/data/recipes/resnet20.toml"}
    data_file = str(ZOO / "data/cifar10_test_jpegdegraded_500.npz")
    yield convert(ZOO / "models/resnet20_cifar10.onnx", folder / "resnet20.edge", eval=data_file, **cifar, **both)
    yield ZOO / "models/mlperf_tiny_vww_mobilenetv1_int8.tflite"


def convert(model: Path, output: Path, **options: object) -> Path:
    start = time.monotonic()
    result = edgert.convert(model, output=output, **options)
    print(f"{output.name}: {result.gate.value}, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return output


if __name__ == "__main__":
    raise SystemExit(main())
