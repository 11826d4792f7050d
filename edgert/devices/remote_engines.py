"""The engines of a device behind a worker, for comparisons: models and arrays go there, outputs come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.devices.client import WorkerClient
from edgert.errors import ModelError
from edgert.plugins import EngineOptions
from edgert.verification import EngineRun

__all__ = ["RemoteEngines"]

Array = NDArray[Any]  # Any: element types are data


class RemoteEngines:
    """The engines that a worker has; `place` is the name of its device."""

    def __init__(self, worker: WorkerClient, place: str) -> None:
        self.place: str | None = place
        self._worker = worker
        facts = worker.call("engines").body
        self._versions: dict[str, str | None] = facts["engines"]
        self._dot_product = str(facts["dot_product"])

    def version(self, engine: str) -> str | None:
        """The version that is installed there, or None."""
        return self._versions.get(engine)

    def dot_product(self) -> str:
        """The 8-bit dot-product instructions of its processor."""
        return self._dot_product

    def run(
        self, engine: str, model: bytes, model_format: str, options: EngineOptions, samples: Sequence[Sequence[Array]]
    ) -> EngineRun:
        """See edgert.verification.EngineHost.run."""
        body = {
            "engine": engine,
            "format": model_format,
            "threads": options.threads,
            "options": options.options,
            "profile_layers": options.profile_layers,
            "samples": [len(feeds) for feeds in samples],
        }
        arrays = {f"{row}.{column}": array for row, feeds in enumerate(samples) for column, array in enumerate(feeds)}
        arrays["model"] = np.frombuffer(model, np.uint8)
        reply = self._worker.call("run_model", body, arrays, crash=ModelError)
        names = tuple(reply.body["outputs"])
        outputs = [[reply.arrays[f"{row}.{column}"] for column in range(len(names))] for row in range(len(samples))]
        layers = tuple(reply.body["layers"])
        return EngineRun(tuple(reply.body["inputs"]), names, outputs, layers, reply.body["facts"])
