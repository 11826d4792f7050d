"""A model opened as a request says: what any measurement of it begins with."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgert.bundle import Bundle
from edgert.profiler.environment import EnvironmentReader
from edgert.profiler.model_input import choose_input
from edgert.profiler.record import EnvironmentSample
from edgert.profiler.request import ProfileRequest
from edgert.runtime.plain_model import is_bundle
from edgert.runtime.session import Session, load, load_profiled

__all__ = ["Watch", "open_model", "prepare", "timed"]

Array = NDArray[Any]  # Any: element types are data


@dataclasses.dataclass(slots=True)
class Watch:
    """Collects environment samples between the windows of one measurement."""

    reader: EnvironmentReader
    samples: list[EnvironmentSample] = dataclasses.field(default_factory=list)

    def between(self, _: int) -> None:
        """Takes one more sample."""
        self.samples.append(self.reader.sample())


def open_model(request: ProfileRequest, *, records_layers: bool = False) -> Session:
    """Loads what a request names; with `records_layers` so that every run is slower, but tells the time of each layer.

    Raises:
        EdgertError: it cannot be loaded here.
    """
    return (load_profiled if records_layers else load)(
        request.path,
        variant=request.variant,
        threads=request.threads,
        engine=request.engine,
        options=request.options,
        tuned=request.tuned,
        accelerator=request.accelerator,
    )


def prepare(session: Session, request: ProfileRequest, arrays: Mapping[str, Array]) -> tuple[Callable[[], object], str]:
    """Returns what runs the model once, and where its input is from: given, golden or random.

    Args:
        session: the model.
        request: its shapes and seed.
        arrays: inputs by name, or an image under `image`.

    Raises:
        EdgertError: an input is wrong, or has no size.
    """
    given = _given(session, arrays)
    inputs, origin = choose_input(session, given, _golden(Path(request.path)), request.shapes, request.seed)
    feed: Any = next(iter(inputs.values())) if len(inputs) == 1 else inputs  # Any: either form of Session.run
    return lambda: session.run(feed), origin


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Returns what a call gives, and the ms that it took."""
    start = time.perf_counter_ns()
    result = function()
    return result, (time.perf_counter_ns() - start) / 1e6


def _given(session: Session, arrays: Mapping[str, Array]) -> dict[str, Array]:
    names = [spec.name for spec in session.inputs]
    if "image" in arrays and "image" not in names:
        prepared, _ = session.preprocess(arrays["image"])
        return {names[0]: prepared}
    if len(names) == 1 and len(arrays) == 1:
        return {names[0]: next(iter(arrays.values()))}
    return {name: array for name, array in arrays.items() if name in names}


def _golden(path: Path) -> dict[str, Array]:
    if not is_bundle(path):
        return {}
    with Bundle.open(path) as bundle:
        return bundle.golden()
