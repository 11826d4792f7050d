"""A recipe written as text is read back as the same recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgert.recipe import Algorithm, RangeMethod, Recipe
from edgert.recipe_file import OPTIONS, load_recipe
from edgert.recipe_text import recipe_text

RECIPES = sorted((Path(__file__).parents[1] / "data" / "recipes").glob("*.toml"))
FULL = Recipe(
    model=Path('/models/net "1".onnx'),
    targets=("raspberry-pi-5", "host"),
    output=Path("/out/net.edge"),
    shapes={"image": (1, 3, 320, 320), "second input": (1, 4)},
    layout="nchw",
    calib="/data/cal.npz",
    eval="my_data:samples",
    metric="top5",
    metric_output="logits\x7f\n",
    max_drop_points=2.5,
    strict=True,
    precisions=(),
    formats=("onnx", "tflite"),
    float_io=True,
    ranges=RangeMethod.PERCENTILE,
    percentile=99.9,
    algorithms=(Algorithm.NONE,),
    float_layers=("/stem/*", "conv\\1"),
    time_limit_s=1e-05,
    max_ram_bytes=65536,
    calib_samples=64,
    input_range=(-1.0, 1.0),
    requantize=True,
    trust_pickle=True,
    seed=3,
    labels=("a", "ü # b"),
    preprocess=({"op": "normalize", "mean": [127.5], "std": [0.5]}, {"op": "layout", "to": "NCHW"}),
    postprocess=({"op": "softmax"}, {"op": "top_k", "k": 3}),
)


def read_back(recipe: Recipe, folder: Path) -> Recipe:
    path = folder / "edgert.toml"
    path.write_text(recipe_text(recipe, ["made by a test"]), encoding="utf-8")
    return load_recipe(path, {})


def test_every_field(tmp_path: Path) -> None:
    unset = {option.field for option in OPTIONS if getattr(FULL, option.field) == option.default}
    assert unset == {"data_free"}, "goes with no calibration data"
    assert read_back(FULL, tmp_path) == FULL
    assert read_back(Recipe(Path("/m.onnx"), data_free=True), tmp_path) == Recipe(Path("/m.onnx"), data_free=True)


def test_only_what_is_no_default_stands_there() -> None:
    assert recipe_text(Recipe(Path("/m.onnx"))) == 'schema = 1\n\n[model]\npath = "/m.onnx"\n'


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_real_recipes(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path, {"model": tmp_path / "net.onnx"})
    assert read_back(recipe, tmp_path) == recipe


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = read_back(Recipe(Path("net.onnx"), calib="cal", eval="data.yaml#val"), tmp_path)
    assert (found.model, found.calib, found.eval) == (
        tmp_path / "net.onnx",
        str(tmp_path / "cal"),
        str(tmp_path / "data.yaml#val"),
    )
