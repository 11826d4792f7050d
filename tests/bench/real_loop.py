"""Searches over precision and resolution of real models on real and emulated devices, killed on the way.

    python -m tests.bench.real_loop [--table FILE.toml] [--model kws|proxyless] [--device local:|qemu:mps2-an386]
                                    [--seeds 10] [--evaluations 8] [--kills 3] [--json FILE]

Each row is one `edgert search` as a user starts it: killed with SIGKILL so many times, each time after another record
was written, and started again; every candidate is converted, judged on data and run. `lost` are trials that the study
does not hold at the end, `repeated` choices that it holds twice, `again` measurements that a kill met between the
record and the study and that were therefore run once more (at most one a kill). `broken` are points of the final front
beyond the limit by the second measurement, `moved` by how much the second measurement of the objective differs at most
from the first. `chosen` is the knee. FILE.toml is a recipe without [search] that takes the
place of the zoo's models. Needs the zoo (EDGERT_ZOO), the extras search and parquet, for microcontrollers
gcc-arm-none-eabi and qemu-system-arm.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgert.recipe import Recipe
from edgert.recipe_file import load_recipe
from edgert.recipe_text import recipe_text
from tests.search.processes import kill, start_search

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


def search_killed(path: Path, evaluations: int, kills: int) -> Row:
    """Runs a search that is killed so many times, and returns its result."""
    records = path.with_suffix(".search") / "records"
    for _ in range(kills):
        target = len(list(records.rglob("*.json"))) + max(1, evaluations // (kills + 1))
        process = start_search(path)
        while len(list(records.rglob("*.json"))) < target:
            if process.poll() is not None:
                raise SystemExit(f"the search ended before it was killed: {process.communicate()[1]}")
            time.sleep(0.01)
        kill(process)
    process = start_search(path)
    out, err = process.communicate()
    if process.returncode not in {0, 1}:
        raise SystemExit(err)
    return dict(json.loads(out))


def study_of(path: Path) -> tuple[list[Any], list[Any]]:
    """The trials of the search, and of the study that measured its front again."""
    import optuna

    url = f"sqlite:///{path.with_suffix('.search.db')}"
    names = ("search", "search (front measured again)")
    search, again = (optuna.load_study(study_name=name, storage=url).trials for name in names)
    return search, again


def run_one(model: str, recipe: Recipe, device: str, seed: int, arguments: argparse.Namespace, folder: Path) -> Row:
    path = folder / f"{model}-{device.partition(':')[0]}-{seed}.toml"
    case = (model if model in MODELS else "proxyless", device)
    write_recipe(path, recipe, case, seed, arguments.evaluations)
    start_s = time.monotonic()
    found = search_killed(path, arguments.evaluations, arguments.kills)
    wall_s = time.monotonic() - start_s
    search, again = study_of(path)
    choices = [json.dumps(trial.params, sort_keys=True) for trial in search]
    worked = sum(trial.state.name == "COMPLETE" and trial.values is not None for trial in (*search, *again))
    records = len(list((path.with_suffix(".search") / "records").rglob("*.json")))
    objective = OBJECTIVES[device]
    quantity, bound = LIMITS[case].split(" <= ")
    front, chosen = found["front"], found["chosen"]
    moved = [abs(point["again"][objective] / point["first"][objective] - 1) for point in front]
    figures = chosen["again"] if chosen else {}
    return {
        "model": model,
        "device": device,
        "seed": seed,
        "trials": len(search),
        "failed": len(found["failures"]),
        "lost": arguments.evaluations - len(search),
        "repeated": len(choices) - len(set(choices)),
        "again": records - worked,
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
