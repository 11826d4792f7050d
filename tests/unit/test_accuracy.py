"""Verification: what is measured, what whole-tensor figures hide, and real models against their known accuracy."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edgert.bundle import Gate, TensorSpec
from edgert.dtypes import DType
from edgert.errors import DataError
from edgert.recipe_file import load_recipe
from edgert.runtime.postprocess import build_postprocess
from edgert_converters.accuracy import Runner, Verification, verify
from edgert_converters.agreement import match_detections
from edgert_converters.data import load_dataset
from edgert_converters.data.sample import Array
from edgert_converters.metrics import METRICS
from edgert_converters.png import encode_png
from edgert_converters.sqnr import OutputErrorMeter, split_by_magnitude, sqnr_db

RECIPES = Path(__file__).parents[1] / "data" / "recipes"
RNG = np.random.default_rng(0)
RAW = build_postprocess([])


def _vectors(path: Path, x: np.ndarray, **labels: np.ndarray) -> object:
    np.savez(path, x=x, **labels)  # type: ignore[arg-type]
    return load_dataset(str(path), (TensorSpec("x", (None, x.shape[1]), DType.FLOAT),))


def _times(matrix: np.ndarray) -> Runner:
    return lambda inputs: {"y": inputs["x"] @ matrix}


def test_scores_lost_behind_boxes_are_seen() -> None:
    """Boxes 0..640 keep whole-tensor SQNR fine while every score is gone."""
    meter = OutputErrorMeter("head")
    for _ in range(4):
        boxes = RNG.uniform(0, 640, (1, 4, 500))
        scores = RNG.uniform(0, 1, (1, 80, 500)) ** 4
        reference = np.concatenate([boxes, scores], axis=1).astype(np.float32)
        step = np.float32(640 / 255)
        meter.add(reference, np.rint(reference / step) * step)
    result = meter.result()
    assert result.sqnr_db_mean > 45
    assert result.worst_group.sqnr_db < 1
    assert (result.worst_group.axis, result.worst_group.start, result.worst_group.stop) == (1, 4, 84)


def test_groups_lie_along_the_last_axis_too() -> None:
    reference = np.concatenate([RNG.uniform(0, 640, (1, 50, 4)), RNG.uniform(0, 1, (1, 50, 3))], axis=2)
    variant = reference * np.array([1, 1, 1, 1, 0, 0, 0])
    meter = OutputErrorMeter("head")
    meter.add(reference, variant)
    group = meter.result().worst_group
    assert (group.axis, group.start, group.stop) == (2, 4, 7)


def test_like_channels_are_not_cut() -> None:
    assert split_by_magnitude(RNG.uniform(1, 30, 64)) == [(0, 64)]
    assert split_by_magnitude(np.array([1e4, 1e4, 1.0, 1.0, 1.0])) == [(0, 2), (2, 5)]
    assert split_by_magnitude(np.zeros(5)) == [(0, 5)]


def test_dead_channels_do_not_count_but_their_noise_does() -> None:
    reference = np.ones((1, 4, 10))
    reference[:, 0] = 1e-8
    lost = reference.copy()
    lost[:, 0] = 0
    meter, noisy = OutputErrorMeter("y"), OutputErrorMeter("y")
    meter.add(reference, lost)
    assert meter.result().worst_group.sqnr_db > 150
    lost[:, 0] = 1
    noisy.add(reference, lost)
    assert noisy.result().sqnr_db_mean < 5


def test_sqnr_limits() -> None:
    assert sqnr_db(100, 1) == pytest.approx(20)
    assert sqnr_db(1, 0) == 200
    assert sqnr_db(0, 1) == -200
    meter = OutputErrorMeter("y")
    assert meter.add(np.ones((1, 3)), np.array([[1, np.nan, 1]])) == -200
    assert meter.result().worst_group.sqnr_db == -200
    with pytest.raises(ValueError, match="no sample"):
        OutputErrorMeter("y").result()


def test_labelled_classifier(tmp_path: Path) -> None:
    x = RNG.normal(size=(2000, 6)).astype(np.float32)
    weights = RNG.normal(size=(6, 4)).astype(np.float32)
    labels = (x @ weights).argmax(axis=1)
    data = _vectors(tmp_path / "d.npz", x, y=labels)
    variants = {"same": _times(weights), "near": _times(weights + np.float32(1e-4)), "bad": _times(weights[:, ::-1])}
    result = verify(_times(weights), variants, data, METRICS["top1"], RAW, 1.0)  # type: ignore[arg-type]
    assert result.reference_value == 100
    assert [v.decision.gate for v in result.variants] == [Gate.PASSED, Gate.PASSED, Gate.FAILED]
    assert result.gate() is Gate.FAILED
    same, near, bad = (result.variant(name) for name in ("same", "near", "bad"))
    assert same.agreement is not None
    assert same.agreement.value == 1
    assert same.outputs[0].sqnr_db_worst == 200
    assert 40 < near.outputs[0].sqnr_db_mean < 120
    assert bad.value is not None
    assert bad.decision.drop_points == pytest.approx(100 - bad.value)
    assert result.worst_samples[0].variant == "same"
    assert [s.agree for s in result.worst_samples if s.variant == "bad"] == [0.0] * 8
    _check_json(result)


def _check_json(result: Verification) -> None:
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert set(document["reference"]) >= {"metric", "value", "n"}
    for variant in document["variants"]:
        assert set(variant) >= {
            "id",
            "value",
            "agree",
            "drop",
            "ci95",
            "gate",
            "n",
            "samples_needed",
            "sentence",
            "outputs",
        }
        for output in variant["outputs"]:
            assert set(output) >= {"name", "sqnr_db_mean", "sqnr_db_worst", "worst_group"}
            assert set(output["worst_group"]) == {"axis", "start", "stop", "sqnr_db"}


def test_without_labels_agreement_decides(tmp_path: Path) -> None:
    x = RNG.normal(size=(600, 6)).astype(np.float32)
    weights = RNG.normal(size=(6, 4)).astype(np.float32)
    data = _vectors(tmp_path / "d.npz", x)
    noisy = weights + RNG.normal(0, 0.05, weights.shape).astype(np.float32)
    variants = {"same": _times(weights), "noisy": _times(noisy), "bad": _times(-weights)}
    result = verify(_times(weights), variants, data, None, RAW, 1.0)  # type: ignore[arg-type]
    assert [v.decision.gate for v in result.variants] == [Gate.PASSED, Gate.UNDECIDED, Gate.FAILED]
    noisy_result = result.variant("noisy")
    assert noisy_result.agreement is not None
    low, high = noisy_result.agreement.ci95
    assert low < noisy_result.agreement.value < high
    assert noisy_result.agreement.n == 600
    assert "no labels, n=600: same top-1 in" in noisy_result.decision.sentence
    assert result.to_json()["reference"]["metric"] == "agreement"
    _check_json(result)


def test_without_labels_or_answers_sqnr_decides(tmp_path: Path) -> None:
    """An output of the input's own shape is a signal, not class scores."""
    x = RNG.normal(size=(40, 6)).astype(np.float32)
    data = _vectors(tmp_path / "d.npz", x)
    eye = np.eye(6, dtype=np.float32)
    variants = {"fine": _times(eye * np.float32(1.001)), "rough": _times(eye * np.float32(1.1)), "bad": _times(-eye)}
    result = verify(_times(eye), variants, data, None, RAW, 1.0)  # type: ignore[arg-type]
    assert [v.decision.gate for v in result.variants] == [Gate.PASSED, Gate.UNDECIDED, Gate.FAILED]
    assert all(v.agreement is None for v in result.variants)
    assert result.variant("rough").decision.drop_points == pytest.approx(10, rel=0.01)
    _check_json(result)


