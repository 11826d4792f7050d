"""Pre-processing steps: formulas, geometry, strictness."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgert.errors import DataError, RecipeError
from edgert.runtime.preprocess import PREPROCESS_STEPS, build_preprocess
from edgert.runtime.resize import resize_bilinear
from edgert.runtime.steps import describe_arguments

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)
FLOAT32_STEPS = 2e-3  # 255 in float32 with two passes of a few taps


@pytest.mark.parametrize(("height", "width"), [(37, 53), (80, 61), (20, 30), (37, 10), (1, 1)])
def test_resize_without_antialias_equals_opencv_linear(height: int, width: int) -> None:
    expected = cv2.resize(IMAGE.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(resize_bilinear(IMAGE, height, width, antialias=False), expected, atol=FLOAT32_STEPS)


@pytest.mark.parametrize(("height", "width"), [(80, 61), (20, 30), (7, 5), (36, 52)])
def test_resize_with_antialias_is_the_triangle_filter(height: int, width: int) -> None:
    def weights(source: int, size: int) -> np.ndarray:
        step = source / size
        support = max(step, 1.0)
        matrix = np.zeros((size, source))
        for o in range(size):
            for i in range(source):
                matrix[o, i] = max(0.0, 1 - abs(i - ((o + 0.5) * step - 0.5)) / support)
        return matrix / matrix.sum(axis=1, keepdims=True)

    expected = np.einsum("yi,xj,ijc->yxc", weights(37, height), weights(53, width), IMAGE.astype(np.float64))
    np.testing.assert_allclose(resize_bilinear(IMAGE, height, width, antialias=True), expected, atol=FLOAT32_STEPS)


def test_a_flat_image_stays_flat() -> None:
    flat = np.full((50, 40, 3), 200, np.uint8)
    for antialias in (False, True):
        np.testing.assert_allclose(resize_bilinear(flat, 17, 91, antialias=antialias), 200, rtol=1e-6)


def test_classifier_steps_give_nchw_with_batch_axis() -> None:
    steps = [
        {"op": "resize_shorter", "size": 32},
        {"op": "center_crop", "height": 32, "width": 32},
        {"op": "normalize", "mean": [10.0, 20.0, 30.0], "std": [1.0, 2.0, 4.0]},
        {"op": "layout", "to": "NCHW"},
    ]
    values, geometry = build_preprocess(steps)(IMAGE)
    assert values.shape == (1, 3, 32, 32)
    assert values.dtype == np.float32
    resized = resize_bilinear(IMAGE, 32, 46, antialias=False)[:, 7:39]
    np.testing.assert_allclose(values[0, 2], (resized[..., 2] - 30) / 4, rtol=1e-5)
    assert geometry.input_size == (32, 32)


def test_no_steps_only_add_the_batch_axis() -> None:
    values, _ = build_preprocess([])(np.arange(4, dtype=np.float32))
    np.testing.assert_array_equal(values, [[0, 1, 2, 3]])


@pytest.mark.parametrize(
    "steps",
    [
        [{"op": "letterbox", "height": 64, "width": 64}],
        [{"op": "letterbox", "height": 20, "width": 80, "align": "top-left"}],
        [{"op": "resize", "height": 24, "width": 99}],
        [{"op": "resize_shorter", "size": 30}, {"op": "center_crop", "height": 28, "width": 30}],
    ],
)
def test_geometry_maps_boxes_back(steps: list[dict[str, object]]) -> None:
    """A bright square is found in the input where the geometry says it went."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[12:24, 20:32] = 255
    values, geometry = build_preprocess(steps)(image)
    rows, columns = np.nonzero((values[0, ..., 0] > 127) & (values[0, ..., 0] != 114))
    box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    np.testing.assert_allclose(geometry.to_original(box), [[20, 12, 32, 24]], atol=1.5)


def test_boxes_are_clipped_to_the_original_image() -> None:
    _, geometry = build_preprocess([{"op": "letterbox", "height": 64, "width": 64}])(IMAGE)
    np.testing.assert_array_equal(geometry.to_original(np.array([[-90, -90, 900, 900]], np.float32)), [[0, 0, 53, 37]])


