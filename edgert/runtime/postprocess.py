"""Post-processing as data: from a model's outputs to classes or boxes (docs/recipe.md). Needs numpy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Step
from edgert.errors import InternalError, ModelError, RecipeError
from edgert.runtime.decode import Candidates, decode_nanodet, decode_ssd, decode_yolo, logistic, pick_output, softmax
from edgert.runtime.geometry import Geometry
from edgert.runtime.nms import suppress
from edgert.runtime.results import Classification, Detections, Raw, Result
from edgert.runtime.steps import bind_step

__all__ = [
    "POSTPROCESS_STEPS",
    "Classification",
    "Detections",
    "Postprocess",
    "Raw",
    "Result",
    "as_classification",
    "build_postprocess",
]

_State: TypeAlias = Classification | Detections | Raw | Candidates
_DECODERS = {"nanodet", "ssd", "yolo"}
_CLASSIFIERS = {"softmax", "sigmoid", "top_k", "argmax"}
_DEFAULT_TOP_K = 5


@dataclass(frozen=True, slots=True)
class Postprocess:
    """Calls the steps in order on the outputs of one sample. `is_detector`: gives Detections."""

    steps: tuple[Callable[[_State, Geometry], _State], ...]
    is_detector: bool
    is_classifier: bool

    def __call__(self, outputs: Mapping[str, NDArray[np.generic]], geometry: Geometry | None = None) -> Result:
        """Returns the typed result for the outputs of one sample (leading batch axis 1).

        Raises:
            ModelError: the outputs do not have the form that a step expects.
        """
        if self.is_detector and geometry is None:
            raise ModelError("boxes need the geometry that pre-processing returns")
        state: _State = Raw(outputs)
        for step in self.steps:
            state = step(state, geometry or Geometry((1, 1), (1, 1)))
        if isinstance(state, Candidates):
            raise InternalError("build_postprocess let a decoder without nms through")  # noqa: TRY004  # not the caller's
        return state


def build_postprocess(steps: Sequence[Step]) -> Postprocess:
    """Returns the function that the steps describe; no steps: the raw outputs.

    Raises:
        RecipeError: a step or argument is unknown, missing or wrong, or the steps do not fit together.
    """
    bound = [bind_step(step, POSTPROCESS_STEPS, f"postprocess step {i}") for i, step in enumerate(steps, 1)]
    ops = [step["op"] for step in steps]
    has_decoder = any(op in _DECODERS for op in ops)
    if has_decoder and (len(ops) != 2 or ops[0] not in _DECODERS or ops[1] != "nms"):
        raise RecipeError(f"postprocess: a detector needs one decoder and then one nms step, got {', '.join(ops)}")
    if "nms" in ops and not has_decoder:
        raise RecipeError(f"postprocess: nms needs a decoder before it: {', '.join(sorted(_DECODERS))}")
    for i, step in enumerate(steps, 1):
        _check_ssd(step, f"postprocess step {i}")
    return Postprocess(tuple(bound), has_decoder, any(op in _CLASSIFIERS for op in ops))


def as_classification(result: Result, output: str | None = None) -> Classification | None:
    """Returns the result as a classification where it is one: raw outputs with one vector [1, C] or [C], C >= 2."""
    if isinstance(result, Classification):
        return result
    if isinstance(result, Raw) and (output is not None or len(result.outputs) == 1):
        values = pick_output(result.outputs, output)
        if values.size >= 2 and max(values.shape) == values.size:
            return _classification(values.reshape(-1), _DEFAULT_TOP_K)
    return None


def _classification(scores: NDArray[np.float32], k: int) -> Classification:
    return Classification(scores, np.argsort(-scores, kind="stable")[:k].astype(np.int64))


def _scores(state: _State, output: str | None, op: str) -> NDArray[np.float32]:
    if isinstance(state, Classification):
        return state.scores
    if not isinstance(state, Raw):
        raise ModelError(f"{op} works on class scores, not on boxes")
    values = pick_output(state.outputs, output)
    if values.size != max(values.shape, default=1):
        raise ModelError(f"{op}: expected class scores [1, C], got {list(values.shape)}")
    return values.reshape(-1)


def _softmax(state: _State, geometry: Geometry, *, output: str | None = None) -> _State:
    return _classification(softmax(_scores(state, output, "softmax")), _DEFAULT_TOP_K)


def _sigmoid(state: _State, geometry: Geometry, *, output: str | None = None) -> _State:
    return _classification(logistic(_scores(state, output, "sigmoid")), _DEFAULT_TOP_K)


def _top_k(state: _State, geometry: Geometry, *, k: int = _DEFAULT_TOP_K, output: str | None = None) -> _State:
    return _classification(_scores(state, output, "top_k"), k)


def _argmax(state: _State, geometry: Geometry, *, output: str | None = None) -> _State:
    return _classification(_scores(state, output, "argmax"), 1)


def _raw(state: _State) -> Mapping[str, NDArray[np.generic]]:
    if not isinstance(state, Raw):
        raise ModelError("a decoder must be the first post-processing step")
    return state.outputs


def _nanodet(
    state: _State,
    geometry: Geometry,
    *,
    strides: list[int] = [8, 16, 32],  # noqa: B006  # read only; shown as the default in the documentation
    reg_max: int = 7,
    classes: int | None = None,
    sigmoid: bool = False,
) -> _State:
    size = geometry.input_size
    return decode_nanodet(_raw(state), size, strides=strides, reg_max=reg_max, classes=classes, sigmoid=sigmoid)


def _ssd(  # noqa: PLR0913  # one parameter per argument of the step
    state: _State,
    geometry: Geometry,
    *,
    boxes: str,
    scores: str,
    strides: list[int],
    min_boxes: list[list[float]],
    center_variance: float = 0.1,
    size_variance: float = 0.2,
    background: int | None = 0,
) -> _State:
    return decode_ssd(
        _raw(state),
        geometry.input_size,
        boxes=boxes,
        scores=scores,
        strides=strides,
        min_boxes=min_boxes,
        variances=(center_variance, size_variance),
        background=background,
    )


def _yolo(
    state: _State,
    geometry: Geometry,
    *,
    output: str | None = None,
    layout: Literal["channels-first", "channels-last"] = "channels-first",
    objectness: bool = False,
    normalized: bool = False,
    sigmoid: bool = False,
) -> _State:
    return decode_yolo(
        _raw(state),
        geometry.input_size,
        output=output,
        layout=layout,
        objectness=objectness,
        normalized=normalized,
        sigmoid=sigmoid,
    )


def _nms(
    state: _State,
    geometry: Geometry,
    *,
    iou: float = 0.6,
    score: float = 0.05,
    max_detections: int = 100,
    max_candidates: int = 1000,
    class_agnostic: bool = False,
) -> _State:
    if not isinstance(state, Candidates):
        raise ModelError("nms needs boxes from a decoder")
    locations, class_ids = np.nonzero(state.scores >= np.float32(score))
    scores = state.scores[locations, class_ids]
    best = np.argsort(-scores, kind="stable")[:max_candidates]
    boxes, scores, class_ids = state.boxes[locations[best]], scores[best], class_ids[best]
    kept = suppress(boxes, scores, np.zeros_like(class_ids) if class_agnostic else class_ids, iou)[:max_detections]
    return Detections(geometry.to_original(boxes[kept]), scores[kept], class_ids[kept])


POSTPROCESS_STEPS: dict[str, Callable[..., _State]] = {
    "softmax": _softmax,
    "sigmoid": _sigmoid,
    "top_k": _top_k,
    "argmax": _argmax,
    "nanodet": _nanodet,
    "ssd": _ssd,
    "yolo": _yolo,
    "nms": _nms,
}
"""Every post-processing step by its name in the recipe; keyword-only parameters are the step's arguments."""


def _check_ssd(step: Step, where: str) -> None:
    if step["op"] == "ssd" and len(step["strides"]) != len(step["min_boxes"]):
        raise RecipeError(
            f"{where} (ssd): {len(step['strides'])} strides and {len(step['min_boxes'])} lists of min_boxes"
        )
