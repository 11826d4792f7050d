"""Box decoders: from the raw outputs of a detector to candidate boxes in pixels of the model's input."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgert.errors import ModelError, did_you_mean

__all__ = ["Candidates", "decode_nanodet", "decode_ssd", "decode_yolo", "logistic", "pick_output", "softmax"]

Outputs = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Candidates:
    """`boxes` xyxy float32[A, 4] in input pixels; `scores` float32[A, C], C classes without background."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]


def pick_output(outputs: Outputs, name: str | None) -> NDArray[np.float32]:
    """Returns one output as float32: the named one, or the only one.

    Raises:
        ModelError: no output has that name, or no name is given and there are several.
    """
    if name is None:
        if len(outputs) != 1:
            raise ModelError(f"the model has {len(outputs)} outputs; name one: {', '.join(sorted(outputs))}")
        return np.asarray(next(iter(outputs.values())), np.float32)
    if name not in outputs:
        raise ModelError(f"the model has no output {name!r}{did_you_mean(name, outputs)}")
    return np.asarray(outputs[name], np.float32)


def softmax(values: NDArray[np.float32], axis: int = -1) -> NDArray[np.float32]:
    """Returns the softmax along an axis, float32."""
    shifted = np.exp(values - values.max(axis=axis, keepdims=True))
    normalized: NDArray[np.float32] = shifted / shifted.sum(axis=axis, keepdims=True)
    return normalized


