"""Latency of every architecture on a new device from 10 measurements: each device of a table in turn is the new one.

    python -m tests.bench.few_shot [--table nasbench201|fbnet|FILE.npz] [--device NAME] [--seeds 10] [--samples 10]
                                   [--json FILE]

A seed draws 1,000 architectures that may be measured. Ways of predicting, all judged on what they did not measure:

- `chosen`: edgert, which chooses its 10 among them.
- `random`: edgert with the first 10 of them.
- `ridge`: ridge regression (strength 1, standardized) on the logarithms of the other devices' latencies, the same 10.
- `all`: costs of operations fitted to every other architecture of the table on the new device itself: what is left is
  noise of the table, or beyond sums of costs. No seeds; its interval is that of its own errors.

Columns: Spearman's correlation; median error; share within 5 and 10 %; share within the 90 % interval; mean width of
the interval as a share of the value, over the median error (a normal distribution known exactly gives 4.88).

Where accuracy is known, picks follow: at five limits, the 10, 30, 50, 70 and 90 % quantiles of the true latencies, the
architecture with the most accuracy less a price times the probability that it breaks the limit. The price, in points of
accuracy, is the least at which 5 % of the picks on the other devices of the table break, 10 where none was run.
`broken` is the share of picks whose true latency is above the limit, `loss` what the others lack, on average, to the
most accurate architecture truly within, in points. `ridge` has no interval; its risk is 0 or 1, by its value. The last
two columns are of the most accurate architecture whose upper end of the interval is within the limit.

Where the table holds twins, architectures that are the same in another order, they show its noise: `twins` is the
correlation between the latencies of the two, `ceiling` its square root, about the best that any prediction can reach
(Spearman, The proof and measurement of association between two things, 1904), here among architectures with twins;
`all` is its correlation among the same. Needs the zoo (EDGERT_ZOO) and the extras cost and parquet.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from edgert.cost.prediction import Prediction
from edgert.cost.selection import choose_models
from edgert.cost.transfer import fit_transfer
from edgert.cost.transfer_prior import EarlierDevices, as_views, learn_devices
from tests.bench.device_tables import DeviceTable, Floats, load_table

LEVEL = 0.9
POOL = 1000
LIMITS = (0.1, 0.3, 0.5, 0.7, 0.9)
MOST_BROKEN = 0.05
PRICES = (2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 30)
USUAL_PRICE = 10
COLUMNS = ("spearman", "median_error", "within_5", "within_10", "coverage", "width")
Scores = dict[str, float]
Risk = Callable[[Floats], Floats]
"""Probabilities that models break limits, [l, n], from the limits, [l]."""
Answer = tuple[Prediction, "np.ndarray", Risk]
"""Predictions for all models, rows that were measured, and the risk at limits."""
Way = Callable[[DeviceTable, EarlierDevices, int, "np.ndarray", int], Answer]


def predict_chosen(table: DeviceTable, earlier: EarlierDevices, device: int, pool: np.ndarray, samples: int):
    return _transfer(table, earlier, device, choose_models(earlier, samples, pool))


def predict_random(table: DeviceTable, earlier: EarlierDevices, device: int, pool: np.ndarray, samples: int):
    return _transfer(table, earlier, device, pool[:samples])


def predict_ridge(table: DeviceTable, earlier: EarlierDevices, device: int, pool: np.ndarray, samples: int):
    rows = pool[:samples]
    value = np.exp(ridge(np.log(earlier.values), np.log(table.latency_ms[rows, device]), rows))
    return Prediction(value, value, value, LEVEL), rows, lambda limits: np.array([value > limit for limit in limits])


WAYS: dict[str, Way] = {"chosen": predict_chosen, "random": predict_random, "ridge": predict_ridge}


def _transfer(table: DeviceTable, earlier: EarlierDevices, device: int, rows: np.ndarray):
    transfer = fit_transfer(earlier, rows, table.latency_ms[rows, device], LEVEL)
    return transfer.predict(table.features), rows, lambda limits: transfer.predict_risk(table.features, limits)


def ridge(features: Floats, values: Floats, rows: np.ndarray, strength: float = 1.0) -> Floats:
    """Returns values of all models from those of some: ridge regression on standardized features."""
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
    known, mean = scaled[rows], values.mean()
    inner = known @ known.T + strength * np.eye(len(rows))
    return mean + scaled @ known.T @ np.linalg.solve(inner, values - mean)


def predict_all(table: DeviceTable, device: int, fitted: np.ndarray | None = None) -> Answer:
    """Fits the even rows, or those given; the interval holds 90 % of their errors."""
    fitted = np.arange(0, len(table.latency_ms), 2) if fitted is None else fitted
    own = np.repeat(table.latency_ms[fitted, device : device + 1], 3, axis=1)  # learned alone: no other device helps
    learned = learn_devices(table.features[..., fitted, :], own)
    unit = np.median(own)
    value = np.maximum(as_views(table.features)[learned.view[0]] @ learned.costs[0] * unit, 0.01 * unit)
    errors = own[:, 0] / value[fitted]
    low, high = np.quantile(errors, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])

    def find_risk(limits: Floats) -> Floats:
        return 1 - np.searchsorted(np.sort(errors), limits[:, np.newaxis] / value, side="right") / errors.size

    return Prediction(value, value * min(low, 1.0), value * max(high, 1.0), LEVEL), fitted, find_risk


def score(prediction: Prediction, true: Floats, measured: np.ndarray) -> Scores:
    """Returns what the columns before the picks say; rows that were measured do not count."""
    rest = np.setdiff1d(np.arange(true.size), measured)
    value, true_rest = prediction.value[rest], true[rest]
    error = np.abs(value / true_rest - 1)
    scores = {
        "spearman": float(spearmanr(value, true_rest)[0]),
        "median_error": float(np.median(error)),
        "within_5": float((error <= 0.05).mean()),
        "within_10": float((error <= 0.10).mean()),
    }
    if (prediction.high > prediction.low).any():
        inside = (prediction.low[rest] <= true_rest) & (true_rest <= prediction.high[rest])
        scores["coverage"] = float(inside.mean())
        scores["width"] = float(prediction.relative_width[rest].mean() / np.median(error))
    return scores


def score_picks(prediction: Prediction, risk: Risk, true: Floats, accuracy: Floats) -> Scores:
    """Returns broken and loss at each price, and below the upper end; rows that were measured may be picked."""
    limits = np.quantile(true, LIMITS)
    risks = risk(limits)
    picks = {f"at {price}": [int(np.argmax(accuracy - price * each)) for each in risks] for price in PRICES}
    picks["below"] = [_pick_below(prediction, limit, accuracy) for limit in limits]
    found: Scores = {}
    for rule, rows in picks.items():
        found[f"broken {rule}"], found[f"loss {rule}"] = _judge(rows, limits, true, accuracy)
    return found


def _pick_below(prediction: Prediction, limit: float, accuracy: Floats) -> int:
    allowed = np.flatnonzero(prediction.high <= limit)
    return int(allowed[np.argmax(accuracy[allowed])] if allowed.size else np.argmin(prediction.high))


def _judge(picks: Sequence[int], limits: Floats, true: Floats, accuracy: Floats) -> tuple[float, float]:
    """Returns the share of picks that break their limit, and the mean loss of the others."""
    broken = true[picks] > limits
    best = np.array([accuracy[true <= limit].max() for limit in limits])
    losses = (best - accuracy[picks])[~broken]
    return float(broken.mean()), float(losses.mean()) if losses.size else float("nan")


def run(table: DeviceTable, names: Sequence[str], seeds: int, samples: int) -> dict[str, dict[str, list[Scores]]]:
    """Returns scores of each way on each device, one for each seed."""
    earlier, found = learn_devices(table.features, table.latency_ms), {}
    for name in names:
        device = table.devices.index(name)
        others, true = earlier.without(device), table.latency_ms[:, device]
        found[name] = {way: [] for way in WAYS} | {"all": [_score_all(predict_all(table, device), table, device)]}
        for seed in range(seeds):
            pool = np.random.default_rng(seed).choice(true.size, min(POOL, true.size), replace=False)
            for way, predict in WAYS.items():
                answer = predict(table, others, device, pool, samples)
                found[name][way].append(_score_all(answer, table, device))
        show(name, found[name])
    return found


def _score_all(answer: Answer, table: DeviceTable, device: int) -> Scores:
    prediction, rows, risk = answer
    true, accuracy = table.latency_ms[:, device], table.accuracy
    picks = {} if accuracy is None else score_picks(prediction, risk, true, accuracy)
    return score(prediction, true, rows) | picks


def summarize(scores: list[Scores]) -> Scores:
    return {name: _mean([item[name] for item in scores]) for name in scores[0]}


def _mean(values: Sequence[float]) -> float:
    """Returns the mean of what is known: where all picks break, there is no loss."""
    known = np.array(values)[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def show(name: str, ways: dict[str, list[Scores]]) -> None:
    for way, scores in ways.items():
        cells = [_cell(scores, column) for column in COLUMNS]
        print(f"{name:16} {way:7} " + " ".join(f"{cell:>15}" for cell in cells), flush=True)


def show_picks(found: dict[str, dict[str, list[Scores]]]) -> None:
    print(f"\n{'picks':16} {'way':7} " + " ".join(f"{c:>15}" for c in ("price", "broken", "loss", "broken", "loss")))
    for way in [*WAYS, "all"]:
        rows = []
        for name, ways in found.items():
            price = choose_price([score for other, each in found.items() if other != name for score in each[way]])
            mean = summarize(ways[way])
            rows.append(
                [price, *(mean[f"{what} {rule}"] for rule in (f"at {price}", "below") for what in ("broken", "loss"))]
            )
            print(f"{name:16} {way:7} " + " ".join(f"{value:15.3f}" for value in rows[-1]))
        print(
            f"{'mean of devices':16} {way:7} "
            + " ".join(f"{_mean(column):15.3f}" for column in zip(*rows, strict=True))
        )


def show_twins(table: DeviceTable, names: Sequence[str], twins: np.ndarray) -> None:
    print(f"\n{'noise':16} {'':7} " + " ".join(f"{column:>15}" for column in ("twins", "ceiling", "all")))
    rows, both, swapped = [], twins.ravel(), twins[:, ::-1].ravel()
    for name in names:
        device = table.devices.index(name)
        true = table.latency_ms[:, device]
        again, value = spearmanr(true[both], true[swapped])[0], predict_all(table, device)[0].value
        rows.append([again, np.sqrt(again), spearmanr(value[both], true[both])[0]])
        print(f"{name:16} {'':7} " + " ".join(f"{value:15.3f}" for value in rows[-1]))
    print(f"{'mean of devices':16} {'':7} " + " ".join(f"{value:15.3f}" for value in np.mean(rows, axis=0)))


def choose_price(others: list[Scores]) -> int:
    """Returns the least price at which not too many of these picks break."""
    fitting = [
        price for price in PRICES if others and np.mean([s[f"broken at {price}"] for s in others]) <= MOST_BROKEN
    ]
    return fitting[0] if fitting else USUAL_PRICE


def _cell(scores: list[Scores], column: str) -> str:
    if column not in scores[0]:
        return "-"
    values = np.array([item[column] for item in scores])
    return f"{np.nanmean(values):.3f}" + (f" ± {np.nanstd(values):.3f}" if len(values) > 1 else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="nasbench201", help="nasbench201, fbnet or FILE.npz (default: %(default)s)")
    parser.add_argument("--device", help="one device of the table; all by default")
    parser.add_argument("--seeds", type=int, default=10, help="seeds 0, 1, ... (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=10, help="measurements on the new device (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args()
    table = load_table(options.table)
    if options.device and options.device not in table.devices:
        parser.error(f"no device {options.device!r}; the table holds {', '.join(table.devices)}")
    print(f"{'device':16} {'way':7} " + " ".join(f"{column:>15}" for column in COLUMNS))
    found = run(table, [options.device] if options.device else table.devices, options.seeds, options.samples)
    means = {way: [summarize(ways[way]) for ways in found.values()] for way in [*WAYS, "all"]}
    show("mean of devices", means)
    if table.accuracy is not None:
        show_picks(found)
    if table.twins is not None:
        show_twins(table, list(found), table.twins)
    if options.json:
        options.json.write_text(json.dumps({"table": options.table, "samples": options.samples, "scores": found}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
