"""TFLite's custom operator TFLite_Detection_PostProcess as ONNX nodes: decoded boxes, NonMaxSuppression, gathers.

Boxes are encoded as (y, x, h, w) against anchors of the same form:

    y = y_code / y_scale * h_anchor + y_anchor,  h = exp(h_code / h_scale) * h_anchor, and so for x and w

The fast form suppresses by each anchor's best score, whatever its class; the regular one class by class. Rows behind
the last detection are zero here; TFLite leaves them as they were.

Source: tensorflow/lite/kernels/detection_postprocess.cc.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgert.errors import ModelError
from edgert_converters.tflite.layout import identity

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator, TfSubgraph

__all__ = ["DETECTION", "read_detection", "with_detection_shapes"]

DETECTION = "TFLite_Detection_PostProcess"
_MOST = 1 << 20
_DAMAGED = (ValueError, TypeError, KeyError, IndexError, OverflowError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class _Options:
    max_detections: int
    classes: int
    classes_per_detection: int
    detections_per_class: int
    regular: bool
    score: float
    iou: float
    scales: tuple[float, float, float, float]

    @property
    def rows(self) -> int:
        """Detections that the outputs have room for."""
        return self.max_detections * self.classes_per_detection


def read_detection(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds the nodes for boxes [1, M, 4], classes [1, M], scores [1, M] and the number of detections [1].

    Raises:
        ModelError: the options are damaged, or the shapes do not fit each other.
    """
    options = _read_options(operator)
    if len(operator.inputs) != 3 or len(operator.outputs) != 4 or min(operator.inputs) < 0:
        raise graph.error(operator, "it must have 3 inputs and 4 outputs; the file is damaged")
    boxes = _decoded(graph, operator, options)
    shape = graph.shape(operator.inputs[1])
    if len(shape) != 3 or shape[0] != 1 or not 0 < options.classes <= shape[2]:
        raise graph.error(operator, f"scores of shape {list(shape)} do not hold {options.classes} classes for batch 1")
    offset = shape[2] - options.classes  # the background comes first
    scores = graph.plain(operator.inputs[1])
    if offset:
        scores = graph.add("Slice", [scores, graph.ints((offset,)), graph.ints((shape[2],)), graph.ints((2,))])
    select = _regular if options.regular else _fast
    found = select(graph, options, boxes, scores)
    count = graph.add("Shape", [found[1]], {"start": 0, "end": 1})
    missing = graph.add("Sub", [graph.ints((options.rows,)), count])
    zero = graph.ints((0,))
    for output, (value, rank) in enumerate(zip(found, (2, 1, 1), strict=True)):
        pads = graph.add("Concat", [zero] * rank + [missing] + [zero] * (rank - 1), {"axis": 0})
        padded = graph.add("Pad", [value, pads])
        batched = graph.add("Unsqueeze", [padded, graph.ints((0,))])
        graph.finish(operator, batched, identity(rank + 1), output=output, activation="NONE")
    if not options.regular:  # boxes are counted, each has a row per class
        count = graph.add("Div", [count, graph.ints((options.classes_per_detection,))])
    graph.finish(operator, graph.add("Cast", [count], {"to": 1}), identity(1), output=3, activation="NONE")


def with_detection_shapes(graph: TfSubgraph) -> TfSubgraph:
    """Returns the graph with the shapes of detections, which converters leave out, on the outputs of this operator."""
    tensors = list(graph.tensors)
    for operator in graph.operators:
        if operator.name == DETECTION and operator.is_custom and len(operator.outputs) == 4:
            rows = _read_options(operator).rows
            for index, shape in zip(operator.outputs, ((1, rows, 4), (1, rows), (1, rows), (1,)), strict=True):
                tensors[index] = replace(tensors[index], shape=shape, signature=None)
    return replace(graph, tensors=tuple(tensors))


def _read_options(operator: TfOperator) -> _Options:
    from flatbuffers import flexbuffers

    try:
        loaded: Any = flexbuffers.Loads(operator.custom_options)  # Any: numbers and booleans
        found: Mapping[str, Any] = loaded
        options = _Options(
            max_detections=int(found["max_detections"]),
            classes=int(found["num_classes"]),
            classes_per_detection=int(found.get("max_classes_per_detection", 1)),
            detections_per_class=int(found.get("detections_per_class", 100)),
            regular=bool(found.get("use_regular_nms", False)),
            score=float(found["nms_score_threshold"]),
            iou=float(found["nms_iou_threshold"]),
            scales=tuple(float(found[f"{axis}_scale"]) for axis in "yxhw"),  # type: ignore[arg-type]  # four of them
        )
    except _DAMAGED as error:
        raise ModelError(f"{DETECTION}: its options are damaged ({type(error).__name__}: {error})") from error
    counts = (options.max_detections, options.classes, options.classes_per_detection, options.detections_per_class)
    if not all(0 < count < _MOST for count in counts) or not all(scale > 0 for scale in options.scales):
        raise ModelError(f"{DETECTION}: its options are damaged: {options}")
    return replace(options, classes_per_detection=min(options.classes_per_detection, options.classes))


