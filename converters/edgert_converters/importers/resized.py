"""Gives an input another height and width than the file fixes, where everything behind it allows that.

Convolutions and poolings take any size; a Reshape to stored sizes, a fixed pooling window before a matrix or stored
positions do not. Nothing is guessed from the operators: the model is run at the new size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgert.errors import ModelError

if TYPE_CHECKING:
    import onnx

    from edgert_converters.passes.output_check import Array

__all__ = ["FIRST_SPATIAL_AXIS", "Resized", "forget_output_shapes"]

FIRST_SPATIAL_AXIS = 2
"""Of channels-first inputs: the axes before it are the batch and the channels, which weights are made for."""


class Resized:
    """The inputs whose fixed sizes were changed: `sizes` holds (old, new) by name, in the file's words."""

    def __init__(self, sizes: Mapping[str, tuple[str, str]], shown: Path) -> None:
        self._words = "; ".join(f"{name!r} {new} instead of {old}" for name, (old, new) in sizes.items())
        self._shown = shown
        self.note = f"the file fixes another size: input {self._words}" if sizes else ""

    def refuse(self, reason: object) -> ModelError:
        """Returns the error of a model that does not take the new size."""
        return ModelError(
            f"cannot take the input {self._words}: something in it is made for that size ({reason}); "
            "leave the size as it is, or export the model for the other one",
            path=self._shown,
        )

    def check(self, declared: Sequence[int | str | None], found: Sequence[Array]) -> None:
        """Checks that every output still has one row per sample.

        Args:
            declared: leading size of each output in the file; None: unknown.
            found: what one sample gave.

        Raises:
            ModelError: a Reshape took what a larger image has more for further samples.
        """
        for leading, output in zip(declared, found, strict=True):
            is_batch = leading == 1 or isinstance(leading, str)
            if is_batch and output.ndim and output.shape[0] != 1:
                raise self.refuse(f"one sample gives {output.shape[0]} rows of outputs")


def forget_output_shapes(proto: onnx.ModelProto) -> tuple[int | str | None, ...]:
    """Removes the shapes that the file says its outputs have; returns the leading size of each, None: unknown."""
    leading: list[int | str | None] = []
    for value in proto.graph.output:
        dims = value.type.tensor_type.shape.dim
        leading.append((dims[0].dim_value or dims[0].dim_param or None) if dims else None)
        value.type.tensor_type.ClearField("shape")
    return tuple(leading)
