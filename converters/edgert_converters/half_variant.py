"""The float16 variant, and the layer where float16 breaks a model."""

from __future__ import annotations

import itertools
import math

import onnx_ir as ir

from edgert_converters.built import Built
from edgert_converters.engine import load_runner
from edgert_converters.exporters.onnx import serialize
from edgert_converters.passes.output_check import relative_error
from edgert_converters.quantize.calibrate import Samples
from edgert_converters.quantize.fp16 import FLOAT16_TOLERANCE, first_layer_beyond, to_float16

__all__ = ["build_half"]

_HALF_SAMPLES = 4


def build_half(source: Built, fast: tuple[str, ...], samples: Samples) -> Built:
    """Returns the float16 twin of the float variant.

    `fast` are the targets with an engine that computes in float16; without any it was asked for, and says so.
    """
    model = source.model
    half = to_float16(model)
    slow = () if fast else ("half the size, not faster: no engine of the targets computes in float16",)
    notes = (*slow, *_half_notes(model, half, samples))
    return Built(
        "onnx-fp16", "fp16", half, serialize(half), fast or source.targets, source.inputs, source.outputs, notes=notes
    )


def _half_notes(model: ir.Model, half: ir.Model, samples: Samples) -> tuple[str, ...]:
    """Names the layer where float16 breaks, when one of a few samples shows that it does."""
    reference, variant = load_runner(model), load_runner(half)
    for feed in itertools.islice(samples(), _HALF_SAMPLES):
        expected, found = reference(feed), variant(feed)
        error = relative_error(list(expected.values()), [found[name] for name in expected])
        if error <= FLOAT16_TOLERANCE:
            continue
        layer = first_layer_beyond(model, half, feed, FLOAT16_TOLERANCE)
        where = f"; the first layer that does is {layer.op} {layer.layer!r}" if layer is not None else ""
        how_far = (
            "is NaN or infinite"
            if math.isinf(error)
            else f"differs by {error:.2g} of its largest magnitude, above {FLOAT16_TOLERANCE:g}"
        )
        return (f"an output {how_far}{where}",)
    return ()
