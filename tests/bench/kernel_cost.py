"""Latency of the zoo's networks, predicted from random networks that this device was learned from, against measured.

    python -m tests.bench.kernel_cost [--device NAME] [--threads 1] [--minutes 15] [--networks 80] [--seeds 10]
                                      [--table FOLDER] [--bundles FOLDER] [--json FILE]

Converts every model file of the folder (default: the zoo's) to float and int8 with ranges from noise. Then, `--seeds`
times, measures random networks for that part of `--minutes` and profiles every form in turns: a computer that others
share changes from minute to minute, and so both are seen on the same one. A figure is the least of these profiles, as
in learning. Learns from the random networks alone and predicts all forms for ONNX Runtime. Columns: measured ms,
predicted ms, error, interval of 90 %, whether it holds the measured one, kernels that were guessed. What was measured
before counts (EDGERT_COSTS); `--bundles` keeps conversions. Never part of CI.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import edgert
from edgert.bundle import Bundle
from edgert.commands.console import format_table
from edgert.cost.detect import ENGINE, detect_kernels
from edgert.cost.device_cost import DeviceCost
from edgert.cost.files import lessons_folder
from edgert.cost.learn import learn
from edgert.cost.records import fastest_ms
from edgert.cost.teach import VARIANTS, measure_networks
from edgert.errors import EdgertError
from edgert.profiler.on_device import profile_in_turns_on_device, time_now
from edgert.profiler.request import ProfileRequest

ROOT = Path(__file__).resolve().parents[2]
ZOO = Path(os.environ.get("EDGERT_ZOO", ROOT.parent / "shared" / "zoo"))
DURATION_S = 0.4
LEVEL = 0.9
ROUNDS = 8


@dataclass(frozen=True)
class Row:
    """One variant; times in ms."""

    model: str
    variant: str
    measured: float
    predicted: float
    low: float
    high: float
    guessed: int

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1

    @property
    def is_held(self) -> bool:
        return self.low <= self.measured <= self.high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--networks", type=int, default=80)
    parser.add_argument("--seeds", type=int, default=10, help="profiles of each variant")
    parser.add_argument("--table", type=Path, default=ZOO / "models", metavar="FOLDER")
    parser.add_argument("--bundles", type=Path, metavar="FOLDER")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.bundles or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        bundles = [found for path in sorted(arguments.table.iterdir()) if (found := bundle_of(path, folder))]
        measured = dict.fromkeys(forms_of(bundles), math.inf)
        for _ in range(arguments.seeds):
            teach(arguments.device, arguments.threads, arguments.networks, arguments.minutes / arguments.seeds)
            times = profile(list(measured), arguments.device, arguments.threads)
            measured = {form: min(ms, measured[form]) for form, ms in zip(measured, times, strict=True)}
        learned = learn(arguments.device, threads=arguments.threads, networks=arguments.networks, minutes=1e-6)
        rows = [row_of(learned.cost, bundle, variant, ms) for (bundle, variant), ms in measured.items()]
    for note in learned.notes:
        print(note)
    show(rows, learned.cost)
    if arguments.json:
        plain = {"platform": asdict(learned.cost.platform), "networks": learned.cost.networks}
        arguments.json.write_text(json.dumps({**plain, "rows": [asdict(row) for row in rows]}, indent=1))


def bundle_of(model: Path, folder: Path) -> Path | None:
    """The converted model, or None for what is no model or has no form for ONNX Runtime."""
    bundle = folder / f"{model.name.replace('.', '_')}.edge"
    if model.suffix not in {".onnx", ".tflite"}:
        return None
    if not bundle.exists():
        random = np.random.default_rng(0)
        noise = {}
        for spec in edgert.inspect(model).inputs:
            shape = (4, *(size or 1 for size in spec.shape[1:]))
            is_float = spec.dtype.value == "float"
            values = random.standard_normal(shape) if is_float else random.integers(0, 100, shape)
            noise[spec.name] = values.astype(np.float32 if is_float else spec.dtype.value)
        calib = folder / "noise.npz"
        np.savez(calib, **noise)
        try:
            quick = {"algorithms": ("none",), "ranges": "min-max", "formats": ("onnx",)}
            edgert.convert(model, calib=str(calib), output=bundle, **quick)
        except EdgertError as error:
            print(f"{model.name}: left out: {error}")
            return None
    return bundle


def teach(device: str | None, threads: int, networks: int, minutes: float) -> None:
    """Goes on measuring random networks, as `learn` would."""
    measure_networks(
        lessons_folder(device, threads),
        device=device,
        threads=threads,
        engine=ENGINE,
        forms=list(itertools.product(range(networks), VARIANTS[ENGINE])),
        minutes=minutes,
        rounds=ROUNDS,
    )


def forms_of(bundles: Sequence[Path]) -> list[tuple[Path, str]]:
    """Every bundle with each of its variants for ONNX Runtime."""
    forms = []
    for path in bundles:
        with Bundle.open(path) as bundle:
            forms += [(path, variant.id) for variant in bundle.manifest.variants if variant.format == "onnx"]
    return forms


def profile(forms: Sequence[tuple[Path, str]], device: str | None, threads: int) -> list[float]:
    """`fastest_ms` of bundles and variants that are measured in turns."""
    requests = [
        ProfileRequest(
            path="", created=time_now(), variant=variant, threads=threads, engine="onnxruntime", layers=False,
            duration_s=DURATION_S, tuned=False,
        )
        for _, variant in forms
    ]  # fmt: skip
    records = profile_in_turns_on_device(device, [path for path, _ in forms], requests)
    return [fastest_ms(record) for record in records]


def row_of(cost: DeviceCost, bundle: Path, variant: str, measured_ms: float) -> Row:
    kernels, sizes = detect_kernels(bundle, variant, cost.platform)
    found = cost.predict(kernels, sizes, LEVEL)
    latency = found.latency_ms
    value, low, high = (float(array[0]) for array in (latency.value, latency.low, latency.high))
    return Row(bundle.stem, variant, measured_ms, value, low, high, len(found.estimate.guessed))


def show(rows: Sequence[Row], cost: DeviceCost) -> None:
    cells = [
        [
            row.model, row.variant, f"{row.measured:.3f}", f"{row.predicted:.3f}", f"{100 * row.error:+.0f} %",
            f"{row.low:.3f} to {row.high:.3f}", "" if row.is_held else "no", str(row.guessed),
        ]
        for row in rows
    ]  # fmt: skip
    print(format_table(["model", "variant", "measured", "predicted", "error", "90 %", "held", "guessed"], cells))
    errors = [abs(row.error) for row in rows]
    held = sum(row.is_held for row in rows) / len(rows)
    width = statistics.median((row.high - row.low) / row.predicted for row in rows)
    print(f"{cost.networks} random networks; {len(rows)} variants: median error ", end="")
    print(f"{100 * statistics.median(errors):.1f} %, {100 * held:.0f} % held, median width {100 * width:.0f} %")


if __name__ == "__main__":
    main()
