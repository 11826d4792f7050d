"""TensorFlow Lite Micro on this computer: the package `tflite-micro`, the oracle of `q31` requantization."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgert.dtypes import DType
from edgert.errors import EngineError, ModelError
from edgert.runtime.engines.options import one_line
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.read import parse_tflite

__all__ = ["TflmEngine"]

_FIRST_ARENA_BYTES = 1 << 24
_LARGEST_ARENA_BYTES = 1 << 28
# the package also parses the flatbuffer in Python, without checks
_REFUSALS = (RuntimeError, ValueError, TypeError, AttributeError, IndexError, KeyError, struct.error)
_KERNELS = ("reference kernels of TFLM",)


class TflmEngine:
    """Runs TFLite files in TFLM's interpreter; the arena grows until the file fits."""

    def version(self) -> str | None:
        """The installed version, or None."""
        if importlib.util.find_spec("tflite_micro") is None:
            return None
        return importlib.metadata.version("tflite-micro")

    def run(self, data: bytes, samples: Sequence[Sequence[Array]]) -> tuple[list[list[Array]], tuple[str, ...]]:
        """Returns the outputs of each sample by position, and the kernels that ran.

        Raises:
            ModelError: TFLM does not read the file; its log on stderr says why.
            EngineError: it failed while running.
        """
        count = _checked_outputs(data)
        interpreter = _load(data)
        results = []
        try:
            for feeds in samples:
                for index, array in enumerate(feeds):
                    interpreter.set_input(array, index)
                interpreter.invoke()
                results.append([np.array(interpreter.get_output(index)) for index in range(count)])
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"tflm failed while running: {one_line(error)}") from error
        return results, _KERNELS


def _load(data: bytes) -> Any:  # Any: untyped package
    from tflite_micro import runtime

    arena_bytes = max(_FIRST_ARENA_BYTES, 2 * len(data))
    while True:
        try:
            return runtime.Interpreter.from_bytes(data, arena_size=arena_bytes)
        except _REFUSALS as error:
            if arena_bytes >= _LARGEST_ARENA_BYTES or "allocate" not in str(error):
                raise ModelError(f"tflm cannot load the file: {one_line(error)}") from error
        arena_bytes *= 16


def _checked_outputs(data: bytes) -> int:
    """Returns the number of outputs of a file that TFLM does not abort on."""
    graph = parse_tflite(data).subgraphs[0]
    if any(tensor.dtype is DType.UINT8 and tensor.quant is not None for tensor in graph.tensors):
        raise ModelError("tflm has no uint8 kernels")
    return len(graph.outputs)
