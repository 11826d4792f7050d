"""edgert.toml: what it may hold, how flags override it, and the message for every mistake."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from edgert.errors import RecipeError
from edgert.recipe import RangeMethod, Recipe
from edgert.recipe_file import OPTIONS, load_recipe, parse_shape
from edgert.recipe_values import Kind
from edgert.runtime.postprocess import POSTPROCESS_STEPS
from edgert.runtime.preprocess import PREPROCESS_STEPS
from edgert.runtime.steps import describe_arguments

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "tests" / "data" / "recipes").glob("*.toml"))
DOCUMENT = ROOT / "docs" / "recipe.md"
FULL = """
schema = 1
target = ["raspberry-pi-5", "host"]
output = "net.edge"
[model]
path = "net.onnx"
layout = "nchw"
trust_pickle = true
shape = { image = [1, 3, 320, 320] }
[data]
calib = "cal.npz"
eval = "my_data:samples"
labels = ["a", "b"]
calib_samples = 64
seed = 3
[quantize]
precision = ["int8", "fp16"]
ranges = "percentile"
percentile = 99.9
float_layer = ["/stem/*"]
requantize = true
[gate]
metric = "top5"
metric_output = "logits"
max_drop = 2
strict = true
[[preprocess]]
op = "layout"
to = "NCHW"
[[postprocess]]
op = "softmax"
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "edgert.toml"
    path.write_text(text)
    return path


def test_every_key(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, FULL), {})
    assert recipe == Recipe(
        model=tmp_path / "net.onnx",
        targets=("raspberry-pi-5", "host"),
        output=tmp_path / "net.edge",
        shapes={"image": (1, 3, 320, 320)},
        layout="nchw",
        calib=str(tmp_path / "cal.npz"),
        eval="my_data:samples",
        metric="top5",
        metric_output="logits",
        max_drop_points=2.0,
        strict=True,
        precisions=("int8", "fp16"),
        ranges=RangeMethod.PERCENTILE,
        percentile=99.9,
        float_layers=("/stem/*",),
        calib_samples=64,
        requantize=True,
        trust_pickle=True,
        seed=3,
        labels=("a", "b"),
        preprocess=({"op": "layout", "to": "NCHW"},),
        postprocess=({"op": "softmax"},),
    )


def test_flags_override_the_file(tmp_path: Path) -> None:
    overrides = {
        "model": Path("other.onnx"),
        "targets": ["host"],
        "max_drop_points": 0.5,
        "calib": "c.npz",
        "strict": None,
    }
    overrides |= {"shapes": [("image", (1, 3, 8, 8))], "precisions": ["fp16"], "ranges": "entropy"}
    recipe = load_recipe(_write(tmp_path, FULL), overrides)
    assert recipe.model == Path("other.onnx")
    assert recipe.targets == ("host",)
    assert recipe.max_drop_points == 0.5
    assert recipe.calib == "c.npz"
    assert recipe.strict
    assert recipe.shapes == {"image": (1, 3, 8, 8)}
    assert recipe.precisions == ("fp16",)
    assert recipe.ranges is RangeMethod.ENTROPY


def test_no_file_gives_the_defaults_of_the_table(tmp_path: Path) -> None:
    recipe = load_recipe(None, {"model": tmp_path / "net.onnx"})
    assert recipe == Recipe(model=tmp_path / "net.onnx")
    for option in OPTIONS:
        assert getattr(recipe, option.field) == option.default, option.flag


def test_the_table_covers_the_recipe_once() -> None:
    fields = [option.field for option in OPTIONS]
    expected = {field.name for field in dataclasses.fields(Recipe)} - {"model", "preprocess", "postprocess"}
    assert sorted(fields) == sorted(expected)
    assert len({option.flag for option in OPTIONS}) == len(OPTIONS)
    for option in OPTIONS:
        assert option.flag == "--" + option.key.replace("_", "-")


def test_labels_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cat\n\ndog\n")
    recipe = load_recipe(_write(tmp_path, 'schema = 1\n[data]\nlabels = "names.txt"\n[model]\npath = "m.onnx"\n'), {})
    assert recipe.labels == ("cat", "dog")


