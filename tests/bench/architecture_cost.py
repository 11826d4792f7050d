"""Costs of whole networks from their tables of layers alone, in an engine that tells nothing of its kernels.

    python -m tests.bench.architecture_cost [--table FOLDER|nasbench201] [--device NAME ...] [--seeds 10]
                                            [--quantity latency_ms|peak_bytes] [--networks 80] [--rounds 3]
                                            [--threads 1] [--samples 100] [--records FOLDER] [--json FILE]

`--table FOLDER` (default: the zoo's models): random networks and every model file of the folder are converted to float
and int8 TFLite with ranges from noise, profiled in LiteRT in rounds, one after the other; a figure is the least over
the rounds, for a shared computer is slower for seconds at a time and never faster than it is. The models are predicted
from the random networks. `held out` is what the random networks say of each other, a fifth of them at a time.
`--records` keeps conversions and records: what stands there is not measured again.

`--table nasbench201`: published latencies of NAS-Bench-201's architectures on each `--device`: as many as `--samples`
are learned from, `--seeds` draws, 200 others are predicted. The networks are described as any other is; nothing knows
that they are cells. What nobody reads is described, too: most of these devices computed it. `mean` predicts
the mean of the logarithms, `macs` a factor times the work.

Columns: median error, Spearman's correlation, share within the 90 % interval, its median width. Never part of CI.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

import edgert
from edgert.bundle import Bundle
from edgert.commands.console import format_table
from edgert.cost.architecture import ArchitectureCost, ArchitectureSample, WholeQuantity, fit_architecture
from edgert.cost.device_cost import Platform
from edgert.cost.random_networks import random_network
from edgert.cost.records import variants_by_sha256
from edgert.cost.whole_networks import samples_of
from edgert.errors import EdgertError
from edgert.profiler.on_device import profile_on_device, time_now
from edgert.profiler.record import Record, load_record, write_record
from edgert.profiler.request import ProfileRequest
from tests.bench.cell_networks import layers_of_cells

ROOT = Path(__file__).resolve().parents[2]
ZOO = Path(os.environ.get("EDGERT_ZOO", ROOT.parent / "shared" / "zoo"))
ENGINE = "litert"
DURATION_S = 0.3
LEVEL = 0.9
JUDGED = 200
NOWHERE = Platform(None, None, "published", None, ENGINE, "", 1)


@dataclass(frozen=True)
class Row:
    """A network: what was measured and predicted, in the quantity's unit."""

    name: str
    measured: float
    predicted: float
    low: float
    high: float
    unfamiliar: int = 0

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1

    @property
    def is_held(self) -> bool:
        return self.low <= self.measured <= self.high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default=str(ZOO / "models"))
    parser.add_argument("--device", nargs="+", default=None)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--quantity", default="latency_ms", choices=["latency_ms", "peak_bytes"])
    parser.add_argument("--networks", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--records", type=Path, metavar="FOLDER")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.table == "nasbench201":
        found = predict_published(arguments.device, arguments.seeds, arguments.samples)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            folder = arguments.records or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            found = predict_models(arguments, folder)
    if arguments.json:
        arguments.json.write_text(json.dumps({name: [asdict(row) for row in rows] for name, rows in found.items()}))


def predict_models(arguments: argparse.Namespace, folder: Path) -> dict[str, list[Row]]:
    """Random networks and models in the same rounds, so that neither meets another computer than the other."""
    quantity = WholeQuantity(arguments.quantity)
    taught = [bundle for seed in range(arguments.networks) if (bundle := random_bundle(seed, folder))]
    asked = [bundle for path in sorted(Path(arguments.table).iterdir()) if (bundle := model_bundle(path, folder))]
    device = arguments.device[0] if arguments.device else None
    records = measure([*taught, *asked], folder, device, arguments.threads, arguments.rounds)
    samples = samples_of([record for path in taught for record in records[path]], variants_by_sha256(taught), quantity)
    cost = fit_architecture(samples, quantity, NOWHERE, created=time_now())
    rows = []
    for path in asked:
        variants = variants_by_sha256([path])
        for name in dict.fromkeys(record.variant for record in records[path]):
            own = [record for record in records[path] if record.variant == name]
            rows += [row_of(cost, f"{path.stem} {name}", item) for item in samples_of(own, variants, quantity)]
    print(format_table(
        ["model", "measured", "predicted", "error", "90 %", "held", "unfamiliar"],
        [[row.name, f"{row.measured:.4g}", f"{row.predicted:.4g}", f"{100 * row.error:+.0f} %",
          f"{row.low:.4g} to {row.high:.4g}", "" if row.is_held else "no", str(row.unfamiliar)] for row in rows],
    ))  # fmt: skip
    held = held_out(samples, quantity)
    show({f"{len(samples)} forms of random networks, held out": held, "models": rows})
    return {"held out": held, "models": rows}


def held_out(samples: Sequence[ArchitectureSample], quantity: WholeQuantity) -> list[Row]:
    """What four fifths of the networks say of the last, five times."""
    groups = sorted({sample.group for sample in samples})
    rows = []
    for part in range(5):
        held = set(groups[part::5])
        others = [sample for sample in samples if sample.group not in held]
        cost = fit_architecture(others, quantity, NOWHERE, created=time_now())
        rows += [row_of(cost, sample.group[:8], sample) for sample in samples if sample.group in held]
    return rows


def row_of(cost: ArchitectureCost, name: str, sample: ArchitectureSample) -> Row:
    found = cost.predict(sample.layers, LEVEL)
    value, low, high = (float(array[0]) for array in (found.value, found.low, found.high))
    return Row(name, sample.value, value, low, high, len(cost.unfamiliar(sample.layers)))


def random_bundle(seed: int, folder: Path) -> Path | None:
    path = folder / f"random-{seed}.edge"
    if path.exists():
        return path
    data, shape = random_network(seed)
    model = folder / f"random-{seed}.onnx"
    model.write_bytes(data)
    return convert(model, path, {"input": (shape, "float")})


def model_bundle(model: Path, folder: Path) -> Path | None:
    if model.suffix not in {".onnx", ".tflite"}:
        return None
    path = folder / f"{model.name.replace('.', '_')}.edge"
    if path.exists():
        return path
    try:
        inputs = edgert.inspect(model, measure=False).inputs
    except EdgertError as error:
        print(f"{model.name}: left out: {error}", flush=True)
        return None
    return convert(model, path, {spec.name: (spec.shape, spec.dtype.value) for spec in inputs})


def convert(model: Path, output: Path, inputs: dict[str, tuple[tuple[int | None, ...], str]]) -> Path | None:
    """Float and int8; None where the model has no such form."""
    random, noise = np.random.default_rng(0), {}
    for name, (shape, dtype) in inputs.items():
        size = (2, *(length or 1 for length in shape[1:]))
        values = random.standard_normal(size) if dtype == "float" else random.integers(0, 100, size)
        noise[name] = values.astype(np.float32 if dtype == "float" else dtype)
    calib = output.with_suffix(".npz")
    np.savez(calib, **noise)
    try:
        quick = {"algorithms": ("none",), "ranges": "min-max", "formats": ("tflite",)}
        edgert.convert(model, calib=str(calib), output=output, **quick)
    except EdgertError as error:
        print(f"{model.name}: left out: {error}", flush=True)
        return None
    return output


def measure(
    bundles: Sequence[Path], folder: Path, device: str | None, threads: int, rounds: int
) -> dict[Path, list[Record]]:
    """Records of every TFLite form, one of each round."""
    found: dict[Path, list[Record]] = {path: [] for path in bundles}
    for turn in range(rounds):
        for path in bundles:
            with Bundle.open(path) as bundle:
                names = [variant.id for variant in bundle.manifest.variants if variant.format == "tflite"]
            for name in names:
                kept = folder / f"{path.stem}-{name}-{turn}.json"
                if not kept.exists():
                    write_record(kept, profile(path, name, device, threads))
                found[path].append(load_record(kept))
    return found


def profile(bundle: Path, variant: str, device: str | None, threads: int) -> Record:
    request = ProfileRequest(
        path="", created=time_now(), variant=variant, threads=threads, engine=ENGINE, duration_s=DURATION_S,
        energy="none", layers=False, tuned=False,
    )  # fmt: skip
    return profile_on_device(device, bundle, {}, request)[0]


def predict_published(devices: Sequence[str] | None, seeds: int, samples: int) -> dict[str, list[Row]]:
    from edgert.search.tables import load_table

    table = load_table(ZOO / "hwbench" / "nasbench201_latency.parquet")
    found: dict[str, list[Row]] = {}
    layers: dict[int, tuple] = {}
    for device in devices or sorted(table.latency_ms):
        latency_ms = table.latency_ms[device]
        rows: dict[str, list[Row]] = {"edgert": [], "macs": [], "mean": []}
        for seed in range(seeds):
            drawn = np.random.default_rng(seed).choice(len(latency_ms), samples + JUDGED, replace=False).tolist()
            layers |= {row: layers_of_cells(table.codes[row].tolist()) for row in drawn if row not in layers}
            learned, asked = (
                [ArchitectureSample(str(row), layers[row], float(latency_ms[row])) for row in part]
                for part in (drawn[:samples], drawn[samples:])
            )
            cost = fit_architecture(learned, WholeQuantity.LATENCY_MS, NOWHERE, created=time_now())
            rows["edgert"] += [row_of(cost, sample.group, sample) for sample in asked]
            for name, values in simple(learned, asked).items():
                rows[name] += [
                    Row(sample.group, sample.value, value, value, value)
                    for sample, value in zip(asked, values, strict=True)
                ]
        show({f"{device}, {name}": kept for name, kept in rows.items()})
        found |= {f"{device} {name}": kept for name, kept in rows.items()}
    return found


def simple(learned: Sequence[ArchitectureSample], asked: Sequence[ArchitectureSample]) -> dict[str, list[float]]:
    y = np.array([sample.value for sample in learned])
    x, new = (np.array([sum(layer.macs for layer in sample.layers) for sample in part]) for part in (learned, asked))
    return {"macs": (new * np.median(y / x)).tolist(), "mean": [float(np.exp(np.log(y).mean()))] * len(asked)}


def show(found: dict[str, list[Row]]) -> None:
    for name, rows in found.items():
        if not rows:
            continue
        errors = [abs(row.error) for row in rows]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that are all equal
            rank = spearmanr([row.measured for row in rows], [row.predicted for row in rows])[0]
        width = statistics.median((row.high - row.low) / row.predicted for row in rows)
        held = statistics.mean(row.is_held for row in rows)
        print(
            f"{name}: {len(rows)} predictions, median error {100 * statistics.median(errors):.1f} %, "
            f"correlation {rank:.3f}, {100 * held:.0f} % held, median width {100 * width:.0f} %",
            flush=True,
        )


if __name__ == "__main__":
    main()
