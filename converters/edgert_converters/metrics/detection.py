"""Mean average precision of boxes, in the manner of COCO: 101-point interpolation, at most 100 detections per image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.runtime.nms import box_iou
from edgert.runtime.postprocess import Detections, Result
from edgert_converters.data.sample import BoxLabels, Label
from edgert_converters.metrics.metric import Estimator, Record, expect_boxes, expect_detections

__all__ = ["MAP50", "MAP50_95", "MeanAveragePrecision"]

_MAX_DETECTIONS = 100
_RECALLS = np.linspace(0, 1, 101)
_LABEL_ROW = -1.0


@dataclass(frozen=True, slots=True)
class MeanAveragePrecision:
    """Mean over the classes that are labelled, and over the IoU thresholds, of the average precision, in percent.

    Source: Lin et al., Microsoft COCO, 2014, arXiv 1405.0312, and its published evaluation: detections of an image are
    matched best score first, each to the free label of its class with the highest IoU at or above the threshold;
    precision is made monotone and read at recalls 0, 0.01, ..., 1. Crowd regions swallow what lies in them.
    """

    name: str
    thresholds: tuple[float, ...]
    unit: str = "%"
    higher_is_better: bool = True
    points_per_unit: float | None = 1.0

    def record(self, result: Result, label: Label) -> Record:
        """[R, 2 + T]: a row per detection (class, score, per threshold 1 right, 0 wrong, NaN ignored) and per label."""
        found, truth = expect_detections(result, self.name), expect_boxes(label, self.name)
        class_ids = np.union1d(found.class_ids, truth.class_ids)
        rows = [self._rows_of_class(found, truth, int(class_id)) for class_id in class_ids]
        return np.concatenate([np.zeros((0, 2 + len(self.thresholds))), *rows])

    def estimator(self, records: Sequence[Record]) -> Estimator:
        """Sorts once; a call only re-weights."""
        image = np.repeat(np.arange(len(records)), [len(record) for record in records])
        table = np.concatenate(records)
        by_class = [_class_estimator(table[rows], image[rows]) for rows in _rows_by_class(table)]

        def estimate(weights: NDArray[np.float64]) -> float:
            values = [value for value in (average(weights) for average in by_class) if value is not None]
            return float(100 * np.mean(values)) if values else 0.0

        return estimate

    def sample_values(self, records: Sequence[Record]) -> None:
        """None: mAP is no mean over samples."""

    def _rows_of_class(self, found: Detections, truth: BoxLabels, class_id: int) -> Record:
        mine = np.flatnonzero(found.class_ids == class_id)
        mine = mine[np.argsort(-found.scores[mine], kind="stable")][:_MAX_DETECTIONS]
        is_label = truth.class_ids == class_id
        boxes, is_crowd = truth.boxes[is_label], truth.is_crowd[is_label]
        detections = np.empty((len(mine), 2 + len(self.thresholds)))
        detections[:, 0], detections[:, 1] = class_id, found.scores[mine]
        overlap = box_iou(found.boxes[mine], boxes[~is_crowd])
        in_crowd = _inside(found.boxes[mine], boxes[is_crowd])
        for column, threshold in enumerate(self.thresholds, 2):
            outcome = _match(overlap, threshold)
            swallowed = (outcome == 0) & (in_crowd >= threshold)
            detections[:, column] = np.where(swallowed, np.nan, outcome)
        labels = np.full((int((~is_crowd).sum()), 2 + len(self.thresholds)), _LABEL_ROW)
        labels[:, 0] = class_id
        return np.concatenate([detections, labels])


def _match(overlap: NDArray[np.float32], threshold: float) -> NDArray[np.float64]:
    """1 for each detection (row, best first) that takes a label (column) no better one has taken, else 0."""
    free = np.ones(overlap.shape[1], np.bool_)
    outcome = np.zeros(overlap.shape[0])
    for row in np.flatnonzero(overlap.max(axis=1, initial=0) >= threshold):
        candidates = np.where(free, overlap[row], -1)
        best = int(candidates.argmax())
        if candidates[best] >= threshold:
            free[best] = False
            outcome[row] = 1
    return outcome


def _inside(boxes: NDArray[np.float32], crowds: NDArray[np.float32]) -> NDArray[np.float64]:
    """The largest share of each box that lies in one crowd region."""
    if not len(crowds) or not len(boxes):
        return np.zeros(len(boxes))
    top_left = np.maximum(boxes[:, None, :2], crowds[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], crowds[None, :, 2:])
    shared = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)
    area = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 1e-9, None), axis=1)
    share: NDArray[np.float64] = (shared / area[:, None]).max(axis=1)
    return share


def _rows_by_class(table: Record) -> list[NDArray[np.intp]]:
    order = np.argsort(table[:, 0], kind="stable")
    borders = np.flatnonzero(np.diff(table[order, 0])) + 1
    return [rows for rows in np.split(order, borders) if len(rows)]


def _class_estimator(rows: Record, image: NDArray[np.intp]) -> Callable[[NDArray[np.float64]], float | None]:
    """Average precision of one class (mean over thresholds) by image weights; None where no label counts."""
    is_label = rows[:, 2] == _LABEL_ROW
    label_images = image[is_label]
    order = np.argsort(-rows[~is_label, 1], kind="stable")
    outcomes, images = rows[~is_label][order, 2:].T, image[~is_label][order]
    right, wrong = outcomes == 1, outcomes == 0

    def estimate(weights: NDArray[np.float64]) -> float | None:
        labels = weights[label_images].sum()
        if labels <= 0:
            return None
        drawn = weights[images]
        true_positives = np.cumsum(right * drawn, axis=1)
        false_positives = np.cumsum(wrong * drawn, axis=1)
        precision = true_positives / np.maximum(true_positives + false_positives, 1e-12)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        return float(np.mean([_at_recalls(t / labels, e) for t, e in zip(true_positives, envelope, strict=True)]))

    return estimate


def _at_recalls(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    place = np.searchsorted(recall, _RECALLS - 1e-12, side="left")
    return float(np.where(place < recall.size, np.append(precision, 0)[place], 0).mean())


MAP50 = MeanAveragePrecision("map50", (0.5,))
MAP50_95 = MeanAveragePrecision("map50_95", tuple(0.5 + 0.05 * i for i in range(10)))
