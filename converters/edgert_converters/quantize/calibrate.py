"""Runs the float model over calibration samples and keeps streaming statistics of the tensors asked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from edgert.errors import DataError
from edgert.plugins import EngineOptions, ProgressReporter
from edgert_converters.engine import load_runner
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.pieces import cut_model
from edgert_converters.quantize.statistics import TensorStatistics
from edgert_converters.quantize.value_sizes import value_bytes

__all__ = ["Samples", "ValueStream", "collect_statistics", "expose_values", "load_stream"]

Samples: TypeAlias = Callable[[], Iterable[Mapping[str, Array]]]
"""Gives the calibration inputs (by name, batch 1), from the start, each time it is called."""

ValueStream: TypeAlias = Callable[[Mapping[str, Array]], Iterator[tuple[str, Array]]]
"""Runs the graph once and yields values by name while it runs."""

_PIECE_BYTES = 8 << 20
"""Fewer would cut into what an engine fuses, more would leave the caches."""

_OPTIONS = EngineOptions(options={"memory_arena": "shared", "allow_spinning": "0"})
"""Arenas of their own would keep the memory of every piece (and without any, glibc before 2.38 does not find the blocks
again that it freed); threads that spin between two runs take the cores of the statistics."""


def collect_statistics(
    model: ir.Model,
    names: Sequence[str],
    samples: Iterable[Mapping[str, Array]],
    progress: ProgressReporter,
    total: int = 0,
) -> dict[str, TensorStatistics]:
    """Returns statistics of the named float values over all samples.

    One sample is in memory at a time, and of its activations those that `load_stream` keeps, so the peak grows neither
    with the number of samples nor with the depth of the model.

    Args:
        model: the float model; not changed.
        names: values to watch (graph inputs, or outputs of nodes).
        samples: inputs by name, each with a leading batch axis.
        progress: told after each sample.
        total: number of samples, for the progress report.

    Raises:
        DataError: there are no samples, or a tensor holds NaN or an infinity.
    """
    remaining = iter(samples)
    first = next(remaining, None)
    if first is None:
        raise DataError("the calibration set is empty; give at least one sample (100 or more are usual)")
    inputs = {value.name for value in model.graph.inputs}
    stream = load_stream(model, [name for name in names if name not in inputs], first)
    statistics = {name: TensorStatistics() for name in names}
    for seen, sample in enumerate(itertools.chain([first], remaining), start=1):
        given = ((name, sample[name]) for name in names if name in inputs)
        for name, values in itertools.chain(given, stream(sample)):
            statistics[name].update(np.asarray(values, np.float32), name)
        progress("calibrate", seen, total)
    return statistics


def load_stream(
    model: ir.Model, names: Sequence[str], sample: Mapping[str, Array], piece_bytes: int = _PIECE_BYTES
) -> ValueStream:
    """Returns a function that runs the graph for one sample and yields the named values, each once.

    In memory are the values that are still to be read, and those of one piece of the graph.

    Args:
        model: not changed.
        names: outputs of nodes.
        sample: says how large the values are.
        piece_bytes: of the values that one piece makes.
    """
    wanted = frozenset(names)
    pieces = [
        (load_runner(piece.model, "a piece of the graph", _OPTIONS), piece.kept, piece.released)
        for piece in cut_model(model, wanted, value_bytes(model, sample), piece_bytes)
    ]

    def stream(inputs: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
        held = dict(inputs)
        for run, kept, released in pieces:
            outputs = run(held)
            for name in released:
                del held[name]
            held.update((name, outputs[name]) for name in kept)
            for name in [name for name in outputs if name in wanted]:
                yield name, outputs.pop(name)

    return stream


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
