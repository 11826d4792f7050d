"""Real models, converted and measured for a search: on this computer and on an emulated microcontroller."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgert import cli
from edgert.bundle import Bundle
from edgert.devices.names import Device
from edgert.dtypes import DType
from edgert.errors import DeviceError, RecipeError
from edgert.profiler.board_record import BoardRecord
from edgert.profiler.record import Record
from edgert.profiler.record_files import load_any_record
from edgert.recipe import Recipe
from edgert.recipe_file import load_recipe
from edgert.search.compression import CompressionEvaluator, compression_problem, make_compression
from edgert.search.evaluator import Evaluation
from edgert.search.goals import Quantity
from edgert.search.problem import Problem, ProblemRequest

ROOT = Path(__file__).parents[2]
LOCAL, BOARD = "local:", "qemu:mps2-an386"
ON_BOARD = (Quantity.ACCURACY, Quantity.INSTRUCTIONS, Quantity.RAM_BYTES)
DURATION_S = 0.2
Make = Callable[..., Problem]


@pytest.fixture(scope="module")
def kws(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Speech commands through DS-CNN, on every fourteenth clip of the evaluation split."""
    folder = tmp_path_factory.mktemp("kws")
    with np.load(zoo / "data" / "speech_commands_v2_test_mfcc_4890.npz") as data:
        x = data["mfcc"].astype(np.float32).reshape(-1, 49, 10, 1)
        y, calib = data["labels"].astype(np.int64), data["split_calib"].astype(bool)
    for name, chosen in (("calib", np.flatnonzero(calib)[:60]), ("eval", np.flatnonzero(~calib)[::14])):
        np.savez(folder / f"{name}.npz", x=x[chosen], y=y[chosen])
    model = zoo / "models" / "mlperf_tiny_kws_dscnn_float.tflite"
    return Recipe(model, calib=str(folder / "calib.npz"), eval=str(folder / "eval.npz"), metric="top1")


@pytest.fixture(scope="module")
def proxyless(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """ProxylessNAS on the first 30 images."""
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path_factory.mktemp("proxyless")
    sources = {"calib": ("imagenet_train_125_224px_calib", 6), "eval": ("imagenet_val_300_227px", 30)}
    for name, (source, count) in sources.items():
        parquet.write_table(
            parquet.read_table(zoo / "data" / f"{source}.parquet").slice(0, count), folder / f"{name}.parquet"
        )
    given = {"model": zoo / "models" / "proxyless_w025_r112_imagenet.onnx"}
    given |= {name: str(folder / f"{name}.parquet") for name in sources}
    return load_recipe(ROOT / "tests" / "data" / "recipes" / "proxyless_w025.toml", given)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def on_local(kws: Recipe, work: Path) -> Problem:
    space = {
        "precision": ("fp32", "int8", "fp16"),
        "precision:*/4": ("int8", "fp32"),
        "engine": ("onnxruntime", "litert"),
    }
    pytest.importorskip("ai_edge_litert")
    quantities = (Quantity.ACCURACY, Quantity.LATENCY_MS, Quantity.SIZE_BYTES)
    return compression_problem(kws, space, LOCAL, quantities, folder=work, duration_s=DURATION_S)


def need_board() -> None:
    for program, package in {"arm-none-eabi-gcc": "gcc-arm-none-eabi", "qemu-system-arm": "qemu-system-arm"}.items():
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} (Debian package {package})")


def choose(problem: Problem, **values: str | int) -> dict[str, str | int | float]:
    """The first value of every dimension, but for these."""
    return {name: values.get(name, first[0]) for name, first in problem.space.dimensions.items()}


def evaluator_of(problem: Problem) -> CompressionEvaluator:
    assert isinstance(problem.evaluator, CompressionEvaluator)
    return problem.evaluator


def evaluate(problem: Problem, **values: str | int) -> Evaluation:
    return problem.evaluator.evaluate(choose(problem, **values), seed=1)


