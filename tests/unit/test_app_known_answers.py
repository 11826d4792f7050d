"""A model that answers otherwise than when it was converted is found, whatever its hashes and signatures say."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import edgert
from edgert.app.known_answers import OTHER_ENGINE_STEPS, SAME_ENGINE_STEPS, check_known_answers
from edgert.app.model import AppModel
from edgert.bundle import write_bundle
from edgert.codec import JsonValue
from edgert.errors import ModelError, WrongAnswersError
from tests import bundle_example as example

Arrays = dict[str, np.ndarray]
VARIANTS = tuple(variant.id for variant in example.variants())
SAMPLES = 3


def converted(folder: Path, variant: str) -> Arrays:
    """What a conversion puts into golden.npz: what the models in the bundle answer."""
    bundle = example.write(folder)
    inputs = np.random.default_rng(5).uniform(-1, 1, (SAMPLES, 1, 4)).astype(np.float32)
    with edgert.load(bundle, variant=variant) as session:
        outputs = np.stack([session.run(sample)["y"] for sample in inputs])
    return {"input/x": inputs, f"{variant}/y": outputs}


def written(folder: Path, arrays: Mapping[str, np.ndarray], files: dict[str, bytes] | None = None) -> Path:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    files = {**(files or example.files()), "golden.npz": buffer.getvalue()}
    return write_bundle(folder / "with-golden.edge", example.manifest(), files)


def with_other_weights(data: bytes, change: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """A file that loads and runs as before, with other numbers in its layer."""
    model = onnx.load_model_from_string(data)
    for index, tensor in enumerate(model.graph.initializer):
        if tensor.name == "w":
            changed = change(numpy_helper.to_array(tensor)).astype(np.float32)
            model.graph.initializer[index].CopyFrom(numpy_helper.from_array(changed, "w"))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_was_converted_answers_as_it_did(tmp_path: Path, variant: str) -> None:
    bundle = written(tmp_path, converted(tmp_path, variant))
    with edgert.load(bundle, variant=variant) as session:
        answers = check_known_answers(bundle, session)
    assert answers is not None
    assert (answers.samples, answers.max_steps) == (SAMPLES, 0)
    unit = "steps" if variant != "onnx-fp32" else "share of the largest value"
    assert (answers.allowed_steps, answers.unit) == (SAME_ENGINE_STEPS if unit == "steps" else 1e-4, unit)


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_weights_under_right_hashes_are_found(tmp_path: Path, variant: str) -> None:
    golden = converted(tmp_path, variant)
    files = {name: with_other_weights(data, np.flipud) for name, data in example.files().items()}
    bundle = written(tmp_path, golden, files)
    words = r"of its largest value from" if variant == "onnx-fp32" else r"is \d+ steps from"
    message = rf"the model's answers are wrong: output 'y' of sample \d is|{words} what was converted \(allowed: "
    with edgert.load(bundle, variant=variant) as session, pytest.raises(WrongAnswersError, match=message) as caught:
        check_known_answers(bundle, session)
    assert isinstance(caught.value, ModelError)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(("steps", "is_allowed"), [(SAME_ENGINE_STEPS, True), (SAME_ENGINE_STEPS + 1, False)])
def test_the_limit_is_counted_in_steps_of_the_output(tmp_path: Path, steps: float, is_allowed: bool) -> None:
    golden = converted(tmp_path, "onnx-int8")
    golden["onnx-int8/y"][1, 0, 2] += np.float32(steps * example.Y_QUANT.scale[0])
    bundle = written(tmp_path, golden)
    with edgert.load(bundle, variant="onnx-int8") as session:
        if is_allowed:
            answers = check_known_answers(bundle, session)
            assert answers is not None
            assert answers.max_steps == steps
        else:
            with pytest.raises(WrongAnswersError, match=r"output 'y' of sample 1 is 5 steps from .* \(allowed: 4\)"):
                check_known_answers(bundle, session)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((SAMPLES, 1, 3), np.nan, np.float32), r"output 'y' of sample 0 is not finite where it was"),
        (np.zeros((SAMPLES, 1, 4), np.float32), r"output 'y' has shape \[1, 3\], not shape \[1, 4\]"),
    ],
)
def test_answers_of_another_kind(tmp_path: Path, values: np.ndarray, message: str) -> None:
    bundle = written(tmp_path, {**converted(tmp_path, "onnx-fp32"), "onnx-fp32/y": values})
    with edgert.load(bundle, variant="onnx-fp32") as session, pytest.raises(WrongAnswersError, match=message):
        check_known_answers(bundle, session)


def test_an_output_that_is_gone(tmp_path: Path) -> None:
    golden = converted(tmp_path, "onnx-fp32")
    bundle = written(tmp_path, {**golden, "onnx-fp32/z": golden["onnx-fp32/y"]})
    with (
        edgert.load(bundle, variant="onnx-fp32") as session,
        pytest.raises(WrongAnswersError, match="'z' is missing, not"),
    ):
        check_known_answers(bundle, session)


def test_where_there_is_nothing_to_compare(tmp_path: Path) -> None:
    plain = tmp_path / "plain.onnx"
    plain.write_bytes(example.float_model())
    golden = converted(tmp_path, "onnx-fp32")
    no_outputs = written(tmp_path, {"input/x": golden["input/x"]})
    for path in (plain, example.write(tmp_path), no_outputs):
        with edgert.load(path) as session:
            assert check_known_answers(path, session) is None
    other = written(tmp_path, golden)
    with edgert.load(other, variant="onnx-int8") as session:
        assert check_known_answers(other, session) is None


def test_another_engine_may_differ_by_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = converted(tmp_path, "onnx-int8")
    golden["onnx-int8/y"] += np.float32((SAME_ENGINE_STEPS + 1) * example.Y_QUANT.scale[0])
    bundle = written(tmp_path, golden)
    with edgert.load(bundle, variant="onnx-int8") as session:
        facts: dict[str, JsonValue] = {**session.facts(), "providers": ["CUDAExecutionProvider"]}
        monkeypatch.setattr(session, "facts", lambda: facts)
        answers = check_known_answers(bundle, session)
    assert answers is not None
    assert (answers.max_steps, answers.allowed_steps) == (SAME_ENGINE_STEPS + 1, OTHER_ENGINE_STEPS)


def test_golden_outputs_are_given_back_whole(tmp_path: Path) -> None:
    """Infinite values that stay infinite are no difference."""
    golden = converted(tmp_path, "onnx-fp32")
    bundle = written(tmp_path, golden)
    with edgert.load(bundle, variant="onnx-fp32") as session:
        before = session.run
        session.run = lambda feeds, **_: {"y": np.where(before(feeds)["y"] > 0.3, np.inf, 1)}
        stored = np.stack([session.run(sample)["y"] for sample in golden["input/x"]])
        again = written(tmp_path, {**golden, "onnx-fp32/y": stored.astype(np.float32)})
        answers = check_known_answers(again, session)
    assert np.isinf(stored).any()
    assert answers is not None
    assert dataclasses.astuple(answers)[:2] == (SAMPLES, 0.0)


def test_a_variant_with_wrong_answers_is_not_taken(tmp_path: Path) -> None:
    golden = {**converted(tmp_path, "onnx-fp32"), **converted(tmp_path, "onnx-int8")}
    files = example.files()
    path = example.variants()[1].path
    bundle = written(tmp_path, golden, {**files, path: with_other_weights(files[path], np.negative)})
    model = AppModel(bundle, "onnx-fp32")
    assert model.check() is not None
    with pytest.raises(WrongAnswersError, match="the model's answers are wrong"):
        model.switch("onnx-int8")
    assert model.variant == "onnx-fp32"
    model.close()
