"""The types that all data sources share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgert.runtime.geometry import Geometry

__all__ = ["Array", "BoxLabels", "Dataset", "Item", "Label", "Sample", "Source", "digest_of"]

Array: TypeAlias = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class BoxLabels:
    """True objects of an image: `boxes` xyxy float32[K, 4] in its pixels, `class_ids` int64[K].

    `is_crowd` bool[K] marks regions where detections are neither right nor wrong (COCO's iscrowd).
    """

    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    is_crowd: NDArray[np.bool_]


Label: TypeAlias = int | str | BoxLabels | Array | None
"""A class id, a transcript, boxes, a target array, or nothing."""


@dataclass(frozen=True, slots=True)
class Item:
    """What a source holds for one sample, before pre-processing.

    `arrays` has one entry per model input, or the single key "" for the only input. `is_image`: a decoded RGB image.
    """

    id: str
    arrays: Mapping[str, Array]
    label: Label = None
    is_image: bool = False


class Source(Protocol):
    """Where samples come from: reads one at a time, so that memory does not grow with their number."""

    has_labels: bool

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def item(self, index: int) -> Item:
        """Reads and decodes one sample.

        Raises:
            DataError: it cannot be read or decoded.
        """
        ...

    def digest(self, index: int) -> str:
        """Hash of the stored bytes of one sample, without decoding."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample ready for the model: every input with leading batch axis 1.

    `preview` is a small uint8 RGB picture [h, w, 3] where the sample is an image.
    """

    id: str
    inputs: dict[str, Array]
    label: Label
    geometry: Geometry
    preview: NDArray[np.uint8] | None
    digest: str


class Dataset(Protocol):
    """Samples that fit a model's inputs, decoded when asked for."""

    name: str
    has_labels: bool

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def sample(self, index: int) -> Sample:
        """Decodes, pre-processes and checks one sample.

        Raises:
            DataError: it does not fit the model, is not finite, or cannot be decoded.
        """
        ...

    def digest(self, index: int) -> str:
        """Hash of the stored bytes of one sample."""
        ...


def digest_of(*parts: bytes) -> str:
    """Returns 32 hex digits over the given bytes."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(part)
    return state.hexdigest()