def rebuilt(evaluation: Evaluation, folder: Path) -> str:
    """SHA-256 of what `edgert convert` makes of the recipe of an evaluation."""
    (folder / "chosen.toml").write_text(str(evaluation.facts["recipe"]), encoding="utf-8")
    assert cli.main(["convert", "--recipe", str(folder / "chosen.toml"), "-o", str(folder / "net.edge")]) in {0, 1}
    return hashlib.sha256((folder / "net.edge").read_bytes()).hexdigest()


def test_float_against_int8_on_this_computer(on_local: Problem) -> None:
    full = evaluate(on_local, precision="fp32", engine="onnxruntime")
    small = evaluate(on_local, precision="int8", engine="litert")
    assert (full.failure, small.failure) == ("", "")
    assert (full.facts["variant"], small.facts["variant"]) == ("onnx-fp32", "tflite-int8")
    assert full.measured[Quantity.ACCURACY] == pytest.approx(92.95, abs=0.1)
    assert abs(full.measured[Quantity.ACCURACY] - small.measured[Quantity.ACCURACY]) <= 1.0
    assert small.measured[Quantity.SIZE_BYTES] < 0.6 * full.measured[Quantity.SIZE_BYTES]
    for evaluation, engine in ((full, "onnxruntime"), (small, "litert")):
        record = load_any_record(Path(str(evaluation.facts["record"])))
        assert isinstance(record, Record)
        assert (record.engine.name, record.variant) == (engine, evaluation.facts["variant"])
        assert evaluation.measured[Quantity.LATENCY_MS] == record.latency.p50_ms > 0
        assert evaluation.facts["verdict"] == record.verdict.value


def test_a_group_of_layers_stays_float_and_the_recipe_rebuilds_the_bundle(on_local: Problem, tmp_path: Path) -> None:
    stage = {"precision:1/4": "fp32"}
    mixed = evaluate(on_local, precision="int8", **stage)
    with Bundle.open(Path(str(mixed.facts["bundle"]))) as bundle:
        layers = next(v for v in bundle.manifest.variants if v.id == mixed.facts["variant"]).layers
    floats = {layer.name for layer in layers if layer.macs and layer.dtype is DType.FLOAT}
    evaluator = evaluator_of(on_local)
    recipe = evaluator.recipe_of(choose(on_local, precision="int8", **stage))
    expected = {layer.name for layer in evaluator.layers if layer.macs} & set(recipe.float_layers)
    assert floats == expected
    assert 0 < len(floats) < sum(layer.macs > 0 for layer in layers)
    assert rebuilt(mixed, tmp_path) == mixed.facts["bundle_sha256"]
    assert str(mixed.facts["recipe"]).startswith("# found by edgert search\n# run it with --engine onnxruntime\n")


def test_the_same_choice_is_converted_once_and_measured_each_time(on_local: Problem) -> None:
    first = evaluate(on_local, precision="int8", engine="onnxruntime")
    bundle = Path(str(first.facts["bundle"]))
    made = bundle.stat().st_mtime_ns
    second = evaluate(on_local, precision="int8", engine="onnxruntime")
    assert bundle.stat().st_mtime_ns == made
    assert first.facts["record"] != second.facts["record"]
    for quantity in (Quantity.ACCURACY, Quantity.SIZE_BYTES):
        assert first.measured[quantity] == second.measured[quantity]


def test_a_damaged_bundle_is_made_again(on_local: Problem) -> None:
    evaluator = dataclasses.replace(evaluator_of(on_local), quantities=(Quantity.ACCURACY,))
    choice = choose(on_local, precision="int8", engine="onnxruntime")
    first = evaluator.evaluate(choice, seed=1)
    bundle = Path(str(first.facts["bundle"]))
    bundle.write_bytes(bundle.read_bytes()[:1000])
    assert evaluator.evaluate(choice, seed=1) == first
    assert hashlib.sha256(bundle.read_bytes()).hexdigest() == first.facts["bundle_sha256"]


