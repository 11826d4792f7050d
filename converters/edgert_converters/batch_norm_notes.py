"""What a folded normalisation knew about the operator that it was folded into: mean and deviation of each channel.

BatchNormalization gives channel c the mean beta[c] and the standard deviation |gamma[c]| over the training data.
Folding leaves neither in the weights, so the pass notes both on the node that takes the normalisation in: as a
property that engines and other tools ignore, that clones keep, and that written files do without.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert.errors import ModelError

__all__ = ["BATCH_NORM_KEY", "ChannelMoments", "note_moments", "read_moments", "scale_moments"]

BATCH_NORM_KEY = "edgert.batch_norm"


@dataclass(frozen=True, slots=True)
class ChannelMoments:
    """Mean and standard deviation of each channel (axis 1) of a node's first output, float64[C] each."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]


def note_moments(node: ir.Node, moments: ChannelMoments) -> None:
    """Writes the moments of the node's first output onto the node, rounded to float32; what it said before is gone."""
    numbers = np.stack([moments.mean, moments.std]).astype("<f4")
    node.metadata_props[BATCH_NORM_KEY] = base64.b64encode(numbers.tobytes()).decode("ascii")


def read_moments(node: ir.Node) -> ChannelMoments | None:
    """Returns what the node carries, or None where no normalisation was folded into it.

    Raises:
        ModelError: the property is there and is not what `note_moments` writes.
    """
    text = node.metadata_props.get(BATCH_NORM_KEY)
    if text is None:
        return None
    try:
        numbers = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float64).reshape(2, -1)
    except (binascii.Error, ValueError) as error:
        raise ModelError(
            f"its property {BATCH_NORM_KEY!r} cannot be read; it is edgert's own, so remove it and convert again",
            node=node.name,
        ) from error
    return ChannelMoments(numbers[0], numbers[1])


def scale_moments(node: ir.Node, factor: NDArray[np.float64], shift: NDArray[np.float64] | float = 0.0) -> None:
    """Keeps the note true after the node's output was multiplied by `factor` float64[C] and `shift` was added."""
    moments = read_moments(node)
    if moments is not None:
        note_moments(node, ChannelMoments(moments.mean * factor + shift, moments.std * np.abs(factor)))
