"""Slice: starts, ends, axes and steps as attributes (to opset 9) or inputs."""

from __future__ import annotations

from collections.abc import Sequence

from edgert_converters.ops.attributes import input_or_attribute, normalise_axis, require_input
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.slice_tflite import read_reverse, read_slice, read_strided_slice, write_slice
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the selected part."""
    x = require_input(node, inputs, 0)
    starts = _read(node, inputs, 1, "starts", ())
    ends = _read(node, inputs, 2, "ends", ())
    axes = _read(node, inputs, 3, "axes", tuple(range(len(starts))))
    steps = _read(node, inputs, 4, "steps", (1,) * len(starts))
    cuts = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        position = normalise_axis(axis, x.ndim)
        cuts[position] = _cut(start, end, step, x.shape[position])
    return [x[tuple(cuts)]]


def _read(
    node: Node, inputs: Sequence[Array | None], index: int, name: str, default: tuple[int, ...]
) -> tuple[int, ...]:
    value = input_or_attribute(node, inputs, index, name)
    return default if value is None else tuple(int(v) for v in value.reshape(-1))


def _cut(start: int, end: int, step: int, size: int) -> slice:
    """Returns numpy's slice; going backwards, an end before the first element means up to and with it."""
    if step < 0 and (end < -size or (end < 0 and end + size < 0)):
        return slice(start, None, step)
    return slice(start, end, step)


_X = normal(2, 7, 6, seed=1)
CASES = (
    Case("default_axes", (_X, ints(0, 1), ints(1, 5)), {}, (1, 2)),
    Case("axes_steps", (_X, ints(0, -1), ints(2**62, -(2**62)), ints(1, 2), ints(2, -2)), {}, (1, 2, 3, 4)),
    Case("negative", (_X, ints(-3), ints(-1), ints(1)), {}, (1, 2, 3)),
)

SPEC = Operator(
    op_type="Slice",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=move_integers(reference),
    onnxruntime_int8=True,
    from_tflite={"REVERSE_V2": read_reverse, "SLICE": read_slice, "STRIDED_SLICE": read_strided_slice},
    to_tflite=write_slice,
)