def test_what_a_killed_conversion_left_is_removed(on_local: Problem) -> None:
    """A bundle without its facts, and the part of one: where the process ended before and after it was in place."""
    evaluator = dataclasses.replace(evaluator_of(on_local), quantities=(Quantity.ACCURACY,))
    choice = choose(on_local, precision="int8", engine="onnxruntime")
    first = evaluator.evaluate(choice, seed=1)
    bundle = Path(str(first.facts["bundle"]))
    bundle.with_suffix(".json").unlink()
    (bundle.parent / f".{bundle.name}.x1y2z3.part").write_bytes(bundle.read_bytes()[:1000])
    other = bundle.parent / ".another.edge.x1y2z3.part"
    other.touch()  # of another choice: whoever writes it may live
    assert evaluator.evaluate(choice, seed=1) == first
    names = [path.name for path in bundle.parent.iterdir() if bundle.stem in path.name]
    assert sorted(names) == [f".{bundle.stem}.lock", bundle.name, f"{bundle.stem}.json"]
    assert other.exists()


def test_what_no_file_holds_is_a_failure_with_the_converters_words(on_local: Problem) -> None:
    failed = evaluate(on_local, precision="fp16", engine="litert")
    assert failed.measured == {}
    assert "fp16 exists as ONNX only" in failed.failure


def test_a_device_that_is_away_stops_the_search(on_local: Problem) -> None:
    url = "ssh://nobody@127.0.0.1:9"
    away = dataclasses.replace(evaluator_of(on_local), device=Device(url, url))
    with pytest.raises(DeviceError, match="ssh"):
        away.evaluate(choose(on_local, precision="fp32"), seed=1)


def test_identity_follows_what_evaluations_depend_on(on_local: Problem, kws: Recipe, work: Path) -> None:
    identity = on_local.evaluator.identity
    quantities = (Quantity.ACCURACY, Quantity.LATENCY_MS, Quantity.SIZE_BYTES)

    def other(recipe: Recipe) -> str:
        space = {"precision": ("int8",)}
        problem = compression_problem(recipe, space, LOCAL, quantities, folder=work, duration_s=DURATION_S)
        return problem.evaluator.identity

    assert other(kws) == identity, "the space is no part of it"
    assert other(dataclasses.replace(kws, calib_samples=30)) != identity


def test_limits_of_a_microcontroller(kws: Recipe, work: Path, tmp_path: Path) -> None:
    need_board()
    space = {"precision": ("int8",), "max_ram": (40000, 12000, 9000)}
    problem = compression_problem(kws, space, BOARD, ON_BOARD, folder=work)
    whole, strips, failed = (evaluate(problem, max_ram=limit) for limit in (40000, 12000, 9000))
    assert (whole.failure, strips.failure) == ("", "")
    assert whole.measured[Quantity.ACCURACY] == strips.measured[Quantity.ACCURACY] == pytest.approx(92.6, abs=0.7)
    assert strips.measured[Quantity.RAM_BYTES] < 12000 < whole.measured[Quantity.RAM_BYTES] < 40000
    assert strips.measured[Quantity.INSTRUCTIONS] > whole.measured[Quantity.INSTRUCTIONS] > 1e6
    assert whole.measured[Quantity.FLASH_BYTES] > whole.measured[Quantity.SIZE_BYTES]
    assert "TOO BIG for --max-ram 9000: the smallest possible is" in failed.failure
    record = load_any_record(Path(str(whole.facts["record"])))
    assert isinstance(record, BoardRecord)
    assert record.source == "emulated"
    assert Quantity.LATENCY_MS not in whole.measured
    assert rebuilt(strips, tmp_path) == strips.facts["bundle_sha256"]


