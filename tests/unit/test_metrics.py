"""Metrics against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgert.errors import DataError, RecipeError
from edgert.runtime.postprocess import Classification, Detections, Raw, build_postprocess
from edgert_converters.data import BoxLabels, Label
from edgert_converters.metrics import METRICS, load_metric
from edgert_converters.metrics.transcript import edit_distance, greedy_ctc

BOX = np.array([[0, 0, 10, 10]], np.float32)


def _value(name: str, pairs: list[tuple[object, Label]], weights: list[float] | None = None) -> float:
    metric = METRICS[name]
    records = [metric.record(result, label) for result, label in pairs]  # type: ignore[arg-type]
    return metric.estimator(records)(np.array(weights or [1.0] * len(records)))


def _scores(*values: float) -> Classification:
    scores = np.array(values, np.float32)
    return Classification(scores, np.argsort(-scores, kind="stable"))


def _raw(values: object) -> Raw:
    return Raw({"y": np.asarray(values)[None]})


def _found(boxes: object, scores: list[float], class_ids: list[int]) -> Detections:
    array = np.asarray(boxes, np.float32).reshape(-1, 4)
    return Detections(array, np.asarray(scores, np.float32), np.asarray(class_ids, np.int64))


def _truth(boxes: object, class_ids: list[int], crowd: list[bool] | None = None) -> BoxLabels:
    array = np.asarray(boxes, np.float32).reshape(-1, 4)
    return BoxLabels(array, np.asarray(class_ids, np.int64), np.asarray(crowd or [False] * len(class_ids), np.bool_))


def test_top1_and_top5() -> None:
    pairs: list[tuple[object, Label]] = [(_scores(*range(7)), 6), (_scores(*range(7)), 2), (_scores(*range(7)), 1)]
    assert _value("top1", pairs) == pytest.approx(100 / 3)
    assert _value("top5", pairs) == pytest.approx(200 / 3)
    assert _value("top1", pairs, [1, 0, 0]) == 100
    assert _value("top1", [(_scores(float("nan"), 1.0), 1)]) == 0
    with pytest.raises(DataError, match=r"class 9 does not exist, the model knows 0..6"):
        _value("top1", [(_scores(*range(7)), 9)])


def test_f1_is_the_mean_over_classes() -> None:
    """Classes 0 and 1: labels 0 0 1 1, answers 0 1 1 1: F1 2/3 and 4/5."""
    pairs: list[tuple[object, Label]] = [
        (_scores(1, 0, 0), 0),
        (_scores(0, 1, 0), 0),
        (_scores(0, 1, 0), 1),
        (_scores(0, 1, 0), 1),
    ]
    assert _value("f1", pairs) == pytest.approx(100 * (2 / 3 + 4 / 5) / 2)


def test_auc_counts_pairs_and_ties_half() -> None:
    """Positives 0.9, 0.5; negatives 0.5, 0.1: pairs 1, 1, 0.5, 1."""
    pairs: list[tuple[object, Label]] = [(_raw([0.9]), 1), (_raw([0.5]), 1), (_raw([0.5]), 0), (_raw([0.1]), 0)]
    assert _value("auc", pairs) == pytest.approx(87.5)
    assert _value("auc", pairs, [0, 2, 3, 0]) == pytest.approx(50)
    with pytest.raises(DataError, match="needs labels 0 and 1"):
        _value("auc", [(_raw([0.9]), 2)])


def test_map50_by_hand() -> None:
    """Two labels; detections by score right, wrong, right: precision 1 to recall 0.5, then 2/3."""
    other = BOX + 50
    result = _found(np.concatenate([BOX, BOX + 200, other]), [0.9, 0.8, 0.7], [1, 1, 1])
    truth = _truth(np.concatenate([BOX, other]), [1, 1])
    assert _value("map50", [(result, truth)]) == pytest.approx(100 * (51 + 50 * 2 / 3) / 101)


def test_map50_a_label_is_matched_once_and_classes_are_averaged() -> None:
    twice = _found(np.concatenate([BOX, BOX]), [0.9, 0.8], [0, 0])
    assert _value("map50", [(twice, _truth(BOX, [0]))]) == pytest.approx(100)  # the copy comes after full recall
    assert _value("map50", [(twice, _truth(np.concatenate([BOX, BOX]), [0, 3]))]) == pytest.approx(50)
    assert _value("map50", [(_found(BOX, [0.9], [2]), _truth(BOX, [0]))]) == 0
    assert _value("map50", [(_found([], [], []), _truth(BOX, [0]))]) == 0


def test_map50_over_images_and_with_weights() -> None:
    """The second image's false alarm has the best score: precision 1/2 everywhere."""
    pairs: list[tuple[object, Label]] = [
        (_found(BOX, [0.5], [0]), _truth(BOX, [0])),
        (_found(BOX, [0.9], [0]), _truth([], [])),
    ]
    assert _value("map50", pairs) == pytest.approx(50)
    assert _value("map50", pairs, [1, 0]) == pytest.approx(100)
    assert _value("map50", pairs, [1, 3]) == pytest.approx(25)