def decode_nanodet(
    outputs: Outputs,
    input_size: tuple[int, int],
    *,
    strides: Sequence[int],
    reg_max: int,
    classes: int | None,
    sigmoid: bool,
) -> Candidates:
    """Decodes NanoDet's heads: per level class scores [A, C] and distance distributions [A, 4 * (reg_max + 1)].

    Levels are told apart by their number of locations, heads by their width, so output names and order do not matter.
    A side's distance is the mean of its distribution over 0..reg_max, times the stride; the centre of cell (x, y) is
    ``(x * stride + (stride - 1) / 2, ...)``.

    Source: Li et al., Generalized Focal Loss, 2020, arXiv 2006.04388, eq. 5; RangiLyu, NanoDet (Apache-2.0).

    Raises:
        ModelError: a level has no class or no box output of the expected size.
    """
    width = 4 * (reg_max + 1)
    flat = {name: np.asarray(v, np.float32).reshape(-1, v.shape[-1]) for name, v in outputs.items() if v.ndim}
    boxes, scores = [], []
    for stride in strides:
        rows, columns = (-(-side // stride) for side in input_size)
        level = {name: v for name, v in flat.items() if v.shape[0] == rows * columns}
        box_heads = [v for v in level.values() if v.shape[1] == width]
        score_heads = [v for v in level.values() if v.shape[1] != width or (classes == width and len(box_heads) > 1)]
        if len(box_heads) != 1 or len(score_heads) != 1 or (classes and score_heads[0].shape[1] != classes):
            shapes = {name: tuple(np.shape(value)) for name, value in outputs.items()}
            raise ModelError(
                f"nanodet: stride {stride} at input {input_size} needs one output [{rows * columns}, {classes or 'C'}] "
                f"and one [{rows * columns}, {width}], the model has {shapes}"
            )
        boxes.append(_distances_to_boxes(box_heads[0], _cell_centres(rows, columns, stride), stride))
        scores.append(score_heads[0])
    joined = np.concatenate(scores)
    return Candidates(np.concatenate(boxes), logistic(joined) if sigmoid else joined)


def _cell_centres(rows: int, columns: int, stride: int) -> NDArray[np.float32]:
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    return np.stack([x.ravel(), y.ravel()], axis=1) * np.float32(stride) + np.float32((stride - 1) / 2)


def _distances_to_boxes(
    distributions: NDArray[np.float32], centres: NDArray[np.float32], stride: int
) -> NDArray[np.float32]:
    bins = np.arange(distributions.shape[1] // 4, dtype=np.float32)
    probabilities = softmax(distributions.reshape(-1, 4, bins.size))
    distances = (probabilities * bins).sum(axis=2) * np.float32(stride)
    return np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)


def decode_ssd(
    outputs: Outputs,
    input_size: tuple[int, int],
    *,
    boxes: str,
    scores: str,
    strides: Sequence[int],
    min_boxes: Sequence[Sequence[float]],
    variances: tuple[float, float],
    background: int | None,
) -> Candidates:
    """Decodes offsets [1, A, 4] against square priors; scores [1, A, C] are probabilities, `background` is dropped.

    Source: Liu et al., SSD, 2015, arXiv 1512.02325, section 2.2, with the variances of the Caffe implementation.

    Raises:
        ModelError: the number of priors differs from the number of boxes.
    """
    offsets = pick_output(outputs, boxes).reshape(-1, 4)
    values = pick_output(outputs, scores)
    values = values.reshape(-1, values.shape[-1])
    priors = _square_priors(input_size, tuple(strides), tuple(tuple(sizes) for sizes in min_boxes))
    if len(priors) != len(offsets) or len(values) != len(offsets):
        raise ModelError(
            f"ssd: {len(priors)} priors at input {input_size}, but {len(offsets)} boxes in {boxes!r} and "
            f"{len(values)} scores in {scores!r}; check strides and min_boxes"
        )
    centres = offsets[:, :2] * np.float32(variances[0]) * priors[:, 2:] + priors[:, :2]
    sizes = np.exp(offsets[:, 2:] * np.float32(variances[1])) * priors[:, 2:]
    size_xy = np.array([input_size[1], input_size[0]] * 2, np.float32)
    corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1) * size_xy
    return Candidates(
        corners.astype(np.float32), np.delete(values, background, axis=1) if background is not None else values
    )


@functools.lru_cache(maxsize=8)
def _square_priors(
    input_size: tuple[int, int], strides: tuple[int, ...], min_boxes: tuple[tuple[float, ...], ...]
) -> NDArray[np.float32]:
    """Priors cx, cy, w, h relative to the input, float32[A, 4]: per stride, per cell (row by row), per size."""
    height, width = input_size
    priors = []
    for stride, sizes in zip(strides, min_boxes, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x = np.mgrid[:rows, :columns]
        # Centres are relative to the feature map, not to columns * stride: with sizes that a stride does not divide
        # (240 / 64) that is how the published models were trained.
        centres = np.stack([(x + 0.5) * stride / width, (y + 0.5) * stride / height], axis=2).reshape(-1, 1, 2)
        extent = np.array([[s / width, s / height] for s in sizes]).reshape(1, -1, 2)
        shape = (centres.shape[0], extent.shape[1], 2)
        priors.append(np.concatenate([np.broadcast_to(centres, shape), np.broadcast_to(extent, shape)], axis=2))
    joined: NDArray[np.float64] = np.concatenate([level.reshape(-1, 4) for level in priors])
    return joined.clip(0, 1).astype(np.float32)


def decode_yolo(
    outputs: Outputs,
    input_size: tuple[int, int],
    *,
    output: str | None,
    layout: Literal["channels-first", "channels-last"],
    objectness: bool,
    normalized: bool,
    sigmoid: bool,
) -> Candidates:
    """Decodes one output [1, 4 + C, A] (channels-first) or [1, A, 4 + C]: centre x, y, width, height, then scores.

    With `objectness` a fifth number stands before the class scores and multiplies them. `normalized`: boxes are in
    0..1 of the input instead of pixels.

    Raises:
        ModelError: the output has another rank or too few channels.
    """
    values = pick_output(outputs, output)
    first_score = 5 if objectness else 4
    values = values[0] if values.ndim == 3 and values.shape[0] == 1 else values
    if values.ndim != 2:
        raise ModelError(f"yolo: expected an output [1, channels, locations], got {list(values.shape)}")
    values = values.T if layout == "channels-first" else values
    if values.shape[1] <= first_score:
        raise ModelError(f"yolo: {values.shape[1]} channels leave no class score after {first_score}; check layout")
    half = values[:, 2:4] / 2
    boxes = np.concatenate([values[:, :2] - half, values[:, :2] + half], axis=1).astype(np.float32)
    if normalized:
        boxes *= np.array([input_size[1], input_size[0]] * 2, np.float32)
    scores = logistic(values[:, 4:]) if sigmoid else values[:, 4:]
    return Candidates(boxes, scores[:, 1:] * scores[:, :1] if objectness else scores)


def logistic(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns 1 / (1 + exp(-x)), float32."""
    return (1 / (1 + np.exp(-np.clip(values, -80, 80)))).astype(np.float32)