def test_a_selection_that_finds_more_or_fewer_counts_as_noise() -> None:
    meter = OutputErrorMeter("selected")
    three, one = np.full((3, 4), 2.0), np.full((1, 4), 2.0)
    assert meter.add(three, three) == 200.0
    assert meter.add(three, one) == pytest.approx(10 * np.log10(12 / 16))
    assert meter.add(np.zeros((0, 4)), np.zeros((0, 4))) == 200.0
    result = meter.result()
    assert result.sqnr_db_worst < 0
    assert result.worst_group.sqnr_db == 200.0
    never_alike = OutputErrorMeter("selected")
    never_alike.add(three, one)
    assert never_alike.result().worst_group.sqnr_db == never_alike.result().sqnr_db_worst


def test_outputs_that_differ_in_form_are_refused(tmp_path: Path) -> None:
    data = _vectors(tmp_path / "d.npz", np.ones((2, 6), np.float32))
    eye = np.eye(6, dtype=np.float32)
    with pytest.raises(DataError, match=r"variant 'v': output 'y' is of shape \[1, 3\], the reference has \[1, 6\]"):
        verify(_times(eye), {"v": _times(eye[:, :3])}, data, None, RAW)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="output 'y' is missing"):
        verify(_times(eye), {"v": lambda inputs: {}}, data, None, RAW)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="metric_output 'z' is no output of the model: y"):
        verify(_times(eye), {}, data, None, RAW, metric_output="z")  # type: ignore[arg-type]


def test_detections_match_one_to_one() -> None:
    from edgert.runtime.postprocess import Detections

    def found(*boxes: Sequence[float], classes: Sequence[int], score: float = 1.0) -> Detections:
        scores = np.full(len(boxes), score, np.float32)
        return Detections(np.array(boxes, np.float32), scores, np.array(classes))

    first = found([0, 0, 10, 10], [50, 50, 60, 60], classes=[0, 1])
    assert match_detections(first, first) == 2
    assert match_detections(first, found([0, 0, 10, 9], [0, 0, 10, 8], classes=[0, 0])) == 1
    assert match_detections(first, found([50, 50, 60, 60], classes=[0])) == 0
    assert match_detections(first, found([6, 0, 16, 10], classes=[0])) == 0
    assert match_detections(first, found([0, 0, 10, 10], classes=[0], score=0.76)) == 1
    assert match_detections(first, found([0, 0, 10, 10], classes=[0], score=0.7)) == 0


