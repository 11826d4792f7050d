"""What a running app says of itself in one small file, for whoever watches it on the same board: its only definition.

The app replaces the file as a whole once a second and at every change of phase; the loop itself writes it, so that one
that hangs falls silent here as well. `Health.age_s` says for how long nothing was heard.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

__all__ = [
    "CHECKING",
    "EVERY_S",
    "FAILED",
    "HEALTH_VARIABLE",
    "LOADING",
    "PHASES",
    "RELEASE_VARIABLE",
    "RUNNING",
    "SCHEMA",
    "Health",
    "KnownAnswers",
    "Latencies",
    "health_text",
    "read_health",
]

SCHEMA = 1
HEALTH_VARIABLE = "EDGERT_HEALTH_FILE"
RELEASE_VARIABLE = "EDGERT_RELEASE"
EVERY_S = 1.0
LOADING, CHECKING, RUNNING, FAILED = PHASES = ("loading", "checking", "running", "failed")
"""Opening the model; running its known inputs; the loop runs; it ends with `problem` as the reason."""
_MAX_BYTES = 1 << 16

T = TypeVar("T")


@dataclass(frozen=True)
class KnownAnswers:
    """How far the outputs of the bundle's golden inputs were from those of the conversion, in `unit`.

    `max_steps` and `allowed_steps` are of the output that came nearest to its limit. `unit` is `steps` of that output's
    quantization, or `share of the largest value` of one without quantization.
    """

    samples: int
    max_steps: float
    allowed_steps: float
    unit: str = "steps"


@dataclass(frozen=True)
class Latencies:
    """Milliseconds over the `count` inferences of this run."""

    count: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Health:
    """How an app is doing.

    `is_healthy`: a frame was processed within the last 5 s. `energy_mj` is per frame, None where no sensor tells.
    `known_answers` is None before they were compared and where the bundle holds none; `problem` says so then.
    `monotonic_s` is when this was written, on this board's CLOCK_MONOTONIC.
    """

    pid: int
    release: str | None
    phase: str
    problem: str | None = None
    known_answers: KnownAnswers | None = None
    frames: int = 0
    is_healthy: bool = False
    fps: float = 0.0
    inference_ms: Latencies | None = None
    energy_mj: float | None = None
    power_source: str | None = None
    page: str | None = None
    monotonic_s: float = 0.0
    schema: int = SCHEMA

    def age_s(self, now_s: float | None = None) -> float:
        """Seconds since it was written."""
        return (time.monotonic() if now_s is None else now_s) - self.monotonic_s


def health_text(health: Health) -> str:
    """Returns the text of the file."""
    return json.dumps(asdict(health), allow_nan=False)


def read_health(path: Path) -> Health | None:
    """Returns what an app wrote; None where nothing is there, or no whole file of this schema."""
    try:
        with path.open("rb") as stream:
            data = json.loads(stream.read(_MAX_BYTES + 1))
        return _parse(data)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):  # it names another thing, or half of one
        return None


def _parse(data: Any) -> Health:  # Any: JSON, checked field by field
    if not isinstance(data, dict) or data["schema"] != SCHEMA or data["phase"] not in PHASES:
        raise ValueError("no health file of this schema")
    answers, latencies = data["known_answers"], data["inference_ms"]
    parts = {
        "known_answers": None if answers is None else _checked(KnownAnswers, answers),
        "inference_ms": None if latencies is None else _checked(Latencies, latencies),
    }
    return _checked(Health, {**data, **parts})


def _checked(kind: type[T], data: dict[str, Any]) -> T:
    """Returns the dataclass of a JSON object whose values have the declared types; other keys are of a newer edgert."""
    if not isinstance(data, dict):
        raise TypeError(f"no object for {kind.__name__}")
    known = {field.name: str(field.type) for field in fields(kind)}  # type: ignore[arg-type]  # only dataclasses come
    values = {name: value for name, value in data.items() if name in known}
    for name, value in values.items():
        if not any(_is_of(value, word.strip()) for word in known[name].split("|")):
            raise TypeError(f"{name} is {value!r}, not {known[name]}")
    return kind(**values)


def _is_of(value: object, word: str) -> bool:
    if word == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value).__name__ == ("NoneType" if word == "None" else word)
