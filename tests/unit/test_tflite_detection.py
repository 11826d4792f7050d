"""TFLite_Detection_PostProcess as ONNX nodes, against LiteRT's kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flatbuffers import flexbuffers

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert_converters.importers.tflite_file import build_onnx
from edgert_converters.tflite.model import TfModel, TfOperator, TfSubgraph, TfTensor
from tests.tflite_graphs import params, run_imported, run_litert, write

BOXES, CLASSES = 60, 5
TOLERANCE = 1e-4
OPTIONS: dict[str, Any] = {
    "max_detections": 10,
    "max_classes_per_detection": 1,
    "detections_per_class": 7,
    "use_regular_nms": False,
    "nms_score_threshold": 0.3,
    "nms_iou_threshold": 0.5,
    "num_classes": CLASSES,
    "y_scale": 10.0,
    "x_scale": 10.0,
    "h_scale": 5.0,
    "w_scale": 5.0,
}


def detector(background: int = 1, integers: bool = False, anchors: bool = True, **options: Any) -> TfModel:
    rng = np.random.default_rng(0)
    centres, sizes = rng.uniform(0, 1, (BOXES, 2)), rng.uniform(0.1, 0.5, (BOXES, 2))
    prior = np.concatenate([centres, sizes], axis=1).astype(np.float32)
    kind = DType.UINT8 if integers else DType.FLOAT
    prior = np.rint(prior * 256).clip(1, 255).astype(np.uint8) if integers else prior
    tensors = (
        TfTensor("boxes", (1, BOXES, 4), kind, quant=params(0.05, 128, kind) if integers else None),
        TfTensor(
            "scores", (1, BOXES, CLASSES + background), kind, quant=params(1 / 256, 0, kind) if integers else None
        ),
        TfTensor("anchors", (BOXES, 4), kind, prior if anchors else None, params(2**-8, 0, kind) if integers else None),
        *(TfTensor(name, (), DType.FLOAT) for name in ("y", "classes", "best", "count")),
    )
    stored = bytes(flexbuffers.Dumps({**OPTIONS, **options}))
    operator = TfOperator(
        "TFLite_Detection_PostProcess", (0, 1, 2), (3, 4, 5, 6), is_custom=True, custom_options=stored
    )
    return TfModel((TfSubgraph(tensors, (operator,), (0, 1), (3, 4, 5, 6)),))


def inputs(seed: int, background: int = 1) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    codes = rng.normal(size=(1, BOXES, 4)).astype(np.float32)
    return codes, rng.uniform(0, 1, (1, BOXES, CLASSES + background)).astype(np.float32)


def compare(found: list[Any], expected: list[Any], per_box: int) -> None:
    assert [array.shape for array in found] == [array.shape for array in expected]
    np.testing.assert_array_equal(found[3], expected[3])
    rows = int(expected[3][0]) * per_box
    for got, wanted in zip(found[:3], expected[:3], strict=True):
        np.testing.assert_allclose(got[0, :rows], wanted[0, :rows], rtol=0, atol=TOLERANCE)
        assert not got[0, rows:].any()


@pytest.mark.parametrize("regular", [False, True])
@pytest.mark.parametrize("per_box", [1, 3])
@pytest.mark.parametrize("background", [0, 1])
@pytest.mark.parametrize("threshold", [0.3, 0.93, 2.0])
def test_detections_are_those_of_litert(regular: bool, per_box: int, background: int, threshold: float) -> None:
    model = detector(
        background, max_classes_per_detection=per_box, use_regular_nms=regular, nms_score_threshold=threshold
    )
    data = write(model.subgraphs[0])
    for seed in range(3):
        codes, scores = inputs(seed, background)
        expected = run_litert(data, codes, scores)
        compare(run_imported(model, codes, scores), expected, 1 if regular else per_box)


def test_integer_inputs() -> None:
    model = detector(integers=True)
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 256, (1, BOXES, 4)).astype(np.uint8)
    # all different, so that the order of equal scores decides nothing
    scores = rng.permutation(np.repeat(np.arange(0, 240, 4), CLASSES + 1))[: BOXES * (CLASSES + 1)]
    scores = scores.reshape(1, BOXES, CLASSES + 1).astype(np.uint8)
    scores[0, :, 1] = rng.permutation(np.arange(196, 256))
    expected = run_litert(write(model.subgraphs[0]), codes, scores)
    real = ((codes.astype(np.float32) - 128) * np.float32(0.05), scores.astype(np.float32) / 256)
    compare(run_imported(model, *real), expected, 1)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (detector(num_classes=0), "TFLite_Detection_PostProcess: its options are damaged"),
        (detector(max_detections="many"), "TFLite_Detection_PostProcess: its options are damaged .ValueError"),
        (detector(num_classes=9), r"scores of shape \[1, 60, 6\] do not hold 9 classes"),
        (detector(anchors=False), "its anchors must be a constant"),
    ],
)
def test_a_detector_that_cannot_be_read(model: TfModel, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        build_onnx(model)


def test_a_detector_with_an_output_too_few() -> None:
    model = detector()
    graph = model.subgraphs[0]
    operator = replace(graph.operators[0], outputs=(3, 4, 5))
    with pytest.raises(ModelError, match="it must have 3 inputs and 4 outputs"):
        build_onnx(replace(model, subgraphs=(replace(graph, operators=(operator,), outputs=(3, 4, 5)),)))
