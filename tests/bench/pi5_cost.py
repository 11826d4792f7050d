"""Latency and energy on a Raspberry Pi 5 from 100, 20 and 10 measured architectures, under LiteRT and ONNX Runtime.

    python -m tests.bench.pi5_cost [--table FILE.parquet] [--device litert|onnx] [--seeds 10] [--json FILE]

A seed splits the 3,303 measured architectures of NAS-Bench-201 into halves; all samples come from one, all figures from
the other. Earlier devices are the nine of NAS-Bench-201, none of them a Pi, and their latencies serve for energy, too.

- `chosen`: edgert, which chooses its samples among the first half.
- `random`: edgert with random samples of the first half.
- `ridge`: ridge regression (strength 1, standardized) on the other devices' latencies and on counts of operations, with
  the same samples as `random`. Of latencies or their logarithms, with or without counts, this did best.
- `all`: costs of operations and of places fitted to the whole first half: what is left is noise, or beyond sums.

Columns as in few_shot. `--table` takes another file of the form of hwbench/pi5_latency_energy.parquet.
Needs the zoo (EDGERT_ZOO) and the extras cost and parquet.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from edgert.cost.prediction import Prediction
from edgert.cost.selection import choose_models
from edgert.cost.transfer import fit_transfer
from edgert.cost.transfer_prior import EarlierDevices, learn_devices
from tests.bench.device_tables import ZOO, DeviceTable, Floats, load_nasbench201, load_pi5
from tests.bench.few_shot import COLUMNS, LEVEL, Scores, predict_all, ridge, score, show

SAMPLES = (100, 20, 10)
OPERATION_COUNTS = 4


def run_board(earlier: EarlierDevices, values: Floats, samples: int, seed: int) -> dict[str, Scores]:
    """Returns scores of each way on the second half; `earlier` and `values` hold the same architectures."""
    order = np.random.default_rng(seed).permutation(values.size)
    first, second = order[: values.size // 2], order[values.size // 2 :]
    rows = {"chosen": choose_models(earlier, samples, first), "random": first[:samples]}
    features = earlier.views[..., :-1]
    predicted = {way: fit_transfer(earlier, rows[way], values[rows[way]], LEVEL).predict(features) for way in rows}
    known = np.concatenate([earlier.values, earlier.views[0, :, :OPERATION_COUNTS]], axis=1)
    value = np.maximum(ridge(known, values[first[:samples]], first[:samples]), 0.01 * np.median(values))
    predicted["ridge"] = Prediction(value, value, value, LEVEL)
    predicted["all"] = fit_half(features, values, first)
    return {way: _score(prediction, values, second) for way, prediction in predicted.items()}


def fit_half(features: Floats, values: Floats, half: np.ndarray) -> Prediction:
    return predict_all(DeviceTable(("board",), features, values[:, np.newaxis]), 0, half)[0]


def _score(prediction: Prediction, values: Floats, judged: np.ndarray) -> Scores:
    return score(prediction, values, np.setdiff1d(np.arange(values.size), judged))


def restrict(earlier: EarlierDevices, rows: np.ndarray) -> EarlierDevices:
    """Returns the same devices with some of their models."""
    return EarlierDevices(earlier.views[:, rows], earlier.values[rows], earlier.costs, earlier.view, earlier.noise)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=ZOO / "hwbench" / "pi5_latency_energy.parquet")
    parser.add_argument("--device", choices=("litert", "onnx"), help="one engine of the board; both by default")
    parser.add_argument("--seeds", type=int, default=10, help="seeds 0, 1, ... (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args()
    table = load_nasbench201()
    earlier = learn_devices(table.features, table.latency_ms)
    found: dict[str, dict[str, list[Scores]]] = {}
    print(f"{'':16} {'way':7} " + " ".join(f"{column:>15}" for column in COLUMNS))
    for board in load_pi5(options.table):
        if options.device not in {None, board.engine}:
            continue
        own = restrict(earlier, board.rows)
        for quantity, values in (("latency", board.latency_ms), ("energy", board.energy_mj)):
            for samples in SAMPLES:
                runs = [run_board(own, values, samples, seed) for seed in range(options.seeds)]
                name = f"{board.engine} {quantity[:3]} {samples}"
                found[name] = {way: [scores[way] for scores in runs] for way in runs[0]}
                show(name, found[name])
    if options.json:
        options.json.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