def _decoded(graph: ImportGraph, operator: TfOperator, options: _Options) -> ir.Value:
    """Returns the corners [1, N, 4] as (y_min, x_min, y_max, x_max)."""
    codes, anchors = graph.plain(operator.inputs[0]), graph.real_constant(operator.inputs[2])
    if anchors is None or anchors.ndim != 2 or anchors.shape[1] != 4:
        raise graph.error(operator, "its anchors must be a constant of shape [N, 4]")
    centre, size = np.asarray(anchors[:, :2], np.float32), np.asarray(anchors[:, 2:], np.float32)
    scales = np.asarray(options.scales, np.float32)
    parts = graph.add("Split", [codes], {"axis": 2, "num_outputs": 2}, outputs=2)
    moves, stretches = parts.producer().outputs  # type: ignore[union-attr]  # it was just made
    shift = graph.add("Mul", [moves, graph.initializer("anchor_step", size / scales[:2])])
    middle = graph.add("Add", [shift, graph.initializer("anchor_centre", centre)])
    growth = graph.add("Exp", [graph.add("Mul", [stretches, graph.initializer("code_step", 1 / scales[2:])])])
    half = graph.add("Mul", [growth, graph.initializer("anchor_half", size / np.float32(2))])
    corners = [graph.add("Sub", [middle, half]), graph.add("Add", [middle, half])]
    return graph.add("Concat", corners, {"axis": 2})


def _suppressed(graph: ImportGraph, options: _Options, boxes: ir.Value, scores: ir.Value, most: int) -> ir.Value:
    """Returns [S, 3] with batch, class and box of what stays; `scores` is [1, classes, N]."""
    # ONNX keeps scores above the threshold, TFLite those that reach it
    threshold = np.nextafter(np.float32(options.score), np.float32(-np.inf))
    limits = [
        graph.ints((most,)),
        graph.initializer("iou", np.asarray([options.iou], np.float32)),
        graph.initializer("score", np.asarray([threshold], np.float32)),
    ]
    return graph.add("NonMaxSuppression", [boxes, scores, *limits])


def _column(graph: ImportGraph, rows: ir.Value, column: int) -> ir.Value:
    return graph.add("Gather", [rows, graph.initializer("column", np.asarray(column, np.int64))], {"axis": 1})


def _fast(
    graph: ImportGraph, options: _Options, boxes: ir.Value, scores: ir.Value
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Returns boxes [S, 4], classes [S] and scores [S] of anchors that survive by their best score."""
    kept = options.classes_per_detection
    best = graph.add("TopK", [scores, graph.ints((kept,))], {"axis": 2}, outputs=2)
    classes = best.producer().outputs[1]  # type: ignore[union-attr]  # it was just made
    first = graph.add("ReduceMax", [scores, graph.ints((2,))], {"keepdims": 0})
    by_anchor = graph.add("Unsqueeze", [first, graph.ints((1,))])
    survivors = _column(graph, _suppressed(graph, options, boxes, by_anchor, options.max_detections), 2)
    flat = graph.ints((-1,))
    one = graph.add("Unsqueeze", [graph.add("Gather", [_rows(graph, boxes), survivors]), graph.ints((1,))])
    each = graph.add("Tile", [one, graph.ints((1, kept, 1))])
    picked = [graph.add("Gather", [_rows(graph, value), survivors]) for value in (classes, best)]
    numbers, values = (graph.add("Reshape", [value, flat]) for value in picked)
    return graph.add("Reshape", [each, graph.ints((-1, 4))]), graph.add("Cast", [numbers], {"to": 1}), values


def _regular(
    graph: ImportGraph, options: _Options, boxes: ir.Value, scores: ir.Value
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Returns boxes [S, 4], classes [S] and scores [S]: the best of what survives within each class."""
    by_class = graph.add("Transpose", [scores], {"perm": (0, 2, 1)})
    survivors = _suppressed(graph, options, boxes, by_class, options.detections_per_class)
    values = graph.add("GatherND", [by_class, survivors])
    room = graph.add("Min", [graph.add("Shape", [values]), graph.ints((options.max_detections,))])
    best = graph.add("TopK", [values, room], {"axis": 0}, outputs=2)
    order = best.producer().outputs[1]  # type: ignore[union-attr]  # it was just made
    chosen = graph.add("Gather", [survivors, order])
    corners = graph.add("Gather", [_rows(graph, boxes), _column(graph, chosen, 2)])
    return corners, graph.add("Cast", [_column(graph, chosen, 1)], {"to": 1}), best


def _rows(graph: ImportGraph, value: ir.Value) -> ir.Value:
    return graph.add("Squeeze", [value, graph.ints((0,))])
