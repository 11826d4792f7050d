"""Evaluations until a search has found the front of a table of real measurements, beside Optuna's samplers.

    python -m tests.bench.search_tables [--table nasbench201|FILE] [--device NAME ...] [--seeds 10] [--json FILE]
                                        [--dataset cifar100] [--way NAME ...] [--target 0.99]

Objectives: error in per cent (100 - accuracy) and the natural logarithm of the latency in ms, both minimized. The
reference point is 1.1 times the nadir of the table's true front where that is positive; a nadir of 0 or less is moved
up by a tenth of the front's range. A search is over when what it has measured has 99 % of the front's hypervolume.

What is counted: different architectures measured, so Optuna's repetitions of an architecture are free for it; `trials`
counts them. A search that does not get there counts as the different architectures it had at its cap of trials
(`reached` says how many seeds did): CAPS below. Ways: edgert's algorithms; Optuna's NSGA-II with population 10, 20 and
50, TPE and random sampling, otherwise at their defaults, in memory, each edge a categorical parameter. No algorithm
knows an accuracy or latency at the start; edgert's predictor knows `edgert.search.cells.describe_cells`.

Runs that stand in the JSON file are not run again, so that a table may be made in pieces; remove the file where an
algorithm has changed. Needs the zoo (EDGERT_ZOO) and the extras search and parquet.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgert.search.algorithm import Trial
from edgert.search.algorithms import ALGORITHMS
from edgert.search.front import hypervolume, nondominated
from edgert.search.goals import Goals, Quantity
from edgert.search.space import Choice
from edgert.search.tables import Table, TableEvaluator, load_table, space_of

ZOO = Path(os.environ.get("EDGERT_ZOO", Path(__file__).parents[3] / "shared" / "zoo"))
TABLES = {"nasbench201": ZOO / "hwbench" / "nasbench201_latency.parquet"}
CAPS = {"predictor": 1000, "nsga2": 3000, "random": 3000, "optuna-nsga2-10": 3000, "optuna-nsga2-20": 3000}
CAPS |= {"optuna-nsga2-50": 3000, "optuna-tpe": 600, "optuna-random": 3000}
GOALS = Goals((Quantity.ACCURACY, Quantity.LATENCY_MS))


@dataclass(frozen=True)
class Run:
    table: str
    dataset: str
    target: float
    device: str
    way: str
    seed: int
    architectures: int
    trials: int
    reached: bool
    share: float
    seconds_per_trial: float


@dataclass(frozen=True)
class Truth:
    """The values of all architectures, and what their front dominates."""

    table: Table
    device: str
    dataset: str
    values: np.ndarray
    reference: np.ndarray
    volume: float


def truth_of(table: Table, device: str, dataset: str) -> Truth:
    error = 100 - 100 * table.accuracy[dataset]
    values = np.stack([error, np.log(table.latency_ms[device])], axis=1)
    front = values[nondominated(values)]
    nadir = front.max(axis=0)
    reference = np.where(nadir > 0, 1.1 * nadir, nadir + 0.1 * np.ptp(front, axis=0))
    return Truth(table, device, dataset, values, reference, hypervolume(front, reference))


def ours(name: str, truth: Truth, seed: int) -> Iterator[Choice]:
    space, evaluator = space_of(truth.table), TableEvaluator(truth.table, truth.device, truth.dataset)
    algorithm = ALGORITHMS[name](space, GOALS, seed=seed, evaluations=CAPS[name])
    finished: list[Trial] = []
    while (choice := algorithm.ask(len(finished), finished, ())) is not None:
        yield choice
        measured = evaluator.evaluate(choice, seed=0).measured
        finished.append(Trial(len(finished), choice, GOALS.minimized(measured), ()))


def optunas(name: str, truth: Truth, seed: int) -> Iterator[Choice]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = {
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
    }
    population = name.removeprefix("nsga2-")
    make = samplers.get(name, lambda: optuna.samplers.NSGAIISampler(population_size=int(population), seed=seed))
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=make())
    dimensions = space_of(truth.table).dimensions
    while True:
        trial = study.ask()
        choice = {key: trial.suggest_categorical(key, list(values)) for key, values in dimensions.items()}
        yield choice
        study.tell(trial, truth.values[truth.table.row(choice)].tolist())


def search(way: str, truth: Truth, seed: int, target: float) -> Run:
    is_optuna = way.startswith("optuna-")
    choices = (optunas if is_optuna else ours)(way.removeprefix("optuna-"), truth, seed)
    begun, seen, trials, share = time.process_time(), [], 0, 0.0
    for choice in choices:
        trials += 1
        row = truth.table.row(choice)
        if row not in seen:
            is_beaten = (truth.values[seen] <= truth.values[row]).all(axis=1).any()
            seen.append(row)
            if not is_beaten:
                share = hypervolume(truth.values[seen], truth.reference) / truth.volume
        if share >= target or trials >= CAPS[way]:
            break
    seconds = (time.process_time() - begun) / trials
    of = (truth.table.path.stem, truth.dataset, target, truth.device)
    return Run(*of, way, seed, len(seen), trials, bool(share >= target), float(share), seconds)


def runs_in(path: Path | None) -> dict[tuple[object, ...], Run]:
    """Runs of an earlier call, by all that they are of."""
    kept = json.loads(path.read_text()) if path is not None and path.exists() else []
    runs = [Run(**fields) for fields in kept]
    return {(run.table, run.dataset, run.target, run.device, run.way, run.seed): run for run in runs}


def show(runs: list[Run]) -> None:
    print(
        f"{'device':16} {'way':16} {'mean':>7} {'spread':>7} {'range':>11} {'trials':>7} {'reached':>8} ratio s/trial"
    )
    for device in dict.fromkeys(run.device for run in runs):
        means: dict[str, float] = {}
        for way in dict.fromkeys(run.way for run in runs):
            found = [run for run in runs if (run.device, run.way) == (device, way)]
            if found:
                means[way] = float(np.mean([run.architectures for run in found]))
        best = min((mean for way, mean in means.items() if way.startswith("optuna-")), default=float("nan"))
        for way, mean in means.items():
            found = [run for run in runs if (run.device, run.way) == (device, way)]
            counts = [run.architectures for run in found]
            reached = f"{sum(run.reached for run in found)}/{len(found)}"
            trials, cost = np.mean([run.trials for run in found]), np.mean([run.seconds_per_trial for run in found])
            print(
                f"{device:16} {way:16} {mean:7.1f} {np.std(counts):7.1f} {min(counts):5}-{max(counts):5} {trials:7.0f} "
                f"{reached:>8} {mean / best:6.2f} {cost:.3f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="nasbench201")
    parser.add_argument("--device", nargs="+", default=["pixel3", "silver_4114", "1080ti_1"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--dataset", default="cifar100")
    parser.add_argument("--way", nargs="+", default=list(CAPS), choices=list(CAPS))
    parser.add_argument("--target", type=float, default=0.99)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    warnings.filterwarnings("ignore", module="optuna")
    table = load_table(TABLES.get(given.table, Path(given.table)))
    runs = runs_in(given.json)
    truths = {device: truth_of(table, device, given.dataset) for device in given.device}
    shown = []
    for seed, device, way in itertools.product(range(given.seeds), given.device, given.way):
        key = (table.path.stem, given.dataset, given.target, device, way, seed)
        if key not in runs:
            runs[key] = search(way, truths[device], seed, given.target)
            if given.json is not None:
                given.json.write_text(json.dumps([asdict(run) for run in runs.values()], indent=1))
        shown.append(runs[key])
    show(shown)


if __name__ == "__main__":
    main()
