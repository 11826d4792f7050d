"""Synthetic inputs, ranges with room, and values aligned to what folded normalisations remember."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgert.bundle import Source, TensorSpec
from edgert.dtypes import DType
from edgert.errors import RecipeError
from edgert.recipe import Recipe
from edgert.recipe_file import load_recipe
from edgert_converters.batch_norm_notes import ChannelMoments, note_moments
from edgert_converters.calibration import choose_calibration, load_data
from edgert_converters.data import DataSplit
from edgert_converters.engine import load_runner
from edgert_converters.importers import ImportedModel
from edgert_converters.quantize.calibrate import expose_values
from edgert_converters.quantize.data_free import data_free_calibration
from edgert_converters.quantize.data_free.align import align_moments
from edgert_converters.quantize.data_free.images import draw_image
from edgert_converters.quantize.data_free.inputs import input_forms
from edgert_converters.quantize.data_free.margin import LARGEST_MARGIN, SMALLEST_MARGIN, widen
from edgert_converters.quantize.statistics import TensorStatistics

_TEXT = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1,3,16,16] x, float[4,3,3,3] w, float[4] b, float[5,4] w2) => (float[1,5] y)
{
    [conv] c = Conv<pads=[1,1,1,1]>(x, w, b)
    [relu] r = Relu(c)
    [pool] p = GlobalAveragePool(r)
    [flat] f = Flatten(p)
    [last] y = Gemm<transB=1>(f, w2)
}
"""
PICTURE = TensorSpec("x", (None, 3, 16, 16), DType.FLOAT)
SIGNAL = TensorSpec("s", (1, 49, 10, 1), DType.FLOAT)
TOKENS = TensorSpec("ids", (1, 8), DType.INT64)


def _silent(stage: str, done: int, total: int) -> None:
    """Progress nobody reads."""


@pytest.fixture
def model() -> ir.Model:
    rng = np.random.default_rng(0)
    made = ir.from_onnx_text(_TEXT)
    for value in list(made.graph.inputs)[1:]:
        array = rng.standard_normal(tuple(int(d) for d in value.shape or ()))
        value.const_value = ir.tensor(array.astype(np.float32), name=value.name)
        made.graph.inputs.remove(value)
        made.graph.register_initializer(value)
    infer = ir.passes.common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)
    return infer(made).model


def test_pictures_are_seeded_and_have_natural_spectra() -> None:
    first, again = (draw_image(32, 48, np.random.default_rng(4)) for _ in range(2))
    assert first.shape == (32, 48, 3)
    np.testing.assert_array_equal(first, again)
    pictures = [draw_image(64, 64, np.random.default_rng(seed)).mean(axis=2) for seed in range(12)]
    power = np.mean([np.abs(np.fft.fft2(p - p.mean())) ** 2 for p in pictures], axis=0)
    slope = np.log2(power[0, 2:4].mean() / power[0, 16:24].mean()) / 3
    assert slope > 1.0, "white noise has slope 0, natural images about 2"


def test_evolution_makes_answers_firmer_and_repeats(model: ir.Model) -> None:
    def peaks(samples: list[dict[str, np.ndarray]]) -> float:
        outputs = [load_runner(model)(sample)["y"] for sample in samples]
        return float(np.mean([output.max() - output.mean() for output in outputs]))

    drawn = [data_free_calibration(model, [PICTURE], (), (-1.0, 1.0), 7, _silent, 4) for _ in range(2)]
    samples = [list(calibration.samples()) for calibration in drawn]
    for one, two in zip(*samples, strict=True):
        np.testing.assert_array_equal(one["x"], two["x"])
    assert all(-1.0 <= s["x"].min() <= s["x"].max() <= 1.0 and s["x"].dtype == np.float32 for s in samples[0])
    rng = np.random.default_rng(7)
    (form,) = input_forms([PICTURE], (), (-1.0, 1.0))
    unevolved = [{"x": form.prepare(form.draw(rng))} for _ in range(4)]
    assert peaks(samples[0]) > 1.3 * peaks(unevolved)


