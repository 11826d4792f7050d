"""Post-processing: class scores, box decoders, suppression."""

from __future__ import annotations

import numpy as np
import pytest

from edgert.errors import ModelError, RecipeError
from edgert.runtime.geometry import Geometry
from edgert.runtime.nms import box_iou, suppress
from edgert.runtime.postprocess import Classification, Detections, Raw, as_classification, build_postprocess

SQUARE = Geometry((64, 64), (64, 64))
NMS = {"op": "nms", "iou": 0.5, "score": 0.3}


def test_softmax_and_top_k() -> None:
    logits = np.array([[1.0, 3.0, 2.0, 3.0]], np.float32)
    result = build_postprocess([{"op": "softmax"}, {"op": "top_k", "k": 3}])({"logits": logits})
    assert isinstance(result, Classification)
    np.testing.assert_array_equal(result.top, [1, 3, 2])
    np.testing.assert_allclose(result.scores, np.exp(logits[0]) / np.exp(logits[0]).sum(), rtol=1e-6)


def test_sigmoid_argmax_and_named_output() -> None:
    outputs = {"a": np.zeros((1, 3), np.float32), "b": np.array([[0.0, -200.0, 200.0]], np.float32)}
    result = build_postprocess([{"op": "sigmoid", "output": "b"}, {"op": "argmax"}])(outputs)
    assert isinstance(result, Classification)
    np.testing.assert_allclose(result.scores, [0.5, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(result.top, [2])


def test_no_steps_give_the_raw_outputs() -> None:
    outputs = {"y": np.zeros((1, 2, 2), np.float32)}
    result = build_postprocess([])(outputs)
    assert isinstance(result, Raw)
    assert result.outputs is outputs
    assert as_classification(result) is None
    vector = as_classification(Raw({"y": np.array([[0, 5]], np.float32)}))
    assert vector is not None
    assert vector.top[0] == 1


def test_yolo_boxes_come_back_in_original_pixels() -> None:
    channels = np.array([[32, 32, 10], [16, 16, 10], [16, 16, 4], [8, 8, 4], [0.9, 0.8, 0.1], [0.0, 0.1, 0.7]])
    head = channels.astype(np.float32)[None]
    geometry = Geometry((128, 128), (64, 64), (0.5, 0.5), (0.0, 0.0))
    result = build_postprocess([{"op": "yolo"}, NMS])({"head": head}, geometry)
    assert isinstance(result, Detections)
    np.testing.assert_allclose(result.boxes, [[48, 24, 80, 40], [16, 16, 24, 24]])
    np.testing.assert_array_equal(result.class_ids, [0, 1])
    np.testing.assert_allclose(result.scores, [0.9, 0.7])


def test_yolo_with_objectness_channels_last_and_normalized() -> None:
    head = np.array([[[0.5, 0.5, 0.25, 0.25, 0.5, 0.8, 0.2]]], np.float32)
    steps = [{"op": "yolo", "layout": "channels-last", "objectness": True, "normalized": True}, NMS]
    result = build_postprocess(steps)({"head": head}, SQUARE)
    assert isinstance(result, Detections)
    np.testing.assert_allclose(result.boxes, [[24, 24, 40, 40]])
    np.testing.assert_allclose(result.scores, [0.4])


def test_nanodet_pairs_heads_by_size_whatever_their_names() -> None:
    """One cell at (2, 1) of stride 32 says: distance 1 bin left, 0 up, 2 right, 1 down."""
    boxes = np.full((4, 4, 4, 8), -20.0, np.float32)
    boxes[1, 2, [0, 1, 2, 3], [1, 0, 2, 1]] = 20
    scores = np.zeros((4, 4, 5), np.float32)
    scores[1, 2, 3] = 0.9
    outputs = {"cls": boxes.reshape(16, 32), "bbox": scores.reshape(16, 5)}
    result = build_postprocess([{"op": "nanodet", "strides": [32], "classes": 5}, NMS])(
        outputs, Geometry((128, 256), (128, 128))
    )
    assert isinstance(result, Detections)
    centre = np.array([2 * 32 + 15.5, 1 * 32 + 15.5])
    np.testing.assert_allclose(result.boxes, [[centre[0] - 32, centre[1], centre[0] + 64, centre[1] + 32]], rtol=1e-5)
    np.testing.assert_array_equal(result.class_ids, [3])


def test_ssd_decodes_against_the_priors() -> None:
    """Zero offsets give the prior itself: cell (x=1, y=0) of stride 32, size 16."""
    offsets = np.zeros((1, 4, 4), np.float32)
    scores = np.zeros((1, 4, 2), np.float32)
    scores[0, 1, 1] = 0.9
    step = {"op": "ssd", "boxes": "boxes", "scores": "scores", "strides": [32], "min_boxes": [[16.0]]}
    result = build_postprocess([step, NMS])({"boxes": offsets, "scores": scores}, SQUARE)
    assert isinstance(result, Detections)
    np.testing.assert_allclose(result.boxes, [[40, 8, 56, 24]], rtol=1e-6)
    offsets[0, 1] = [10, 0, 5 * np.log(2), 0]
    moved = build_postprocess([step, NMS])({"boxes": offsets, "scores": scores}, SQUARE)
    assert isinstance(moved, Detections)
    np.testing.assert_allclose(moved.boxes, [[48, 8, 64, 24]], rtol=1e-5)  # 64 +- 16, clipped to the image


def test_iou() -> None:
    a = np.array([[0, 0, 10, 10], [5, 5, 5, 5]], np.float32)
    b = np.array([[5, 0, 15, 10], [0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(box_iou(a, b), [[1 / 3, 1, 0], [0, 0, 0]], rtol=1e-6)


def test_suppression_is_class_wise_and_keeps_the_best() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [30, 30, 40, 40]], np.float32)
    scores = np.array([0.5, 0.9, 0.8, 0.1], np.float32)
    np.testing.assert_array_equal(suppress(boxes, scores, np.array([0, 0, 1, 0]), 0.5), [1, 2, 3])
    np.testing.assert_array_equal(suppress(boxes, scores, np.zeros(4, np.int64), 0.5), [1, 3])


def test_nms_limits_and_empty() -> None:
    head = np.zeros((1, 5, 7), np.float32)
    result = build_postprocess([{"op": "yolo"}, NMS])({"y": head}, SQUARE)
    assert isinstance(result, Detections)
    assert result.boxes.shape == (0, 4)
    head[0, :4] = np.array([np.arange(7) * 9 + 4, np.full(7, 9), np.full(7, 4), np.full(7, 4)])
    head[0, 4] = np.linspace(0.4, 0.9, 7)
    few = build_postprocess([{"op": "yolo"}, {**NMS, "max_detections": 2}])({"y": head}, SQUARE)
    assert isinstance(few, Detections)
    np.testing.assert_allclose(few.scores, [0.9, 0.9 - 0.5 / 6], rtol=1e-5)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"op": "yolo"}], "needs one decoder and then one nms step, got yolo"),
        ([NMS], "nms needs a decoder before it: nanodet, ssd, yolo"),
        ([{"op": "nms"}, {"op": "yolo"}], "one decoder and then one nms"),
        ([{"op": "softmx"}], "did you mean 'softmax'"),
        (
            [{"op": "ssd", "boxes": "b", "scores": "s", "strides": [8], "min_boxes": [[1.0], [2.0]]}, NMS],
            "1 strides and 2",
        ),
    ],
)
def test_wrong_steps_are_refused(steps: list[dict[str, object]], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_postprocess(steps)


@pytest.mark.parametrize(
    ("steps", "outputs", "message"),
    [
        ([{"op": "softmax"}], {"a": (1, 2), "b": (1, 2)}, "has 2 outputs; name one: a, b"),
        ([{"op": "softmax", "output": "c"}], {"a": (1, 2)}, "no output 'c'"),
        ([{"op": "softmax"}], {"a": (1, 2, 2)}, r"expected class scores \[1, C\]"),
        ([{"op": "nanodet", "strides": [32]}, NMS], {"a": (4, 8)}, "stride 32 at input .64, 64. needs one output"),
        ([{"op": "yolo"}, NMS], {"a": (1, 4, 9)}, "4 channels leave no class score"),
        ([{"op": "yolo"}, NMS], {"a": (4,)}, "expected an output"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(
    steps: list[dict[str, object]], outputs: dict[str, tuple[int, ...]], message: str
) -> None:
    arrays = {name: np.zeros(shape, np.float32) for name, shape in outputs.items()}
    with pytest.raises(ModelError, match=message):
        build_postprocess(steps)(arrays, SQUARE)


def test_boxes_need_geometry() -> None:
    with pytest.raises(ModelError, match="geometry"):
        build_postprocess([{"op": "yolo"}, NMS])({"y": np.zeros((1, 5, 1), np.float32)})
