"""The committed network of `edgert demo` is what apps/digits/README.md says it is."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import edgert.demo
from edgert.recipe_file import load_recipe
from edgert.runtime.preprocess import build_preprocess

FOLDER = Path(edgert.demo.__file__).parent


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(onnx.load(FOLDER / "digits.onnx"), strict_mode=True)


def count_macs(model: onnx.ModelProto) -> int:
    weights = {w.name: tuple(w.dims) for w in model.graph.initializer}
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.value_info}
    total = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            total += int(np.prod(weights[node.input[1]])) * int(np.prod(shapes[node.output[0]][2:]))
        elif node.op_type == "Gemm":
            total += int(np.prod(weights[node.input[1]]))
    return total


def preprocessed(name: str) -> np.ndarray:
    preprocess = build_preprocess(edgert.demo.PREPROCESS)
    with np.load(FOLDER / name) as data:
        return np.concatenate([preprocess(image)[0] for image in data["x"]])


def test_network_has_the_stated_macs(model: onnx.ModelProto) -> None:
    assert count_macs(model) == 23_421_568


def test_network_takes_any_batch_of_32x32_and_has_opset_18(model: onnx.ModelProto) -> None:
    (image,), (logits,) = model.graph.input, model.graph.output
    axes = image.type.tensor_type.shape.dim
    assert (image.name, logits.name) == ("image", "logits")
    assert [axes[0].dim_param, *(d.dim_value for d in axes[1:])] == ["batch", 1, 32, 32]
    assert [entry.version for entry in model.opset_import if not entry.domain] == [18]


def test_model_and_data_stay_small() -> None:
    assert (FOLDER / "digits.onnx").stat().st_size < 1_000_000
    assert sum((FOLDER / name).stat().st_size for name in ("digits_calib.npz", "digits_eval.npz")) < 1_000_000


def test_model_file_tells_nothing_about_the_computer_it_was_made_on(model: onnx.ModelProto) -> None:
    raw = (FOLDER / "digits.onnx").read_bytes()
    assert b"stack_trace" not in raw
    assert b"/site-packages/" not in raw


def test_accuracy_on_the_held_out_split_is_in_the_stated_band() -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(FOLDER / "digits.onnx", options, providers=["CPUExecutionProvider"])
    with np.load(FOLDER / "digits_eval.npz") as data:
        labels = data["y"]
    images = preprocessed("digits_eval.npz")
    (logits,) = session.run(None, {"image": images})
    assert images.shape == (900, 1, 32, 32)
    assert images.dtype == np.float32
    assert np.bincount(labels, minlength=10).min() >= 80
    assert 0.975 <= np.mean(logits.argmax(axis=1) == labels) <= 0.99


def test_calibration_images_are_not_in_the_evaluation_set() -> None:
    evaluation = {image.tobytes() for image in preprocessed("digits_eval.npz")}
    calibration = preprocessed("digits_calib.npz")
    assert len(calibration) == 200
    assert not any(image.tobytes() in evaluation for image in calibration)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="recipes are read on Python 3.11 or newer only")
def test_recipe_of_the_app_names_the_committed_files_and_the_same_steps() -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "apps" / "digits" / "edgert.toml", {})
    assert recipe.model.resolve() == (FOLDER / "digits.onnx").resolve()
    assert [Path(str(spec)).resolve().name for spec in (recipe.calib, recipe.eval)] == [
        "digits_calib.npz",
        "digits_eval.npz",
    ]
    assert recipe.preprocess == edgert.demo.PREPROCESS