def test_another_resolution_has_fewer_macs(proxyless: Recipe, work: Path, tmp_path: Path) -> None:
    space = {"precision": ("fp32",), "resolution": (112, 80)}
    problem = compression_problem(proxyless, space, LOCAL, (Quantity.ACCURACY,), folder=work)
    macs, accuracy = [], []
    for pixels in (112, 80):
        found = evaluate(problem, resolution=pixels)
        assert found.failure == ""
        with Bundle.open(Path(str(found.facts["bundle"]))) as bundle:
            (variant,) = bundle.manifest.variants
            assert bundle.manifest.preprocess[1] == {"op": "center_crop", "height": pixels, "width": pixels}
        assert variant.inputs[0].shape[1:] == (3, pixels, pixels)
        macs.append(sum(layer.macs for layer in variant.layers))
        accuracy.append(found.measured[Quantity.ACCURACY])
        path = tmp_path / "chosen.toml"
        path.write_text(str(found.facts["recipe"]), encoding="utf-8")
        assert load_recipe(path, {}) == evaluator_of(problem).recipe_of(choose(problem, resolution=pixels))
    assert 0.45 < macs[1] / macs[0] < 0.62
    assert accuracy[0] == pytest.approx(60.0, abs=0.1), "of 30 images, one is 3.3 points"
    assert 15 < accuracy[1] < accuracy[0]


def test_a_resolution_on_a_microcontroller(proxyless: Recipe, work: Path) -> None:
    need_board()
    problem = compression_problem(proxyless, {"resolution": (64,)}, BOARD, ON_BOARD, folder=work)
    found = evaluate(problem)
    assert found.failure == ""
    with Bundle.open(Path(str(found.facts["bundle"]))) as bundle:
        variant = next(v for v in bundle.manifest.variants if v.id == found.facts["variant"])
    macs = sum(layer.macs for layer in variant.layers)
    assert 2e6 < macs < 5e6
    assert macs < found.measured[Quantity.INSTRUCTIONS] < 20 * macs
    assert found.measured[Quantity.RAM_BYTES] < 128 * 1024
    assert found.measured[Quantity.FLASH_BYTES] > found.measured[Quantity.SIZE_BYTES] > 500_000


@pytest.mark.parametrize(
    ("space", "changes", "said"),
    [
        ({"resolution": (96,)}, {}, r"resolution needs a model with one input, a square image .*found input_1"),
        ({"engine": ("tensorrt",)}, {}, "engine: host has no 'tensorrt'; it has onnxruntime, litert"),
        ({}, {"eval": None, "calib": None}, r"a search weighs accuracy; give eval in \[data\]"),
        ({}, {"model": Path("net.pt2")}, "net.pt2: a search converts .onnx and .tflite files; export the model as one"),
    ],
)
def test_what_cannot_be_searched(
    space: dict[str, tuple[int | str, ...]], changes: dict[str, Path | None], said: str, kws: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=said):
        compression_problem(
            dataclasses.replace(kws, **changes), space, LOCAL, (Quantity.ACCURACY,), folder=tmp_path / "work"
        )


def test_a_problem_from_a_recipe_file(kws: Recipe, tmp_path: Path) -> None:
    """As a worker elsewhere makes it: from a request that went through JSON."""
    path = tmp_path / "edgert.toml"
    path.write_text(
        f"schema = 1\n[model]\npath = {json.dumps(str(kws.model))}\n[data]\neval = {json.dumps(kws.eval)}\n"
        '[search]\nobjectives = ["accuracy", "size_bytes"]\n'
    )
    space = {"precision": ("int8",)}
    request = ProblemRequest("compression", str(path), (Quantity.ACCURACY,), duration_s=0.3, space=space)
    problem = make_compression(request, LOCAL)
    assert evaluator_of(problem).duration_s == 0.3
    assert problem.space.dimensions == {"precision": ("int8",)}
    found = evaluate(problem)
    assert found.failure == ""
    assert "record" not in found.facts, "nothing was asked for that needs the device"
    assert Path(str(found.facts["bundle"])).is_relative_to(tmp_path / "edgert.search")
