"""Runs a model on seeded random input and measures how far its outputs are from the source model's.

ONNX Runtime without graph optimizations, one thread. Meant for the child process of the importer: a model that nobody
has checked can bring an engine down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert.errors import MissingExtraError, ModelError
from edgert.runtime.engines.onnxruntime import import_onnxruntime

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Feed", "OutputCheck", "first_line", "random_feed", "relative_error", "run_model"]

Array = NDArray[Any]  # Any: the element type is data
Feed = dict[str, Array]
_SEED = 20260101


def random_feed(names: Sequence[str], shapes: Sequence[tuple[int, ...]], dtypes: Sequence[DType]) -> Feed:
    """Returns seeded input: standard normal floats, integers in [0, 1], booleans; the same for the same arguments."""
    generator = np.random.default_rng(_SEED)
    feed: Feed = {}
    for name, shape, dtype in zip(names, shapes, dtypes, strict=True):
        if dtype in {DType.FLOAT, DType.FLOAT16, DType.DOUBLE}:
            feed[name] = generator.standard_normal(shape).astype(dtype.numpy)
        elif dtype in {DType.INT8, DType.UINT8}:
            low, high = dtype.integer_range
            feed[name] = generator.integers(low, high + 1, shape).astype(dtype.numpy)
        elif dtype is DType.STRING:
            feed[name] = np.full(shape, "a", object)
        else:
            feed[name] = generator.integers(0, 2, shape).astype(dtype.numpy)
    return feed


def run_model(serialized: bytes, feed: Feed, *, optimize: bool = False) -> list[Array]:
    """Returns the outputs of a model for one input.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        ModelError: ONNX Runtime cannot load or run it; the message holds its reason.
    """
    try:
        onnxruntime = import_onnxruntime()
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "convert", "checking a model") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    # without this, x86 machines without VNNI saturate uint8 x int8 products (docs/numerics.md)
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        session = onnxruntime.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])
        return [np.asarray(output) for output in session.run(None, feed)]
    except Exception as error:  # onnxruntime raises its own types, RuntimeError and MemoryError alike
        raise ModelError(f"ONNX Runtime cannot run the model: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Returns the first line of an error with something in it, cut to a readable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."


def relative_error(expected: Sequence[Array], found: Sequence[Array]) -> float:
    """Returns the largest difference of any output, as a share of the largest magnitude of that output.

    Other shapes, types or a different pattern of non-finite numbers count as infinite.
    """
    if len(expected) != len(found):
        return float("inf")
    worst = 0.0
    for a, b in zip(expected, found, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            return float("inf")
        if a.dtype.kind not in "fiub":
            worst = max(worst, 0.0 if np.array_equal(a, b) else float("inf"))
            continue
        left, right = a.astype(np.float64), b.astype(np.float64)
        finite = np.isfinite(left)
        if not np.array_equal(finite, np.isfinite(right)) or not np.array_equal(left[~finite], right[~finite], True):
            return float("inf")
        if finite.any():
            difference = float(np.abs(left[finite] - right[finite]).max())
            scale = float(np.abs(left[finite]).max())
            worst = max(worst, 0.0 if difference == 0 else difference / scale if scale else float("inf"))
    return worst


@dataclass(frozen=True, slots=True)
class OutputCheck:
    """The source model's outputs on a few inputs, to compare every later form of the model with."""

    feeds: tuple[Feed, ...]
    expected: tuple[tuple[Array, ...], ...]

    def error(self, model: ir.Model) -> float:
        """Returns the largest relative error of a model over all inputs.

        Raises:
            ModelError: ONNX Runtime cannot run the model.
        """
        import onnx_ir

        serialized = onnx_ir.to_proto(model).SerializeToString()
        pairs = zip(self.feeds, self.expected, strict=True)
        return max((relative_error(want, run_model(serialized, feed)) for feed, want in pairs), default=0.0)
