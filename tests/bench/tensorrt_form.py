"""Converts models of the zoo for a Jetson and says what `onnx-int8-trt` keeps, in ONNX Runtime on this computer.

    python tests/bench/tensorrt_form.py [resnet20 kws proxyless_w025]

Prints the table of docs/jetson.md: the variants that TensorRT takes beside the affine int8 that it does not, agreement
with the float model's top-1 (95 % interval), the metric's drop in points, SQNR of the logits, and what the lint for
TensorRT found. Needs the zoo (EDGERT_ZOO). Never part of CI.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

import edgert
from edgert.bundle import Bundle
from edgert_converters.quantize.tensorrt_lint import lint_for_tensorrt

ROOT = Path(__file__).resolve().parents[2]
ZOO = Path(os.environ.get("EDGERT_ZOO", ROOT.parent / "shared" / "zoo"))
TARGET, PLACE = "jetson-orin-nano", "this x86"
RECIPES = ROOT / "tests" / "data" / "recipes"
HEAD = ("model", "variant", "agree (95 %)", "drop, points", "gate", "SQNR, dB", "lint", "measured on")


def options_of(name: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """The model's file and the options of its conversion."""
    models, data = ZOO / "models", ZOO / "data"
    if name == "resnet20":
        calib = str(data / "cifar10_test_jpegdegraded_500.npz")
        return models / "resnet20_cifar10.onnx", {"calib": calib, "recipe": RECIPES / "resnet20.toml"}
    if name == "proxyless_w025":
        given = {"calib": "imagenet_train_125_224px_calib.parquet", "eval": "imagenet_val_300_227px.parquet"}
        options: dict[str, Any] = {key: str(data / file) for key, file in given.items()}
        return models / "proxyless_w025_r112_imagenet.onnx", {**options, "recipe": RECIPES / "proxyless_w025.toml"}
    with np.load(data / "speech_commands_v2_test_mfcc_4890.npz") as held:
        x = held["mfcc"].astype(np.float32).reshape(-1, 49, 10, 1)
        chosen, labels = held["split_calib"].astype(bool), held["labels"]
    np.savez(folder / "calib.npz", x=x[chosen])
    np.savez(folder / "eval.npz", x=x[~chosen], y=labels[~chosen])
    samples = {"calib": str(folder / "calib.npz"), "eval": str(folder / "eval.npz"), "calib_samples": 720}
    return models / "mlperf_tiny_kws_dscnn_float.tflite", samples


def rows_of(name: str) -> Iterator[tuple[str, ...]]:
    """One row for each ONNX variant."""
    with tempfile.TemporaryDirectory() as folder:
        model, options = options_of(name, Path(folder))
        output = Path(folder) / "net.edge"
        made = edgert.convert(model, targets=(TARGET,), output=output, **options)
        found = {row["id"]: row for row in made.summary["variants"] if row["format"] == "onnx" and "gate" in row}
        with Bundle.open(output) as bundle:
            for variant in bundle.manifest.variants:
                if variant.id in found:
                    graph = ir.from_proto(onnx.load_from_string(bundle.read(variant.path)))
                    yield row(name, found[variant.id], len(lint_for_tensorrt(graph)))


def row(name: str, figures: dict[str, Any], findings: int) -> tuple[str, ...]:
    """A row of the table."""
    low, high = figures["agree_ci95"]
    agree = f"{figures['agree']:.3f} ({low:.3f} to {high:.3f}), n={figures['n']}"
    sqnr = f"{figures['outputs'][0]['sqnr_db_mean']:.1f}"
    lint = f"{findings} findings" if findings else "clean"
    return name, f"`{figures['id']}`", agree, f"{figures['drop']:+.2f}", figures["gate"], sqnr, lint, PLACE


def main() -> None:
    """Prints the table."""
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for name in sys.argv[1:] or ["resnet20", "kws", "proxyless_w025"]:
        for cells in rows_of(name):
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
