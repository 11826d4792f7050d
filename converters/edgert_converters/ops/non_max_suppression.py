"""NonMaxSuppression: the greedy choice of boxes by score, per batch and class. Float on the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.detection_tflite import DETECTION, read_detection
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, scalar
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]

Float32 = NDArray[np.float32]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns int64[chosen, 3]: batch, class, box; by batch, then class, then falling score.

    Overlaps are computed in float32, as engines do; of equal scores the lower index comes first.
    """
    boxes, scores = require_input(node, inputs, 0), require_input(node, inputs, 1)
    most = int(_number(inputs, 2) or 0)
    threshold = np.float32(_number(inputs, 3) or 0.0)
    lowest = _number(inputs, 4)
    corners = _corners(boxes.astype(np.float32), centred=get_int(node, "center_point_box", 0) == 1)
    strengths = scores.astype(np.float32)
    found = [
        (batch, label, box)
        for batch in range(boxes.shape[0])
        for label in range(scores.shape[1])
        for box in _choose(corners[batch], strengths[batch, label], most, threshold, lowest)
    ]
    return [np.asarray(found, np.int64).reshape(-1, 3)]


def _number(inputs: Sequence[Array | None], index: int) -> float | None:
    value = inputs[index] if index < len(inputs) else None
    return None if value is None or not value.size else float(value.reshape(-1)[0])


def _corners(boxes: Float32, *, centred: bool) -> Float32:
    """Returns [.., low y or x, low x or y, high, high] with every low end below its high end."""
    if centred:
        middle: Float32 = boxes[..., :2]
        half: Float32 = np.multiply(boxes[..., 2:], 0.5, dtype=np.float32)
        return np.concatenate([middle - half, middle + half], axis=-1)
    low: Float32 = np.minimum(boxes[..., :2], boxes[..., 2:])
    high: Float32 = np.maximum(boxes[..., :2], boxes[..., 2:])
    return np.concatenate([low, high], axis=-1)


def _choose(boxes: Float32, scores: Float32, most: int, threshold: np.float32, lowest: float | None) -> list[int]:
    order = np.argsort(-scores, kind="stable")
    if lowest is not None:
        order = order[scores[order] > np.float32(lowest)]
    chosen: list[int] = []
    while order.size and len(chosen) < most:
        first, order = order[0], order[1:]
        chosen.append(int(first))
        order = order[_overlaps(boxes[first], boxes[order]) <= threshold]
    return chosen


def _overlaps(box: Float32, others: Float32) -> Float32:
    """Returns intersection over union of one box with each other; 0 where either has no area."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.where((sides > 0).all(axis=1), sides.prod(axis=1), np.float32(0))
    area, areas = (box[2:] - box[:2]).prod(), (others[:, 2:] - others[:, :2]).prod(axis=1)
    union = area + areas - shared
    usable = (area > 0) & (areas > 0) & (union > 0)
    result: Float32 = np.divide(shared, union, out=np.zeros_like(union), where=usable)
    return result


def _boxes(*, centred: bool = False) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    generator = np.random.default_rng(1)
    corner, size = generator.uniform(0, 8, (2, 12, 2)), generator.uniform(1, 6, (2, 12, 2))
    boxes = np.concatenate([corner, size if centred else corner + size], axis=-1).astype(np.float32)
    return boxes, generator.uniform(0, 1, (2, 3, 12)).astype(np.float32)


_LIMITS = (ints(4), scalar(0.3).reshape(1), scalar(0.4).reshape(1))
CASES = (
    Case("corners", (*_boxes(), *_LIMITS), {}, (2, 3, 4)),
    Case("centres", (*_boxes(centred=True), *_LIMITS), {"center_point_box": 1}, (2, 3, 4)),
    Case("no_threshold", (*_boxes(), ints(20), scalar(0.5).reshape(1)), {}, (2, 3)),
)

SPEC = Operator(
    op_type="NonMaxSuppression",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    note="float on the host",
    from_tflite={DETECTION: read_detection},
)
