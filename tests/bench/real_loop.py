"""Searches over precision and resolution of real models on real and emulated devices, killed on the way.

    python -m tests.bench.real_loop [--table FILE.toml] [--model kws|proxyless] [--device local:|qemu:mps2-an386]
                                    [--seeds 10] [--evaluations 8] [--kills 3] [--workers alone|postgresql|dask]
                                    [--json FILE]

Each row is one `edgert search` as a user starts it; every candidate is converted, judged on data and run. With one
worker (`alone`) it is killed with SIGKILL so many times, each time after another record was written, and started again.
With `postgresql` two processes share a study in a real PostgreSQL, and one of them is killed while it runs a trial, a
third of the trials being over; with `dask` one process asks two workers of a real cluster, and one of these is killed
then.

`lost` are numbers of trials that the study does not hold finished at the end; `repeated` choices that it holds twice,
and points of the front measured again twice; `again` measurements that a kill met between the record and the study and
that were therefore run once more (at most one a kill). `broken` are points of the final front beyond the limit by the
second measurement, `moved` by how much the second measurement of the objective differs at most from the first. `chosen`
is the knee. FILE.toml is a recipe without [search] that takes the place of the zoo's models.

Needs the zoo (EDGERT_ZOO), the extras search and parquet, for microcontrollers gcc-arm-none-eabi and qemu-system-arm,
for workers the extras postgresql and dask and Debian's package postgresql.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgert.recipe import Recipe
from edgert.recipe_file import load_recipe
from edgert.recipe_text import recipe_text
from edgert.search.storage import open_storage
from tests.search.processes import Cluster, kill, postgresql, start_search

ROOT = Path(__file__).resolve().parents[2]
ZOO = Path(os.environ.get("EDGERT_ZOO", ROOT.parent / "shared" / "zoo"))
LOCAL, BOARD = "local:", "qemu:mps2-an386"
OBJECTIVES = {LOCAL: "latency_ms", BOARD: "instructions"}
LIMITS = {
    ("kws", LOCAL): "size_bytes <= 64000",
    ("kws", BOARD): "ram_bytes <= 16384",
    ("proxyless", LOCAL): "size_bytes <= 2250000",
    ("proxyless", BOARD): "ram_bytes <= 131072",
}
SPACES = {
    ("kws", LOCAL): {
        "precision": ["int8", "fp32"],
        "precision:*/3": ["int8", "fp32"],
        "engine": ["onnxruntime", "litert"],
    },
    ("kws", BOARD): {
        "precision": ["int8", "int8-per-tensor"],
        "ranges": ["mse", "min-max"],
        "max_ram": [40000, 14000, 11000],
    },
    ("proxyless", LOCAL): {
        "precision": ["int8", "fp32"],
        "precision:*/3": ["int8", "fp32"],
        "resolution": [80, 96, 112, 128],
    },
    ("proxyless", BOARD): {"precision": ["int8", "int8-per-tensor"], "resolution": [64, 80, 96, 112]},
}
COLUMNS = (
    "model",
    "device",
    "workers",
    "seed",
    "trials",
    "failed",
    "lost",
    "repeated",
    "again",
    "front",
    "broken",
    "moved",
    "chosen",
    "s",
)
Row = dict[str, Any]  # Any: figures and words


def kws_recipe(folder: Path) -> Recipe:
    """DS-CNN; every fourteenth clip of the evaluation split decides."""
    with np.load(ZOO / "data" / "speech_commands_v2_test_mfcc_4890.npz") as data:
        x = data["mfcc"].astype(np.float32).reshape(-1, 49, 10, 1)
        y, calib = data["labels"].astype(np.int64), data["split_calib"].astype(bool)
    for name, chosen in (("calib", np.flatnonzero(calib)), ("eval", np.flatnonzero(~calib)[::14])):
        np.savez(folder / f"{name}.npz", x=x[chosen], y=y[chosen])
    model = ZOO / "models" / "mlperf_tiny_kws_dscnn_float.tflite"
    return Recipe(
        model, calib=str(folder / "calib.npz"), eval=str(folder / "eval.npz"), metric="top1", calib_samples=120
    )


def proxyless_recipe(folder: Path) -> Recipe:
    """ProxylessNAS w0.25; the first 100 images decide."""
    from pyarrow import parquet

    parquet.write_table(
        parquet.read_table(ZOO / "data" / "imagenet_val_300_227px.parquet").slice(0, 100), folder / "eval.parquet"
    )
    given: dict[str, object] = {"model": ZOO / "models" / "proxyless_w025_r112_imagenet.onnx", "calib_samples": 32}
    given |= {"calib": str(ZOO / "data" / "imagenet_train_125_224px_calib.parquet")}
    given |= {"eval": str(folder / "eval.parquet")}
    return load_recipe(ROOT / "tests" / "data" / "recipes" / "proxyless_w025.toml", given)


MODELS = {"kws": kws_recipe, "proxyless": proxyless_recipe}


def write_recipe(path: Path, recipe: Recipe, case: tuple[str, str], seed: int, evaluations: int) -> None:
    device = case[1]
    search = {
        "device": [device],
        "objectives": ["accuracy", OBJECTIVES[device]],
        "limits": [LIMITS[case]],
        "evaluations": evaluations,
        "seed": seed,
    }
    lines = [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in search.items()]
    lines += [
        "[search.space]",
        *(f"{json.dumps(name)} = {json.dumps(values)}" for name, values in SPACES[case].items()),
    ]
    path.write_text("\n".join([recipe_text(recipe), "[search]", *lines, ""]), encoding="utf-8")


@dataclass(frozen=True)
class Found:
    """The result of a search, its trials, and those that measured its front again."""

    result: Row
    trials: list[Any]  # Any: Optuna's trials
    again: list[Any]


def search_alone(path: Path, evaluations: int, kills: int) -> Found:
    """One worker, killed so many times."""
    for _ in range(kills):
        target = len(records_of(path)) + max(1, evaluations // (kills + 1))
        process = start_search(path)
        wait_for(lambda target=target: len(records_of(path)) >= target, process)
        kill(process)
    return found_in(str(path.with_suffix(".search.db")), start_search(path))


def search_with_postgresql(path: Path, evaluations: int, kills: int) -> Found:
    """Two workers on one study, one of whom is killed."""
    with postgresql() as url:
        stays, goes = (start_search(path, "--storage", url) for _ in range(2))
        with contextlib.closing(open_storage(url)) as storage:
            wait_for(lambda: runs_a_trial(storage.optuna, goes.pid, evaluations // 3), goes)
        kill(goes)
        return found_in(url, stays)


def search_with_dask(path: Path, evaluations: int, kills: int) -> Found:
    """Two workers of a cluster, one of whom is killed."""
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Cluster(Path(folder))) as cluster:
        workers = [cluster.add_worker() for _ in range(2)]
        process = start_search(path, "--scheduler", cluster.address)
        wait_for(lambda: len(records_of(path)) >= evaluations // 3, process)
        workers[1].kill()
        return found_in(str(path.with_suffix(".search.db")), process)


WORKERS: dict[str, Callable[[Path, int, int], Found]] = {
    "alone": search_alone,
    "postgresql": search_with_postgresql,
    "dask": search_with_dask,
}


def wait_for(claim: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not claim():
        if process.poll() is not None:
            raise SystemExit(f"the search ended before it was killed: {process.communicate()[1]}")
        time.sleep(0.02)


def records_of(path: Path) -> list[Path]:
    return list((path.with_suffix(".search") / "records").rglob("*.json"))


def runs_a_trial(storage: Any, process: int, finished: int) -> bool:  # Any: Optuna's storage
    """Whether a process runs a trial now, and so many are over."""
    import optuna

    try:
        trials = optuna.load_study(study_name="search", storage=storage).trials
    except KeyError:  # nobody has made it yet
        return False
    owners = [trial.system_attrs.get("edgert:owner") for trial in trials if not trial.state.is_finished()]
    return len(trials) - len(owners) >= finished and process in [owner["process"] for owner in owners if owner]


def found_in(storage: str, process: subprocess.Popen[str]) -> Found:
    """Waits for the end of a search and reads its studies."""
    import optuna

    out, err = process.communicate()
    if process.returncode not in {0, 1}:
        raise SystemExit(err)
    names = ("search", "search (front measured again)")
    with contextlib.closing(open_storage(storage)) as opened:
        search, again = (optuna.load_study(study_name=name, storage=opened.optuna).trials for name in names)
    return Found(dict(json.loads(out)), search, again)


def run_one(model: str, recipe: Recipe, device: str, seed: int, arguments: argparse.Namespace, folder: Path) -> Row:
    path = folder / f"{model}-{device.partition(':')[0]}-{seed}.toml"
    case = (model if model in MODELS else "proxyless", device)
    write_recipe(path, recipe, case, seed, arguments.evaluations)
    start_s = time.monotonic()
    found = WORKERS[arguments.workers](path, arguments.evaluations, arguments.kills)
    wall_s = time.monotonic() - start_s
    numbers = {trial.number for trial in found.trials if trial.state.is_finished()}
    choices = [[json.dumps(trial.params, sort_keys=True) for trial in trials] for trials in (found.trials, found.again)]
    worked = sum(trial.state.name == "COMPLETE" for trial in (*found.trials, *found.again))
    objective = OBJECTIVES[device]
    quantity, bound = LIMITS[case].split(" <= ")
    front, chosen = found.result["front"], found.result["chosen"]
    moved = [abs(point["again"][objective] / point["first"][objective] - 1) for point in front]
    figures = chosen["again"] if chosen else {}
    return {
        "model": model,
        "device": device,
        "workers": arguments.workers,
        "seed": seed,
        "trials": len(found.trials),
        "failed": len(found.result["failures"]),
        "lost": len(set(range(arguments.evaluations)) - numbers),
        "repeated": sum(len(listed) - len(set(listed)) for listed in choices),
        "again": len(records_of(path)) - worked,
        "front": len(front),
        "broken": sum(point["again"][quantity] > float(bound) for point in front),
        "moved": max(moved, default=0.0),
        "chosen": {
            "accuracy": figures.get("accuracy"),
            objective: figures.get(objective),
            quantity: figures.get(quantity),
        },
        "s": wall_s,
    }


def cell(value: Any) -> str:  # Any: a figure or words
    if isinstance(value, dict):
        return ", ".join(f"{name} {figure:.4g}" for name, figure in value.items() if figure is not None)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, help="a recipe that takes the place of the zoo's models")
    parser.add_argument("--model", choices=MODELS)
    parser.add_argument("--device", choices=OBJECTIVES)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=8)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--workers", choices=WORKERS, default="alone")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: list[Row] = []
    print(" | ".join(COLUMNS))
    with tempfile.TemporaryDirectory(prefix="edgert-real-loop-") as name:
        folder = Path(name)
        if arguments.table:
            recipes = {arguments.table.stem: load_recipe(arguments.table, {})}
        else:
            recipes = {name: make(folder) for name, make in MODELS.items() if arguments.model in {None, name}}
        for model, recipe in recipes.items():
            for device in [arguments.device] if arguments.device else OBJECTIVES:
                for seed in range(arguments.seeds):
                    rows.append(run_one(model, recipe, device, seed, arguments, folder))
                    print(" | ".join(cell(rows[-1][column]) for column in COLUMNS), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
