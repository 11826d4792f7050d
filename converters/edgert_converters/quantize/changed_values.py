"""Values that a step scaled or mixed get another name: by their old one they would be compared with what they were."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import load_stream

__all__ = ["CHANGED_SUFFIX", "rename_changed"]

CHANGED_SUFFIX = "__changed"
_LOOKED_AT = 256
"""Elements of a value that are compared."""
_SAME = 1e-3
"""Of the largest element: what rounding in float moves stays far below."""


def rename_changed(before: ir.Model, after: ir.Model, sample: Mapping[str, Array]) -> None:
    """Renames in `after` every inner value that holds other numbers than the value of that name in `before`.

    Args:
        before: the float graph before a step.
        after: the same after it; changed in place.
        sample: one calibration input by name.
    """
    outputs = {value.name for value in after.graph.outputs}
    values = {str(v.name): v for node in after.graph for v in node.outputs if v.name not in outputs and v.name}
    old = _look(before, {str(v.name) for node in before.graph for v in node.outputs} & values.keys(), sample)
    new = _look(after, set(old), sample)
    for name, numbers in new.items():
        if not _alike(old[name], numbers):
            values[name].name = f"{name}{CHANGED_SUFFIX}"


def _look(model: ir.Model, names: set[str], sample: Mapping[str, Array]) -> dict[str, NDArray[np.float64]]:
    found = {}
    floats = [
        str(v.name)
        for node in model.graph
        for v in node.outputs
        if v.name in names and v.dtype in {ir.DataType.FLOAT, None}
    ]
    for name, values in load_stream(model, floats, sample)(sample):
        flat = np.asarray(values, np.float64).reshape(-1)
        found[name] = flat[:: max(1, flat.size // _LOOKED_AT)].copy()
    return found


def _alike(old: NDArray[np.float64], new: NDArray[np.float64]) -> bool:
    if old.shape != new.shape or not old.size:
        return old.shape == new.shape
    return bool(np.max(np.abs(old - new)) <= _SAME * max(float(np.max(np.abs(old))), 1e-30))
