"""What pre- and post-processing take beside the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Manifest
from edgert.profiler.measure import median_ms
from edgert.profiler.record import Stages
from edgert.runtime.audio.settings import FRONT_ENDS, needed_samples
from edgert.runtime.geometry import Geometry
from edgert.runtime.session import Session
from edgert.runtime.steps import bind_step

__all__ = ["measure_stages"]

Array = NDArray[Any]  # Any: element types are data


def measure_stages(session: Session, run: Callable[[], Any], arrays: Mapping[str, Array], seed: int) -> Stages:
    """Returns the times of pre- and post-processing; None where the model has none.

    Args:
        session: of a bundle or a plain model.
        run: gives the model's outputs.
        arrays: an `image`, where there is one, is what pre-processing is measured on.
        seed: of what it is measured on otherwise.
    """
    manifest = session.manifest
    notes, before_ms, after_ms = [], None, None
    geometry = Geometry((1, 1), (1, 1))
    if manifest.preprocess:
        given = arrays.get("image")
        if given is None:
            given, note = _example(manifest, seed)
            notes.append(note)
        _, geometry = session.preprocess(given)
        before_ms = median_ms(lambda: session.preprocess(given))
    else:
        notes.append("the model has no pre-processing steps")
    if manifest.postprocess:
        outputs = run()
        after_ms = median_ms(lambda: session.postprocess(outputs, geometry))
    else:
        notes.append("the model has no post-processing steps")
    return Stages(before_ms, 0.0, after_ms, "; ".join(notes))


def _example(manifest: Manifest, seed: int) -> tuple[Array, str]:
    """Something that the pre-processing can be measured on, and what it is."""
    rng = np.random.default_rng(seed)
    for step in manifest.preprocess:
        if step["op"] in FRONT_ENDS:
            features = math.prod(size or 1 for size in manifest.inputs[0].shape)
            samples = needed_samples(bind_step(step, FRONT_ENDS, "preprocess")(), features)
            noise = rng.integers(-(1 << 15), 1 << 15, samples)
            return noise.astype(np.int16), f"pre-processing measured on {len(noise)} samples of noise"
    image = rng.integers(0, 256, (480, 640, 3)).astype(np.uint8)
    return image, "pre-processing measured on a random 640x480 image"
