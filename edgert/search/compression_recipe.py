"""A choice of the compression space as a recipe: the one that converts it now, and rebuilds its bundle later."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from edgert.bundle import LayerRecord, Step, TensorSpec
from edgert.errors import RecipeError
from edgert.recipe import RangeMethod, Recipe
from edgert.search.compression_space import (
    FLOAT,
    GROUP,
    INT8,
    has_integers,
    layers_of_group,
    parse_algorithms,
)
from edgert.search.space import Choice

__all__ = ["at_resolution", "image_size", "recipe_of"]

_SQUARE = frozenset({"resize", "center_crop", "letterbox"})
"""Steps that set both height and width."""
_SIZES = ("height", "width", "size")


def recipe_of(
    base: Recipe, choice: Choice, layers: Sequence[LayerRecord], inputs: Sequence[TensorSpec], kind: str
) -> Recipe:
    """Returns the recipe of a choice; what has no dimension stays as in `base`.

    Args:
        base: the user's recipe.
        choice: of the space.
        layers: of the float model.
        inputs: of the float model.
        kind: the kind of file that the device's engine reads (`onnx`, `tflite`, `c`).
    """
    precision = str(choice.get("precision", INT8))
    changes: dict[str, object] = {"precisions": () if precision == FLOAT else (precision,), "formats": (kind,)}
    if has_integers(choice):
        changes["float_layers"] = (*base.float_layers, *_float_layers(choice, layers))
        if "ranges" in choice:
            changes["ranges"] = RangeMethod(choice["ranges"])
        steps = parse_algorithms(str(choice["algorithm"])) if "algorithm" in choice else None
        if steps is not None:
            changes["algorithms"] = steps
    if "max_ram" in choice:
        changes["max_ram_bytes"] = int(choice["max_ram"])
    recipe = dataclasses.replace(base, **changes)  # type: ignore[arg-type]  # each value has its field's type
    return at_resolution(recipe, inputs, int(choice["resolution"])) if "resolution" in choice else recipe


def image_size(inputs: Sequence[TensorSpec]) -> int:
    """Returns height and width of the model's only input, a square image with its channels first; else 0."""
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].layout == "NHWC":
        return 0
    height, width = inputs[0].shape[2:]
    return height if height is not None and height == width else 0


def at_resolution(recipe: Recipe, inputs: Sequence[TensorSpec], pixels: int) -> Recipe:
    """Returns the recipe for images of another height and width, its pre-processing in the same proportions.

    Raises:
        RecipeError: the model takes no square image, or the recipe does not bring images to the model's size.
    """
    size = image_size(inputs)
    if not size:
        shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in inputs)
        raise RecipeError(
            f"[search.space]: resolution needs a model with one input, a square image [N, C, H, W]; found {shapes}"
        )
    last = next((step for step in reversed(recipe.preprocess) if _SQUARE & {str(step.get("op"))}), None)
    if last is None or (last.get("height"), last.get("width")) != (size, size):
        raise RecipeError(
            f"[search.space]: resolution needs a [[preprocess]] step that brings images to the {size}x{size} of the "
            "model (resize, center_crop or letterbox), so that it can bring them to another size"
        )
    if pixels == size:
        return recipe
    spec = inputs[0]
    steps = tuple(_scaled(step, pixels, size) for step in recipe.preprocess)
    shape = (spec.shape[0] or 1, int(spec.shape[1] or 1), pixels, pixels)
    return dataclasses.replace(recipe, shapes={**recipe.shapes, spec.name: shape}, preprocess=steps)


def _scaled(step: Step, pixels: int, size: int) -> Step:
    """The step with its sizes in pixels in the new proportion, rounded to whole ones."""
    if step.get("op") not in {*_SQUARE, "resize_shorter"}:
        return step
    return {
        name: (2 * int(value) * pixels + size) // (2 * size) if name in _SIZES else value
        for name, value in step.items()
    }


def _float_layers(choice: Choice, layers: Sequence[LayerRecord]) -> tuple[str, ...]:
    names = [name for name, value in choice.items() if name.startswith(GROUP) and value == FLOAT]
    return tuple(dict.fromkeys(layer for name in names for layer in layers_of_group(layers, name)))
