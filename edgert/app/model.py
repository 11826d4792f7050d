"""The model of an app: a bundle's variant with its pre- and post-processing, each timed; variants are switched live."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from edgert.app.frames import Array
from edgert.app.known_answers import check_known_answers
from edgert.app.place import Opened, Place
from edgert.bundle import Manifest
from edgert.errors import DeviceError, EdgertError, UsageError, did_you_mean
from edgert.onboard.health import KnownAnswers
from edgert.runtime.postprocess import as_classification
from edgert.runtime.results import Result
from edgert.runtime.session import Session

__all__ = ["AppModel", "Timed"]


@dataclass(frozen=True, slots=True)
class Timed:
    """A result, what the model was given for it (with the batch axis), and how long its parts took."""

    result: Result
    features: Array
    preprocess_ms: float
    inference_ms: float
    postprocess_ms: float


class AppModel:
    """`run` belongs to one thread; `switch` may be called from any other: it loads there, and the next run uses it.

    A microcontroller that fails or is unplugged is reached anew by the next `run`.
    """

    def __init__(self, path: Path, variant: str | None = None, place: Place | None = None) -> None:
        self._path, self._place = path, place or Place()
        self._opened = self._place.open(path, variant)
        self._next: Opened | None = None
        self._is_lost = False
        self._guard = threading.Lock()
        self._loading = threading.Lock()
        self._facts = {name: value for name, value in self._session.facts().items() if name in ("engine", "version")}

    @property
    def is_remote(self) -> bool:
        """Whether it runs on a microcontroller, which may be unplugged and come back."""
        return self._place.device is not None

    @property
    def _session(self) -> Session:
        return self._opened.session

    @property
    def name(self) -> str:
        """Name of the model in its manifest."""
        return self.manifest.name

    @property
    def manifest(self) -> Manifest:
        """What the bundle says about itself; the same for all its variants."""
        return self._session.manifest

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, or ()."""
        return self._session.labels

    @property
    def variant(self) -> str:
        """The variant that runs, or runs next."""
        with self._guard:
            return (self._next or self._opened).session.variant.id

    @property
    def engine(self) -> str:
        """Name and version of the engine."""
        return " ".join(str(value) for value in self._facts.values())

    @property
    def variants(self) -> tuple[str, ...]:
        """Variants of the bundle that an engine here loads: those in the format of the one that runs first.

        On a microcontroller there is the one that its firmware holds.
        """
        current = self._session.variant
        if self.is_remote:
            return (current.id,)
        return tuple(v.id for v in self._session.manifest.variants if v.format == current.format)

    def check(self) -> KnownAnswers | None:
        """Compares what the variant answers here with what it answered when it was converted; before the first run.

        Raises:
            WrongAnswersError: an output differs by more than allowed.
        """
        return check_known_answers(self._path, self._session)

    def switch(self, variant: str) -> None:
        """Loads another variant beside the one that runs; once its answers are right, the next run uses it.

        Raises:
            UsageError: the bundle has no such variant.
            EngineError: no engine here runs it.
            WrongAnswersError: an output differs from that of the conversion by more than allowed.
        """
        if variant not in self.variants:
            raise UsageError(f"the bundle has no variant {variant!r}{did_you_mean(variant, self.variants)}")
        with self._loading:
            if variant == self.variant:
                return
            opened = self._place.open(self._path, variant)
            try:
                check_known_answers(self._path, opened.session)
            except EdgertError:
                opened.close()
                raise
            with self._guard:
                unused, self._next = self._next, opened
            if unused is not None:
                unused.close()

    def run(self, values: Array) -> Timed:
        """Returns the result for one picture uint8[H, W, 3], sound int16[n], or what the bundle's first step takes.

        Raises:
            DataError: the values do not fit the first step.
            DeviceError: the microcontroller did not answer, or the engine failed (EngineError).
        """
        session = self._current()
        start_s = time.perf_counter()
        array, geometry = session.preprocess(values)
        ready_s = time.perf_counter()
        try:
            outputs = session.run(array)
        except DeviceError:
            self._is_lost = self.is_remote
            raise
        done_s = time.perf_counter()
        result = session.postprocess(outputs, geometry)
        result = as_classification(result) or result
        end_s = time.perf_counter()
        return Timed(result, array, (ready_s - start_s) * 1e3, (done_s - ready_s) * 1e3, (end_s - done_s) * 1e3)

    def close(self) -> None:
        """Frees the sessions."""
        with self._guard:
            waiting, self._next = self._next, None
        for opened in (self._opened, waiting):
            if opened is not None:
                opened.close()

    def _current(self) -> Session:
        if self._is_lost:
            self._opened.close()
            self._opened = self._place.open(self._path, self._session.variant.id)
            self._is_lost = False
        if self._next is not None:
            with self._guard:
                old, opened = self._opened, self._next
                self._opened, self._next = opened, None
            old.close()
        return self._session