def test_map50_95_counts_thresholds() -> None:
    """IoU 0.8: right at 0.50 .. 0.80, seven of ten thresholds."""
    shrunk = np.array([[0, 0, 10, 8]], np.float32)
    assert _value("map50_95", [(_found(shrunk, [0.9], [0]), _truth(BOX, [0]))]) == pytest.approx(70)


def test_a_crowd_region_is_neither_right_nor_wrong() -> None:
    crowd = np.array([[100, 100, 200, 200]], np.float32)
    found = _found([[110, 110, 120, 120], [0, 0, 10, 10]], [0.9, 0.8], [0, 0])
    assert _value("map50", [(found, _truth(np.concatenate([BOX, crowd]), [0, 0], [False, True]))]) == pytest.approx(100)
    assert _value("map50", [(found, _truth(BOX, [0]))]) == pytest.approx(50)


def test_mean_iou() -> None:
    """Labels 0 0 1 1 (and one ignored), answers 0 1 1 1: IoU 1/2 and 2/3."""
    answers = np.array([[0, 1, 1, 1, 0]])
    scores = np.stack([answers == 0, answers == 1]).astype(np.float32)
    truth = np.array([[0, 0, 1, 1, 255]])
    assert _value("mean_iou", [(_raw(scores), truth)]) == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)
    with pytest.raises(DataError, match=r"need labels int\[H, W\]"):
        _value("mean_iou", [(_raw(scores), np.zeros((2, 2)))])


def test_mse_and_psnr() -> None:
    pairs: list[tuple[object, Label]] = [(_raw([1.0, 2.0]), np.array([1.0, 4.0])), (_raw([0.0]), np.array([0.0]))]
    assert _value("mse", pairs) == pytest.approx(1.0)
    assert _value("psnr", [(_raw([0.1, 0.0]), np.array([0.0, 0.1]))]) == pytest.approx(20)
    assert _value("psnr", [(_raw([0.0]), np.array([255], np.uint8))]) == pytest.approx(0)
    with pytest.raises(DataError, match="the output has 2 values, the label 3"):
        _value("mse", [(_raw([1.0, 2.0]), np.zeros(3))])


def test_word_error_rate() -> None:
    text = _raw(np.frombuffer(b"the cat sat", np.uint8).astype(np.int32))
    assert _value("word_error_rate", [(text, "The cat has sat")]) == pytest.approx(25)
    assert edit_distance("kitten", "sitting") == 3
    scores = np.eye(29)[[4, 4, 0, 4, 1, 2]]
    assert greedy_ctc(scores) == "cc a"
    assert _value("word_error_rate", [(_raw(scores), "cc b")]) == pytest.approx(50)
    with pytest.raises(DataError, match="labels must be text"):
        _value("word_error_rate", [(text, 3)])


