"""Converts the zoo's models through the public API and prints the table of README.md.

    python tests/bench/zoo_table.py [MODEL ...]

Accuracy, drop and agreement come from the conversion's own summary; the time ratio from float and int8 in turns in one
process, one thread: the least of the block medians of each, divided. Needs the zoo (EDGERT_ZOO). Never part of CI.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import edgert
from edgert.bundle import Bundle
from edgert.codec import JsonValue
from edgert.plugins import load_converter
from edgert.recipe_file import load_recipe
from edgert.runtime import Session
from edgert.runtime.cpu import dot_product
from edgert.units import format_bytes

ROOT = Path(__file__).resolve().parents[2]
ZOO = Path(os.environ.get("EDGERT_ZOO", ROOT.parent / "shared" / "zoo"))
ROUNDS = 12
BLOCK_S = 0.15
LEAST_RUNS = 5
HEADER = (
    "model",
    "measure",
    "float",
    "int8",
    "drop, points (95 % interval)",
    "agree with float",
    "gate",
    "size, float to int8",
    "time, int8 / float",
    "measured on",
)


@dataclass(frozen=True)
class Entry:
    """A model of the zoo with the data that choose ranges and the data that decide."""

    title: str
    recipe: str
    model: str
    evaluation: str
    calibration: str | None
    metric: str | None = None


IMAGENET = ("imagenet_val_300_227px.parquet", "imagenet_train_125_224px_calib.parquet")
COCO = ("coco_val2017_64_416px.parquet", "coco_train2017_32_416px.parquet")
ENTRIES = (
    Entry("ResNet20 CIFAR-10", "resnet20", "resnet20_cifar10", "cifar10_test_jpegdegraded_500.npz", None),
    Entry("ProxylessNAS w0.25 112 px", "proxyless_w025", "proxyless_w025_r112_imagenet", *IMAGENET),
    Entry("EfficientNet-Lite0 224 px", "efficientnet_lite0", "efficientnet_lite0_f16w", *IMAGENET),
    Entry("NanoDet-m 320 px", "nanodet_m", "nanodet_m_320", *COCO),
    Entry("UltraFace RFB-320", "ultraface", "ultraface_RFB_320_nopost", *COCO, metric="agreement"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(e.recipe for e in ENTRIES)}")
    wanted = parser.parse_args().models
    if not (ZOO / "MANIFEST.md").is_file():
        print(f"real models and data not found in {ZOO}; set EDGERT_ZOO", file=sys.stderr)
        return 0
    facts: JsonValue = {}
    rows = []
    for entry in ENTRIES:
        if wanted and entry.recipe not in wanted:
            continue
        with tempfile.TemporaryDirectory(prefix="edgert-zoo-") as folder:
            bundle = Path(folder) / "net.edge"
            summary = convert(entry, bundle)
            ratio, facts = time_ratio(bundle)
        rows.append(row(entry, summary, ratio))
    engine = f"{facts['engine']} {facts['version']}"
    print(f"{datetime.date.today()}, {processor()} ({dot_product().value}), {engine}, 1 thread\n")
    for cells in (HEADER, ("---",) * len(HEADER), *rows):
        print(f"| {' | '.join(cells)} |")
    return 0


def convert(entry: Entry, output: Path) -> dict[str, JsonValue]:
    """Converts one model to float and int8 with its recipe and data; returns the document of `--json`."""
    given = {
        "model": ZOO / "models" / f"{entry.model}.onnx",
        "eval": str(ZOO / "data" / entry.evaluation),
        "calib": str(ZOO / "data" / entry.calibration) if entry.calibration else None,
        "metric": entry.metric,
        "output": output,
    }
    recipe = load_recipe(ROOT / "tests/data/recipes" / f"{entry.recipe}.toml", given)
    return load_converter().convert(recipe, report_progress).summary


def report_progress(stage: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{stage} {done}/{total}\033[K", end="", file=sys.stderr)


def time_ratio(path: Path) -> tuple[float, JsonValue]:
    """Returns time(int8) / time(float) of one run, and the facts of the engine that ran."""
    with Bundle.open(path) as bundle:
        golden = bundle.golden()
        inputs = {spec.name: golden[f"input/{spec.name}"][0] for spec in bundle.manifest.inputs}
    sessions = [edgert.load(path, variant=name, threads=1) for name in ("onnx-fp32", "onnx-int8")]
    counts = [runs_per_block(session, inputs) for session in sessions]
    medians: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for index, session in enumerate(sessions):
            medians[index].append(float(np.median(times(session, inputs, counts[index]))))
    return min(medians[1]) / min(medians[0]), sessions[0].facts()


def runs_per_block(session: Session, inputs: dict[str, np.ndarray]) -> int:
    typical = float(np.median(times(session, inputs, LEAST_RUNS)))
    return max(LEAST_RUNS, int(BLOCK_S / typical))


def times(session: Session, inputs: dict[str, np.ndarray], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        session.run(inputs)
        taken.append(time.perf_counter() - start)
    return taken


def row(entry: Entry, summary: dict[str, JsonValue], ratio: float) -> tuple[str, ...]:
    reference = summary["reference"]
    variants = {variant["id"]: variant for variant in summary["variants"]}
    base, int8 = variants["onnx-fp32"], variants["onnx-int8"]
    low, high = int8["ci95"]
    return (
        entry.title,
        f"{reference['metric']}, n={int8['n']}",
        figure(reference["value"]),
        figure(int8["value"]),
        f"{int8['drop']:.2f} ({low:.2f} to {high:.2f})",
        f"{int8['agree']:.3f} (n={int8['agree_n']})",
        int8["gate"],
        f"{format_bytes(base['bytes'])} to {format_bytes(int8['bytes'])}",
        f"{ratio:.2f}x",
        "this x86",
    )


def figure(value: float | None) -> str:
    return "no labels" if value is None else f"{value:.1f} %"


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")


if __name__ == "__main__":
    raise SystemExit(main())