def test_the_note_says_what_was_assumed(model: ir.Model) -> None:
    def note(inputs: TensorSpec, *rest: object) -> str:
        steps, known = rest or ((), None)
        return data_free_calibration(model, [inputs], steps, known, 0, _silent).note  # type: ignore[arg-type]

    assert "pictures, assumed to lie in -2 to 2.5 (say --input-range=LOW,HIGH" in note(PICTURE)
    assert "signals, assumed to lie in -3 to 3" in note(SIGNAL)
    assert "from 0 to 255 (--input-range)" in note(PICTURE, (), (0.0, 255.0))
    assert "the recipe's pre-processing" in note(PICTURE, ({"op": "layout", "to": "NCHW"},), None)
    assert "zeros, for integer inputs" in note(TOKENS)
    assert "holds no BatchNormalization statistics" in note(PICTURE)
    note_moments(next(iter(model.graph)), ChannelMoments(np.zeros(4), np.ones(4)))
    assert "1 folded normalisations say" in note(PICTURE)


def test_aligned_values_have_the_noted_moments(model: ir.Model) -> None:
    wanted = ChannelMoments(np.array([1.0, -1.0, 0.0, 2.0]), np.array([3.0, 4.0, 2.5, 4.5]))
    note_moments(next(iter(model.graph)), wanted)
    rng = np.random.default_rng(0)
    samples = [{"x": rng.standard_normal((1, 3, 16, 16)).astype(np.float32)} for _ in range(4)]
    aligned = align_moments(model, samples)
    run = load_runner(expose_values(aligned, ["c"]))
    values = np.concatenate([run(sample)["c"] for sample in samples])
    np.testing.assert_allclose(values.mean(axis=(0, 2, 3)), wanted.mean, atol=1e-3)
    np.testing.assert_allclose(values.std(axis=(0, 2, 3)), wanted.std, rtol=1e-3)


def test_room_grows_with_depth_and_stops_at_bounds(model: ir.Model) -> None:
    def seen(high: float) -> TensorStatistics:
        statistics = TensorStatistics()
        statistics.update(np.linspace(0, high, 100, dtype=np.float32).reshape(1, 4, 25), "x")
        return statistics

    wide = widen(model, {name: seen(1.0) for name in "xcy"})
    room = {name: statistics.histogram.maximum for name, statistics in wide.items()}
    assert room["x"] == 1.0, "inputs lie where they were drawn"
    assert SMALLEST_MARGIN < room["c"] < room["y"] == pytest.approx(LARGEST_MARGIN)
    means = [statistics.channel_means() for statistics in (wide["y"], seen(1.0))]
    np.testing.assert_array_equal(means[0], means[1])
    relu = next(node for node in model.graph if node.op_type == "Relu")
    relu.op_type = "Sigmoid"
    assert widen(model, {"r": seen(0.9)})["r"].histogram.maximum == pytest.approx(1.0)


@pytest.mark.parametrize("text", ["1", "2,1", "1,2,3"])
def test_an_input_range_has_two_ends(text: str, tmp_path: Path) -> None:
    ends = tuple(float(part) for part in text.split(","))
    with pytest.raises(RecipeError, match=r"two numbers, the smaller first, such as -1,1"):
        load_recipe(None, {"model": Path("net.onnx"), "input_range": ends})


def test_calibration_data_and_data_free_exclude_each_other(model: ir.Model) -> None:
    imported = ImportedModel(model, Source("net.onnx", "onnx", "0" * 64), (PICTURE,), (), (), ())
    recipe = Recipe(Path("net.onnx"), data_free=True, calib="cal.npz")
    with pytest.raises(RecipeError, match=r"--data-free takes no calibration data; leave out --calib"):
        load_data(recipe, imported)


@pytest.mark.parametrize(("precision", "made"), [("int8", True), ("fp16", False)])
def test_only_what_needs_ranges_waits_for_synthetic_inputs(model: ir.Model, precision: str, made: bool) -> None:
    imported = ImportedModel(model, Source("net.onnx", "onnx", "0" * 64), (PICTURE,), (), (), ())
    recipe = Recipe(Path("net.onnx"), precisions=(precision,))
    _, note = choose_calibration(DataSplit(None, None), imported, recipe, _silent)
    assert (note is not None) == made
