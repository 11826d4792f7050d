"""`--precision auto` through the converter: the digits network, whole and with one place that ruins int8."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import edgert
from edgert.bundle import Bundle, Gate
from edgert.demo import PREPROCESS
from edgert.errors import UsageError
from edgert.plugins import ConvertResult
from edgert.recipe import Algorithm, Recipe
from edgert_converters.command import CONVERTER
from edgert_converters.repair import cost, loop

DEMO = Path(edgert.__file__).parent / "demo"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the algorithms: these tests are about what comes after them, and it takes a fraction of the time."""
    monkeypatch.setattr(loop, "CHAIN", ())


def _convert(model: Path, output: Path, **changes: object) -> ConvertResult:
    with np.load(DEMO / "digits_eval.npz") as data:
        np.savez(output.with_suffix(".npz"), **{name: values[:120] for name, values in data.items()})
    fields: dict[str, object] = {
        "calib": str(DEMO / "digits_calib.npz"),
        "eval": str(output.with_suffix(".npz")),
        "preprocess": PREPROCESS,
        "calib_samples": 16,
        "precisions": ("auto",),
        "targets": ("raspberry-pi-5",),
        "algorithms": (Algorithm.NONE,),
    }
    recipe = Recipe(model=model, output=output, **(fields | changes))  # type: ignore[arg-type]
    return CONVERTER.convert(recipe, lambda *_: None)


def _spoil(path: Path) -> Path:
    """Makes one channel in the middle 400 times too large and lets the next convolution read it so much less."""
    model = onnx.load(DEMO / "digits.onnx")
    first, second = [node for node in model.graph.node if node.op_type == "Conv"][3:5]
    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, place in (
        (first.input[1], np.s_[0]),
        (first.input[2], np.s_[0]),
        (second.input[1], np.s_[:, 0]),
    ):
        values = numpy_helper.to_array(arrays[name]).copy()
        values[place] *= np.float32(1 / 400 if name == second.input[1] else 400)
        arrays[name].CopyFrom(numpy_helper.from_array(values, name))
    onnx.save(model, path)
    return path


def test_what_is_good_at_once_stays_int8_and_says_so(tmp_path: Path) -> None:
    result = _convert(DEMO / "digits.onnx", tmp_path / "net.edge", max_drop_points=4.0)
    assert result.gate is Gate.PASSED
    with Bundle.open(result.written[0]) as bundle:
        assert bundle.manifest.default_variant == "onnx-auto"
        report = json.loads(bundle.read("report.json"))
        assert {"onnx-auto", "tflite-auto"} <= {variant.id for variant in bundle.manifest.variants}
    (step,) = report["repair"]["steps"]
    assert (step["step"], step["kept"], step["cost_unit"]) == ("plain int8", True, "MACs x bytes")
    assert report["repair"]["stopped"] == "the gate is content (the samples that decide were asked 1 times)"


def test_a_spoilt_channel_is_repaired_step_by_step(tmp_path: Path) -> None:
    result = _convert(_spoil(tmp_path / "spoilt.onnx"), tmp_path / "net.edge", max_drop_points=2.0)
    assert result.gate is not Gate.FAILED
    with Bundle.open(result.written[0]) as bundle:
        report = json.loads(bundle.read("report.json"))
    steps = report["repair"]["steps"]
    looked = [step["agree"] for step in steps if step["agree"] is not None]
    assert looked[0] < 0.9, "plain int8 answers like another network"
    assert looked[-1] > 0.97
    assert sum(step["kept"] for step in steps) >= 2
    assert any(line.startswith(f"auto: {steps[1]['step']} (") for line in result.messages if steps[1]["kept"])


def test_nothing_suffices_is_a_failed_gate_with_the_best_found_in_the_bundle(tmp_path: Path) -> None:
    result = _convert(DEMO / "digits.onnx", tmp_path / "net.edge", metric="agreement", max_drop_points=0.0, strict=True)
    assert result.gate is Gate.FAILED
    assert any("nothing that was tried satisfies the gate" in line for line in result.messages)
    with Bundle.open(result.written[0]) as bundle:
        assert bundle.manifest.default_variant == "onnx-fp32"
        assert "onnx-auto" in {variant.id for variant in bundle.manifest.variants}


def test_what_is_slower_than_float_here_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost.WorkCost, "__call__", lambda *_: cost.Cost(2.0, "ms in onnxruntime here", 2.0, True))
    result = _convert(DEMO / "digits.onnx", tmp_path / "net.edge")
    with Bundle.open(result.written[0]) as bundle:
        assert {variant.id for variant in bundle.manifest.variants} == {"onnx-fp32", "tflite-fp32"}
    assert any("2.00x the time of float on the target, so float is shipped" in line for line in result.messages)
    assert result.gate is not Gate.FAILED


def test_this_computer_is_measured(tmp_path: Path) -> None:
    result = _convert(DEMO / "digits.onnx", tmp_path / "net.edge", targets=("host",))
    with Bundle.open(result.written[0]) as bundle:
        (step,) = json.loads(bundle.read("report.json"))["repair"]["steps"]
    assert step["cost_unit"] == "ms in onnxruntime here"
    assert step["cost"] > 0


def test_without_data_there_is_nothing_to_repair(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--precision auto repairs what data shows; give --calib CAL\.npz"):
        _convert(DEMO / "digits.onnx", tmp_path / "net.edge", calib=None, eval=None)
    assert not (tmp_path / "net.edge").exists()


def test_a_quantized_model_starts_from_float_only_on_request(tmp_path: Path) -> None:
    first = _convert(DEMO / "digits.onnx", tmp_path / "net.onnx", precisions=("int8",))
    with pytest.raises(UsageError, match=r"net\.onnx is quantized already and --precision auto .*add --requantize"):
        _convert(first.written[0], tmp_path / "again.edge")
