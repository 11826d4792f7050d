"""A .wav file as a model's input: its samples through the bundle's audio front end."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgert.bundle import Bundle, Manifest, Step, TensorSpec
from edgert.errors import DataError, UsageError
from edgert.runtime.audio.wav import read_wav
from edgert.runtime.plain_model import is_bundle

__all__ = ["hear", "read_wav"]

Array = NDArray[Any]  # Any: element types are data


def hear(path: Path, model: Path) -> dict[str, Array]:
    """Returns what a bundle's pre-processing makes of a .wav file, by the name of the bundle's input.

    Raises:
        UsageError: the model is no bundle, or its pre-processing has no audio front end.
        DataError: the file cannot be read, or holds sound of another kind than the front end takes.
    """
    from edgert.runtime.audio.settings import FRONT_ENDS
    from edgert.runtime.preprocess import build_preprocess
    from edgert.runtime.steps import bind_step

    advice = f"give {path} to a bundle whose recipe has one of the steps {', '.join(FRONT_ENDS)}, or arrays as .npy"
    if not is_bundle(model):
        raise UsageError(f"{model} is no bundle and says nothing about sound; {advice}")
    with Bundle.open(model) as bundle:
        manifest = bundle.manifest
    steps: list[Step] = [step for step in manifest.preprocess if step["op"] in FRONT_ENDS]
    if not steps:
        raise UsageError(f"{model} has no pre-processing for sound; {advice}")
    spec = _sound_input(manifest, model)
    settings = bind_step(steps[0], FRONT_ENDS, f"{model}: pre-processing")()
    samples, rate = read_wav(path)
    if rate != settings.sample_rate:
        wanted = f"the step {steps[0]['op']} of {model} takes {settings.sample_rate} Hz"
        raise DataError(f"{path}: {rate} Hz; {wanted}: resample the file")
    try:
        values, _ = build_preprocess(manifest.preprocess)(samples)
    except DataError as error:
        raise DataError(f"{path}: {len(samples)} samples do not fit {model}: {error}") from error
    return {spec.name: _cut(values, spec)}


def _sound_input(manifest: Manifest, model: Path) -> TensorSpec:
    """The only input, or, where others are states that generated C keeps to itself, the only one that the C takes."""
    taken = {spec.name for variant in manifest.variants if variant.format == "c" for spec in variant.inputs}
    inputs = manifest.inputs if len(manifest.inputs) == 1 else [s for s in manifest.inputs if s.name in taken]
    if len(inputs) != 1:
        names = ", ".join(spec.name for spec in manifest.inputs)
        raise UsageError(f"{model} takes several inputs ({names}) and sound is for one; give arrays by name as .npz")
    return inputs[0]


def _cut(values: Array, spec: TensorSpec) -> Array:
    """Rows of a stream that are more than one input takes become inputs one after the other; what is left is let go."""
    tail = tuple(size or 1 for size in spec.shape[1:])
    size = math.prod(tail)
    count = values.size // size
    if count < 2 or values.shape[2:] != tail[1:]:
        return values
    inputs: Array = values.reshape(-1)[: count * size].reshape(count, *tail)
    return inputs
