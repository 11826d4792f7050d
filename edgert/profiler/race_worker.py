"""The worker of one candidate, on the device: `python -m edgert.profiler.race_worker`.

Beside the calls of a session it answers `survey` (what can take part here), `answers` (outputs to compare), `window`
(one short measurement), and `store` and `forget` for the device's settings.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Bundle
from edgert.codec import from_plain, to_plain
from edgert.errors import OutputError, UsageError
from edgert.profiler.candidates import list_entries, physical_cores
from edgert.profiler.measure import Plan, measure_windows, wait_until_quiet
from edgert.profiler.model_input import choose_input
from edgert.runtime.plain_model import is_bundle, plain_variant, read_plain
from edgert.runtime.session import Session
from edgert.runtime.settings import Tuned, cpu_identity, forget, store
from edgert.runtime.wire import Message
from edgert.runtime.worker import SessionHandlers, serve_stdio

__all__ = ["RaceHandlers", "main"]

Array = NDArray[Any]  # Any: element types are data

_UNCOUNTED_RUNS = 3


class RaceHandlers(SessionHandlers):
    """A worker's calls, and those of a race."""

    def __init__(self) -> None:
        super().__init__()
        self._path = ""
        self._feed: Any = None  # Any: either form that Session.run takes

    def table(self) -> dict[str, Callable[[Message], Message]]:
        """The calls this object answers."""
        more = (self.survey, self.answers, self.window, self.store, self.forget)
        return {**SessionHandlers.table(self), **{call.__name__: call for call in more}}

    def survey(self, request: Message) -> Message:
        """Returns the candidates for the model at `path`, its hash, the processor and how busy it is."""
        path, threads = Path(request.body["path"]), request.body.get("threads")
        sha256, variants, reference = _model(path)
        entries = list_entries(variants, reference, threads, physical_cores())
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        facts = {"sha256": sha256, "cpu": cpu_identity(), "load_average": load, "cores": physical_cores()}
        return Message({"entries": to_plain(entries), "reference": reference, **facts})

    def load(self, request: Message) -> Message:
        """Loads `path` as a session does, and remembers where it is."""
        self._path = str(request.body["path"])
        self._feed = None
        return super().load(request)

    def answers(self, request: Message) -> Message:
        """Runs the golden inputs one after the other, or one seeded random input; returns stacked outputs.

        Array `NAME` is [N, ...] for output NAME. `origin` says which inputs: golden or random. What is measured later
        is the first of them.
        """
        session = self._loaded()
        golden = _golden(Path(self._path))
        shapes = {name: tuple(shape) for name, shape in (request.body.get("shapes") or {}).items()}
        first, origin = choose_input(session, {}, golden, shapes, int(request.body.get("seed", 0)))
        samples = _samples(session, golden) if origin == "golden" else [first]
        outputs = [session.run(sample) for sample in samples]
        session.reset()
        self._feed = next(iter(first.values())) if len(first) == 1 else first
        stacked = {name: np.stack([output[name] for output in outputs]) for name in outputs[0]}
        return Message({"origin": origin, "samples": len(samples)}, stacked)

    def window(self, request: Message) -> Message:
        """Runs for about `duration_s` and returns `times_ms` float64[runs], after the process has become quiet."""
        session, feed = self._loaded(), self._feed
        if feed is None:
            raise UsageError("worker: window before answers")
        plan = Plan(float(request.body["duration_s"]), windows=1)
        start = time.monotonic()
        for _ in range(_UNCOUNTED_RUNS):
            session.run(feed)
            if time.monotonic() - start > plan.duration_s:
                break
        (times_ms,) = measure_windows(lambda: session.run(feed), plan, lambda _: None)
        return Message({"quiet_s": wait_until_quiet()}, {"times_ms": times_ms})

    def store(self, request: Message) -> Message:
        """Writes the winner to this device's settings; `error` says why it could not."""
        try:
            return Message({"file": str(store(from_plain(Tuned, request.body["tuned"])))})
        except OutputError as error:
            return Message({"file": None, "error": str(error)})

    def forget(self, request: Message) -> Message:
        """Removes what is stored for the model at `path`; `found` says whether there was anything."""
        path = Path(request.body["path"])
        try:
            return Message({"found": forget(path, _model(path)[0])})
        except OSError as error:
            return Message({"found": False, "error": f"cannot remove {error.filename}: {error.strerror}"})

    def _loaded(self) -> Session:
        if self._session is None:
            raise UsageError("worker: load comes first")
        return self._session


def main() -> int:
    """Runs the worker."""
    return serve_stdio(RaceHandlers().table())


def _model(path: Path) -> tuple[str, tuple[Any, ...], str]:  # Any: Variant
    """Hash, variants and reference of a bundle or plain model."""
    if not is_bundle(path):
        variant = plain_variant(path)
        return hashlib.sha256(read_plain(path)).hexdigest(), (variant,), variant.id
    with Bundle.open(path) as bundle:
        variants = bundle.manifest.variants
        report = bundle.report()
        named = report.get("reference", {}).get("variant") if isinstance(report, dict) else None
        return bundle.sha256, variants, named or variants[0].id


def _golden(path: Path) -> dict[str, Array]:
    if not is_bundle(path):
        return {}
    with Bundle.open(path) as bundle:
        return bundle.golden()


def _samples(session: Session, golden: Mapping[str, Array]) -> list[dict[str, Array]]:
    arrays = {spec.name: golden[f"input/{spec.name}"] for spec in session.inputs}
    return [{name: array[index] for name, array in arrays.items()} for index in range(len(next(iter(arrays.values()))))]


if __name__ == "__main__":
    raise SystemExit(main())
