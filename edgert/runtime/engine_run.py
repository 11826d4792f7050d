"""Runs the bytes of a model file in an engine, for comparisons: outputs by position, and what the engine executed.

The engines of this process are a `edgert.verification.EngineHost`; those of a board are one through a worker that calls
this module there (edgert.devices.remote_engines).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Variant
from edgert.plugins import EngineOptions
from edgert.runtime.cpu import dot_product
from edgert.runtime.engines import get_engine
from edgert.verification import EngineRun

__all__ = ["LocalEngines"]

Array = NDArray[Any]  # Any: element types are data


class LocalEngines:
    """The engines that are installed here."""

    place: str | None = None

    def version(self, engine: str) -> str | None:
        """The installed version, or None."""
        return get_engine(engine).version()

    def dot_product(self) -> str:
        """The 8-bit dot-product instructions of this processor."""
        return dot_product().value

    def run(
        self, engine: str, model: bytes, model_format: str, options: EngineOptions, samples: Sequence[Sequence[Array]]
    ) -> EngineRun:
        """See edgert.verification.EngineHost.run."""
        executor = get_engine(engine).load(model, Variant("compared", model_format, "int8", "", (), (), (), 0), options)
        try:
            outputs = [[np.asarray(array) for array in executor.run(list(feeds))] for feeds in samples]
            return EngineRun(
                tuple(spec.name for spec in executor.inputs),
                tuple(spec.name for spec in executor.outputs),
                outputs,
                tuple(layer.op for layer in executor.layer_times()) if options.profile_layers else (),
                executor.facts(),
            )
        finally:
            executor.close()