def test_a_metric_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_metric_for_test.py").write_text(
        "def error(result, label):\n    return abs(float(result.scores[0]) - label)\nerror.higher_is_better = False\n"
        "def nan(result, label):\n    return float('nan')\n"
    )
    monkeypatch.chdir(tmp_path)
    metric = load_metric("my_metric_for_test:error")
    assert not metric.higher_is_better
    assert metric.estimator([metric.record(_scores(0.25, 1), 1)])(np.ones(1)) == pytest.approx(0.75)
    with pytest.raises(DataError, match="must return a finite number"):
        load_metric("my_metric_for_test:nan").record(_scores(0.25, 1), 1)
    with pytest.raises(RecipeError, match="unknown metric 'psmr'; did you mean 'psnr'"):
        load_metric("psmr")


def test_metrics_say_what_is_missing() -> None:
    with pytest.raises(DataError, match="needs boxes; add postprocess steps"):
        _value("map50", [(_raw([1.0]), _truth(BOX, [0]))])
    with pytest.raises(DataError, match="labels must be boxes, got int"):
        _value("map50", [(_found(BOX, [0.9], [0]), 3)])
    with pytest.raises(DataError, match="needs one output of class scores"):
        _value("top1", [(Raw({"a": np.zeros((1, 2)), "b": np.zeros((1, 2))}), 1)])


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_estimates_from_equal_weights_what_it_estimates_from_copies(name: str) -> None:
    rng = np.random.default_rng(0)
    metric = METRICS[name]
    samples: list[tuple[object, Label]] = []
    for i in range(6):
        if name.startswith("map50"):
            boxes = rng.integers(0, 3, (4, 1)) * 20.0 + BOX
            samples.append(
                (
                    _found(boxes + rng.uniform(0, 2, boxes.shape), list(rng.random(4)), [0, 1, 0, 1]),
                    _truth(boxes[:2], [0, 1]),
                )
            )
        elif name == "mean_iou":
            samples.append((_raw(rng.random((3, 4, 4))), rng.integers(0, 3, (4, 4))))
        elif name in {"mse", "psnr"}:
            samples.append((_raw(rng.random(4)), rng.random(4)))
        elif name == "word_error_rate":
            samples.append((_raw(rng.integers(97, 100, 9)), "a b c"))
        elif name == "auc":
            samples.append((_raw(rng.random(1)), i % 2))
        else:
            samples.append((_scores(*rng.random(6)), i % 3))
    records = [metric.record(result, label) for result, label in samples]  # type: ignore[arg-type]
    doubled = metric.estimator(records + records)(np.ones(12))
    assert metric.estimator(records)(np.full(6, 2.0)) == pytest.approx(
        doubled, abs=0.5 if name.startswith("map") else 1e-9
    )


def test_default_metric_by_label() -> None:
    from edgert_converters.metrics import choose_metric

    class Labelled:
        has_labels = True
        name = "labelled"

        def __init__(self, label: Label) -> None:
            self.label = label

        def __len__(self) -> int:
            return 1

        def digest(self, index: int) -> str:
            return ""

        def sample(self, index: int) -> Labelled:
            return self

    detector = build_postprocess([{"op": "yolo"}, {"op": "nms"}])
    plain = build_postprocess([])
    cases = [(3, plain, "top1"), (_truth(BOX, [0]), detector, "map50_95"), ("hi", plain, "word_error_rate")]
    cases += [(np.zeros((4, 4), np.int64), plain, "mean_iou"), (np.zeros(4), plain, "mse")]
    for label, postprocess, expected in cases:
        metric = choose_metric(Labelled(label), postprocess)  # type: ignore[arg-type]
        assert metric is not None
        assert metric.name == expected
    assert choose_metric(Labelled(3), detector) is None  # type: ignore[arg-type]