MODEL = 'schema = 1\n[model]\npath = "m.onnx"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = 2\n", r"edgert.toml: schema is 2, this edgert reads 'schema = 1'"),
        ("[gate]\n", "schema is None"),
        ("schema = 1\n", "edgert.toml: no model is named"),
        ("schema = [", "not valid TOML"),
        ("schema = 1\ntargets = []\n", r"edgert.toml: top level: unknown key 'targets'; did you mean 'target'"),
        ("schema = 1\n[quantise]\n", "unknown key 'quantise'; did you mean 'quantize'"),
        (MODEL + "[gate]\nmax_dorp = 1\n", r"\[gate\]: unknown key 'max_dorp'; did you mean 'max_drop'"),
        (MODEL + "[gate]\nmax_drop = '1'\n", r"\[gate\]: max_drop: must be a number of at least 0, got '1'"),
        (MODEL + "[gate]\nmax_drop = nan\n", "must be a number"),
        (MODEL + "[gate]\nstrict = 1\n", "strict: must be true or false, got 1"),
        (MODEL + "[gate]\nmetric = ''\n", "metric: must be text that is not empty"),
        (MODEL + "[quantize]\nranges = 'percentil'\n", "ranges: unknown value 'percentil'; did you mean 'percentile'"),
        (MODEL + "[quantize]\nprecision = ['in8']\n", "precision: unknown value 'in8'; did you mean 'int8'"),
        (MODEL + "[quantize]\npercentile = 10\n", "must be above 50 and at most 100, got 10"),
        (MODEL + "[data]\ncalib_samples = 1.5\n", "calib_samples: must be a whole number of at least 0, got 1.5"),
        (MODEL + "[data]\ncalib_samples = 0\n", "must be at least 1"),
        (MODEL + "[data]\nlabels = 'absent.txt'\n", "absent.txt cannot be read as a list of class names"),
        (MODEL + "shape = {x = [1, -1]}\n", "the shape of 'x' must be whole numbers above 0"),
        (
            MODEL + "[[preprocess]]\nop = 'rezise'\n",
            r"edgert.toml: preprocess step 1: unknown op 'rezise'; did you mean 'resize'",
        ),
        (MODEL + "[[postprocess]]\nop = 'nms'\n", "edgert.toml: postprocess: nms needs a decoder"),
        (MODEL + "[preprocess]\nop = 'flatten'\n", r"must be an array of tables \(\[\[preprocess\]\]\)"),
        ("schema = 1\nmodel = 'm.onnx'\n", r"\[model\] must be a table, got 'm.onnx'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(_write(tmp_path, text), {})


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        load_recipe(tmp_path / "absent.toml", {})
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path, {})
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "bytes.toml", {})


def test_flags_are_checked_like_the_file() -> None:
    with pytest.raises(RecipeError, match="option --max-drop: must be a number of at least 0, got -1"):
        load_recipe(None, {"model": "m", "max_drop_points": -1.0})
    with pytest.raises(TypeError, match="no recipe field 'max_drop'"):
        load_recipe(None, {"model": "m", "max_drop": 1.0})


@pytest.mark.parametrize("text", ["image", "=1,2", "image=", "image=1,x", "image=0,3", "image=-1"])
def test_shapes_that_cannot_be_read(text: str) -> None:
    with pytest.raises(RecipeError, match=r"write e.g. image=1,3,320,320"):
        parse_shape(text)


def test_option_parse() -> None:
    options = {option.flag: option for option in OPTIONS}
    assert options["--shape"].parse("a=b=1,2") == ("a=b", (1, 2))
    assert options["--max-drop"].parse("0.5") == 0.5
    assert options["--calib-samples"].parse("7") == 7
    assert options["--output"].parse("x.edge") == Path("x.edge")
    assert options["--target"].is_repeatable
    assert options["--strict"].kind is Kind.FLAG
    with pytest.raises(RecipeError, match="option --seed: must be a whole number, got 'x'"):
        options["--seed"].parse("x")
    with pytest.raises(RecipeError, match="did you mean 'min-max'"):
        options["--ranges"].parse("minmax")


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_recipes_of_real_models_load(path: Path) -> None:
    recipe = load_recipe(path, {"model": Path("model.onnx")})
    assert recipe.preprocess
    assert recipe.postprocess


def test_the_document_names_every_key_step_and_argument() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for option in OPTIONS:
        assert f"`{option.flag}`" in text
        assert f"`{option.key}`" in text
    _, _, steps_text = text.partition("\n## Pre")
    for steps in (PREPROCESS_STEPS, POSTPROCESS_STEPS):
        for name, function in steps.items():
            row = next((line for line in steps_text.splitlines() if line.startswith(f"| `{name}` |")), "")
            assert row, f"step {name} is not documented"
            for argument in describe_arguments(function):
                assert f"`{argument}" in row, f"argument {argument} of step {name} is not documented"


def test_the_examples_in_the_document_load(tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        assert load_recipe(_write(tmp_path, example), {}).postprocess