def test_letterbox_fills_the_border() -> None:
    values, _ = build_preprocess([{"op": "letterbox", "height": 64, "width": 64, "fill": [1.0, 2.0, 3.0]}])(IMAGE)
    np.testing.assert_array_equal(values[0, 0, 0], [1, 2, 3])


def test_colors() -> None:
    bgr, _ = build_preprocess([{"op": "color", "to": "bgr"}])(IMAGE)
    np.testing.assert_array_equal(bgr[0, ..., 0], IMAGE[..., 2])
    gray, _ = build_preprocess([{"op": "color", "to": "gray"}])(IMAGE)
    assert gray.shape == (1, 37, 53, 1)
    np.testing.assert_allclose(gray[0, ..., 0], IMAGE @ np.array([0.299, 0.587, 0.114]), rtol=1e-5)


def test_cast_rounds_and_saturates() -> None:
    values, _ = build_preprocess([{"op": "cast", "to": "int8"}])(np.array([-300.0, 0.5, 1.5, 300.0]))
    np.testing.assert_array_equal(values, [[-128, 0, 2, 127]])
    assert values.dtype == np.int8


def test_scale_reshape_flatten() -> None:
    steps = [{"op": "scale", "factor": 2.0, "offset": 1.0}, {"op": "reshape", "shape": [2, 2, 1]}]
    values, _ = build_preprocess(steps)(np.arange(4))
    np.testing.assert_array_equal(values, [[[[1], [3]], [[5], [7]]]])
    flat, _ = build_preprocess([{"op": "flatten"}])(values[0])
    assert flat.shape == (1, 4)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"op": "resise", "height": 1, "width": 1}, r"step 1: unknown op 'resise'; did you mean 'resize'"),
        ({"height": 1}, "the key op is missing"),
        ("resize", "expected a table with the key 'op'"),
        ({"op": "resize", "height": 8, "widht": 8}, r"\(resize\): unknown argument 'widht'; did you mean 'width'"),
        ({"op": "resize", "height": 8}, "argument 'width' is missing"),
        ({"op": "resize", "height": 0, "width": 8}, "'height' must be a whole number of at least 1, got 0"),
        ({"op": "resize", "height": True, "width": 8}, "'height' must be a whole number"),
        ({"op": "resize", "height": 8, "width": 8, "antialias": 1}, "'antialias' must be of type bool"),
        ({"op": "color", "to": "hsv"}, "'to' must be one of rgb, bgr, gray"),
        ({"op": "normalize", "mean": [], "std": [1.0]}, "'mean' must be a list that is not empty"),
        ({"op": "normalize", "mean": [0.0], "std": [float("nan")]}, "'std' must be a finite number"),
        ({"op": "normalize", "mean": [0.0], "std": [0.0]}, "std must not hold 0"),
        ({"op": "normalize", "mean": [0.0, 1.0], "std": [1.0]}, "mean has 2 values and std 1"),
    ],
)
def test_wrong_steps_are_refused_by_name(step: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_preprocess([step])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"op": "center_crop", "height": 99, "width": 9}], "cannot crop 99x9 from an image of 37x53"),
        (
            [{"op": "layout", "to": "NCHW"}, {"op": "normalize", "mean": [1.0, 2.0, 3.0], "std": [1.0, 1.0, 1.0]}],
            "before the layout",
        ),
        ([{"op": "reshape", "shape": [4, 4]}], r"cannot reshape \(37, 53, 3\)"),
        ([{"op": "flatten"}, {"op": "resize", "height": 4, "width": 4}], "expected an image"),
    ],
)
def test_images_that_do_not_fit_are_refused(steps: list[dict[str, object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_preprocess(steps)(IMAGE)


def test_arguments_can_be_listed_for_the_documentation() -> None:
    assert describe_arguments(PREPROCESS_STEPS["resize"]) == {
        "height": "int",
        "width": "int",
        "antialias": "bool = False",
    }
