"""Runs the float model over calibration samples and keeps streaming statistics of the tensors asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from edgert.errors import DataError
from edgert.plugins import ProgressReporter
from edgert_converters.engine import load_runner
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.statistics import TensorStatistics

__all__ = ["Samples", "collect_statistics", "expose_values"]

Samples: TypeAlias = Callable[[], Iterable[Mapping[str, Array]]]
"""Gives the calibration inputs (by name, batch 1), from the start, each time it is called."""


def collect_statistics(
    model: ir.Model,
    names: Sequence[str],
    samples: Iterable[Mapping[str, Array]],
    progress: ProgressReporter,
    total: int = 0,
) -> dict[str, TensorStatistics]:
    """Returns statistics of the named float values over all samples.

    One sample is in memory at a time, so the peak does not grow with their number.

    Args:
        model: the float model; not changed.
        names: values to watch (graph inputs, or outputs of nodes).
        samples: inputs by name, each with a leading batch axis.
        progress: told after each sample.
        total: number of samples, for the progress report.

    Raises:
        DataError: there are no samples, or a tensor holds NaN or an infinity.
    """
    inputs = {value.name for value in model.graph.inputs}
    watched = [name for name in names if name not in inputs]
    run = load_runner(expose_values(model, watched))
    statistics = {name: TensorStatistics() for name in names}
    seen = 0
    for sample in samples:
        outputs = run(sample)
        for name, tensor in statistics.items():
            values = sample[name] if name in inputs else outputs[name]
            tensor.update(np.asarray(values, np.float32), name)
        seen += 1
        progress("calibrate", seen, total)
    if seen == 0:
        raise DataError("the calibration set is empty; give at least one sample (100 or more are usual)")
    return statistics


def expose_values(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """Returns a copy of the model that also outputs the named values, after its own outputs."""
    copy = model.clone()
    present = {value.name for value in copy.graph.outputs}
    wanted = set(names) - present
    found = [value for node in copy.graph for value in node.outputs if value.name in wanted]
    for value in found:
        value.shape = None  # the batch axis may be symbolic under another name; engines infer it again
        copy.graph.outputs.append(value)
    return copy
