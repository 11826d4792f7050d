"""Labels and pre-processing of a model as TFLite metadata, and back: the form other tools read from the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Step, TensorSpec
from edgert_converters.tflite.metadata import (
    METADATA_KEY,
    FileMetadata,
    PortMetadata,
    append_files,
    build_metadata,
    parse_metadata,
    read_files,
)
from edgert_converters.tflite.read import parse_tflite

__all__ = ["LABELS_FILE", "Described", "describe_file", "normalization", "read_described", "with_label_file"]

LABELS_FILE = "labels.txt"


@dataclass(frozen=True, slots=True)
class Described:
    """What a file's metadata says in edgert's terms: class labels, and pre-processing steps of the first input."""

    labels: tuple[str, ...] = ()
    preprocess: tuple[Step, ...] = ()


def describe_file(
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    preprocess: Sequence[Step] = (),
    labels: Sequence[str] = (),
) -> dict[str, bytes]:
    """Returns the named blobs for `export_tflite(describe=...)`.

    Args:
        name: of the model.
        inputs: as the file has them; one of rank 4 with 1 or 3 channels is called an image.
        outputs: as the file has them; the labels belong to the first whose last axis has as many entries.
        preprocess: the recipe's steps; their scaling and normalization are stored as one mean and one std per channel.
        labels: names of the classes, written to the file by `with_label_file`.
    """
    scaling = normalization(preprocess)
    ports = []
    for position, port in enumerate(inputs):
        mean, std = scaling if scaling is not None and position == 0 else ((), ())
        ports.append(PortMetadata(port.name, is_image=_is_image(port), mean=mean, std=std))
    labelled = next((port.name for port in outputs if labels and port.shape[-1:] == (len(labels),)), None)
    files = (LABELS_FILE,)
    results = [PortMetadata(port.name, files=files if port.name == labelled else ()) for port in outputs]
    return {METADATA_KEY: build_metadata(FileMetadata(name, "", tuple(ports), tuple(results)))}


def with_label_file(data: bytes, labels: Sequence[str]) -> bytes:
    """Returns a file's bytes with the labels behind them, one per line, in an archive that zip readers open."""
    text = "".join(f"{' '.join(label.split())}\n" for label in labels)
    return append_files(data, {LABELS_FILE: text.encode()} if labels else {})


def normalization(steps: Sequence[Step]) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Returns (mean, std) with value = (pixel - mean) / std of all scaling steps; None where there are none."""
    factor: NDArray[np.float64] = np.ones(1)
    offset: NDArray[np.float64] = np.zeros(1)
    found = False
    for step in steps:
        if step["op"] == "scale":
            a, b = _numbers(step["factor"]), _numbers(step.get("offset", 0.0))
        elif step["op"] == "normalize":
            a = 1.0 / _numbers(step["std"])
            b = -_numbers(step["mean"]) * a
        else:
            continue
        factor, offset, found = factor * a, offset * a + b, True
    if not found or not np.all(factor):
        return None
    mean, std = np.broadcast_arrays(-offset / factor, 1.0 / factor)
    return tuple(map(float, mean + 0.0)), tuple(map(float, std))


def read_described(data: bytes) -> Described:
    """Returns labels and pre-processing that the metadata of a .tflite file names; nothing where it has none.

    Raises:
        ModelError: the file or its metadata is damaged.
    """
    blob = parse_tflite(data).metadata.get(METADATA_KEY)
    if blob is None:
        return Described()
    metadata, files = parse_metadata(blob), read_files(data)
    names = [name for port in metadata.outputs for name in port.files if name in files]
    lines = files[names[0]].decode("utf-8", errors="replace").splitlines() if names else []
    steps: list[dict[str, Any]] = []  # Any: the arguments of a step
    port = metadata.inputs[0] if metadata.inputs else None
    if port is not None and port.mean and len(port.mean) == len(port.std) and all(port.std):
        steps.append({"op": "normalize", "mean": list(port.mean), "std": list(port.std)})
    return Described(tuple(line.strip() for line in lines), tuple(steps))


def _numbers(value: Any) -> NDArray[np.float64]:  # Any: a number or a list of them
    return np.atleast_1d(np.asarray(value, np.float64))


def _is_image(port: TensorSpec) -> bool:
    return len(port.shape) == 4 and port.shape[-1] in {1, 3} and (port.shape[1] or 0) >= 8
