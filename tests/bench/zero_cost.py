"""What untrained networks say of their accuracy, on NAS-Bench-201: without and with a few accuracies that are known.

    python -m tests.bench.zero_cost [--table FILE.parquet] [--device DATASET ...] [--seeds 10] [--architectures 100]
                                    [--measured 20 50] [--cells 1] [--samples 32] [--batch images|noise] [--json FILE]

A seed draws architectures of the table, gives each random weights and looks at one batch: images of CIFAR-10 without
their labels, or noise. Networks have `--cells` cells in each of three stages, the published ones five.
What nobody reads is left out. Ways:

- `macs`: multiply-accumulates; the yardstick that costs nothing.
- `nwot`, `synflow`: edgert.cost.zero_cost, no accuracy known. Published over the whole table: 0.76 to 0.78 and
  0.74 to 0.76 (Mellor et al. 2021; Abdelfattah et al. 2021), with whole networks and larger batches.
- `fitted N`: edgert.cost.accuracy with N measured accuracies, judged on the architectures that were not measured;
  `coverage` is of its 90 % interval, `error` the median in points of accuracy.

Columns: Spearman's correlation with the test accuracy, mean and spread over the seeds. `--device` names data sets of
the table here (cifar10, cifar100, imagenet16_120): accuracy knows no devices. Needs the zoo and the extra parquet.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from edgert.cost.accuracy import fit_accuracy
from edgert.cost.zero_cost import ZeroCost, zero_cost
from edgert.search.cells import cell_macs
from edgert.search.tables import Table, load_table
from tests.bench.cell_networks import cell_network

ZOO = Path(os.environ.get("EDGERT_ZOO", Path(__file__).parents[3] / "shared" / "zoo"))
IMAGES = ZOO / "data" / "cifar10_test_jpegdegraded_500.npz"
_STREAM = 201
Scores = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=ZOO / "hwbench" / "nasbench201_latency.parquet")
    parser.add_argument("--device", nargs="+", default=["cifar10", "cifar100"], metavar="DATASET")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--architectures", type=int, default=100)
    parser.add_argument("--measured", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--cells", type=int, default=1)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--batch", choices=["images", "noise"], default="images")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    table = load_table(given.table)
    batch = batch_of(given.batch, given.samples)
    found: dict[str, Scores] = {name: {} for name in given.device}
    for seed in range(given.seeds):
        random = np.random.default_rng([seed, _STREAM])
        rows = random.choice(len(table.codes), given.architectures, replace=False)
        networks = [
            zero_cost(cell_network(table.codes[row].tolist(), cells=given.cells, seed=int(row)), batch) for row in rows
        ]
        for name, scores in found.items():
            for way, value in score(table, name, rows, networks, given.measured).items():
                scores.setdefault(way, []).append(value)
        show(found)
    if given.json:
        given.json.write_text(json.dumps({"cells": given.cells, "samples": given.samples, "scores": found}))


def batch_of(kind: str, samples: int) -> np.ndarray:
    """Standardized images, or noise, float32[samples, 3, 32, 32]."""
    if kind == "noise":
        return np.random.default_rng(_STREAM).standard_normal((samples, 3, 32, 32)).astype(np.float32)
    with np.load(IMAGES) as data:
        images = data["images"][:samples].astype(np.float32).transpose(0, 3, 1, 2)
    return np.ascontiguousarray((images - images.mean()) / images.std())


def score(
    table: Table, dataset: str, rows: np.ndarray, networks: Sequence[ZeroCost], measured: Sequence[int]
) -> dict[str, float]:
    """Figures by way; those that are measured are the first of the rows, which were drawn at random."""
    truth = table.accuracy[dataset][rows]
    scores = {
        "macs": _rank(cell_macs(table.codes[rows]), truth),
        "nwot": _rank([network.nwot for network in networks], truth),
        "synflow": _rank([network.synflow for network in networks], truth),
    }
    for count in measured:
        model = fit_accuracy(networks[:count], truth[:count].tolist(), networks[count:])
        said, rest = model.predict(networks[count:]), truth[count:]
        scores[f"fitted {count}"] = _rank(said.value, rest)
        scores[f"fitted {count}, coverage"] = float(((said.low <= rest) & (rest <= said.high)).mean())
        scores[f"fitted {count}, error"] = float(100 * np.median(np.abs(said.value - rest)))
    return scores


def _rank(values: Sequence[float] | np.ndarray, truth: np.ndarray) -> float:
    return float(spearmanr(values, truth)[0])


def show(found: dict[str, Scores]) -> None:
    for name, scores in found.items():
        for way, values in scores.items():
            print(
                f"{name:14} {way:22} {np.mean(values):7.3f} ± {np.std(values):.3f}  ({len(values)} seeds)", flush=True
            )


if __name__ == "__main__":
    main()