def test_png_is_a_png() -> None:
    image = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    data = encode_png(image)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", data[16:24]) == (7, 5)
    start = data.index(b"IDAT")
    length = struct.unpack(">I", data[start - 4 : start])[0]
    rows = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + length]), np.uint8).reshape(5, 22)
    np.testing.assert_array_equal(rows[:, 1:].reshape(5, 7, 3), image)


def _session(path: Path) -> tuple[Runner, tuple[TensorSpec, ...]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    inputs = tuple(
        TensorSpec(i.name, tuple(d if isinstance(d, int) else None for d in i.shape), DType.FLOAT)
        for i in session.get_inputs()
    )
    return lambda feed: dict(zip(outputs, session.run(outputs, feed), strict=True)), inputs


def _coarse(runner: Runner, steps: float) -> Runner:
    """A stand-in for an int8 variant: the input is rounded to so many steps of its range."""

    def run(inputs: dict[str, Array]) -> dict[str, Array]:
        rounded = {}
        for name, values in inputs.items():
            step = np.float32(np.ptp(values) / steps)
            rounded[name] = (np.rint(values / step) * step).astype(np.float32)
        return runner(rounded)

    return run


def _verify_zoo(zoo: Path, recipe_name: str, model: str, data: str, steps: float = 255) -> Verification:
    runner, inputs = _session(zoo / "models" / model)
    recipe = load_recipe(RECIPES / f"{recipe_name}.toml", {"model": zoo / "models" / model})
    dataset = load_dataset(str(zoo / "data" / data), inputs, recipe.preprocess, recipe.labels)
    metric = METRICS[recipe.metric] if recipe.metric else None
    postprocess = build_postprocess(recipe.postprocess)
    return verify(runner, {"coarse": _coarse(runner, steps)}, dataset, metric, postprocess, recipe.max_drop_points)


IMAGENET = "imagenet_val_300_227px.parquet"
CLASSIFIERS = [
    ("resnet20", "resnet20_cifar10.onnx", "cifar10_test_jpegdegraded_500.npz", 83.2, 500),
    ("proxyless_w025", "proxyless_w025_r112_imagenet.onnx", IMAGENET, 57.3, 300),
    pytest.param("efficientnet_lite0", "efficientnet_lite0_f16w.onnx", IMAGENET, 81.0, 300, marks=pytest.mark.slow),
]
BAND_POINTS = 0.7  # two of 300 images: another BLAS may tip a sample


@pytest.mark.parametrize(("recipe", "model", "data", "accuracy", "n"), CLASSIFIERS)
def test_real_classifiers_reach_their_accuracy(
    zoo: Path, recipe: str, model: str, data: str, accuracy: float, n: int
) -> None:
    result = _verify_zoo(zoo, recipe, model, data)
    assert result.n == n
    assert result.reference_value == pytest.approx(accuracy, abs=BAND_POINTS)
    coarse = result.variant("coarse")
    assert coarse.agreement is not None
    assert coarse.agreement.value > 0.95
    assert len(result.worst_samples) == 8
    assert all(sample.preview_png for sample in result.worst_samples)


@pytest.mark.slow
def test_nanodet_reaches_its_map(zoo: Path) -> None:
    """The manifest gives AP50 42.9 over 128 images; these are 64 of them."""
    result = _verify_zoo(zoo, "nanodet_m", "nanodet_m_320.onnx", "coco_val2017_64_416px.parquet")
    assert result.metric == "map50"
    assert result.reference_value == pytest.approx(45.5, abs=1.0)
    coarse = result.variant("coarse")
    assert coarse.value == pytest.approx(result.reference_value, abs=3)
    assert coarse.agreement is not None
    assert coarse.agreement.value > 0.9
    assert coarse.decision.lower95 < coarse.decision.drop_points < coarse.decision.upper95


def test_ultraface_boxes_lie_on_people(zoo: Path) -> None:
    """There are no face labels: more than 85 % of the faces above 0.7 have their centre in a labelled person."""
    runner, inputs = _session(zoo / "models" / "ultraface_RFB_320_nopost.onnx")
    recipe = load_recipe(RECIPES / "ultraface.toml", {"model": Path("ultraface.onnx")})
    data = load_dataset(str(zoo / "data" / "coco_val2017_64_416px.parquet"), inputs, recipe.preprocess)
    postprocess = build_postprocess(recipe.postprocess)
    inside = _count_faces(runner, data, postprocess)
    assert len(inside) > 40
    assert np.mean(inside) > 0.85


def _count_faces(runner: Runner, data: object, postprocess: Callable[..., object]) -> list[bool]:
    inside = []
    for i in range(len(data)):  # type: ignore[arg-type]
        sample = data.sample(i)  # type: ignore[attr-defined]
        found = postprocess(runner(sample.inputs), sample.geometry).above(0.7)  # type: ignore[attr-defined]
        people = sample.label.boxes[sample.label.class_ids == 0]
        for box in found.boxes:  # type: ignore[attr-defined]
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            hits = (people[:, 0] <= x) & (x <= people[:, 2]) & (people[:, 1] <= y) & (y <= people[:, 3])
            inside.append(bool(hits.any()))
    return inside
