"""Times model files in an engine: `python -m edgert_converters.payoff.stopwatch FOLDER`, a child process.

A file that an engine has never run may crash or hang native code; in a child that is an answer ("unknown") and not the
end of the caller. The child reads `request.json` and writes one JSON line per result to `results.jsonl` as it goes.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import SCHEMA, Manifest, Source, TensorSpec, Variant
from edgert.codec import from_plain, to_plain
from edgert.errors import EdgertError
from edgert.plugins import EngineOptions
from edgert.runtime.engines import get_engine
from edgert.runtime.session import Session

__all__ = ["REQUEST", "RESULTS", "Form", "PairRequest", "Request", "Result", "SingleRequest"]

REQUEST, RESULTS = "request.json", "results.jsonl"
_BLOCK_S = 0.02
"""Short turns: other work slows runs by half for tenths of a second, and both forms must see quiet moments."""
_MOST_ROUNDS = 40
_LEAST_ROUNDS = 3
_SINGLE_S = 0.012
_LEAST_RUNS = 5


@dataclass(frozen=True, slots=True)
class Form:
    """A model file in the folder and what it takes and gives; () for both: what the engine says."""

    file: str
    format: str
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class PairRequest:
    """Float and int8 of one network, run as a user would: float inputs and outputs, one sample."""

    float_form: Form
    int8_form: Form
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    budget_s: float


@dataclass(frozen=True, slots=True)
class SingleRequest:
    """One layer, run with its own types."""

    key: str
    form: Form


@dataclass(frozen=True, slots=True)
class Request:
    """What to time in one engine; single layers until `layers_s` is used up."""

    engine: str
    threads: int
    pair: PairRequest | None
    singles: tuple[SingleRequest, ...]
    layers_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """One line: `key` is empty for the pair. `error` says why there are no times."""

    key: str
    float_ms: float = 0.0
    int8_ms: float = 0.0
    ratios: tuple[float, ...] = ()
    least_ms: float = 0.0
    error: str | None = None


def main(folder: Path) -> int:
    """Times everything that is asked for; returns the exit code."""
    warnings.simplefilter("ignore")
    request = from_plain(Request, json.loads((folder / REQUEST).read_text()))
    with (folder / RESULTS).open("w", encoding="utf-8") as stream:
        if request.pair is not None:
            _write(stream, _time_pair(folder, request, request.pair))
        end = time.perf_counter() + request.layers_s
        for single in request.singles:
            if time.perf_counter() > end:
                break
            _write(stream, _time_single(folder, request, single))
    return 0


def _write(stream: TextIO, result: Result) -> None:
    stream.write(json.dumps(to_plain(result)) + "\n")
    stream.flush()


def _time_pair(folder: Path, request: Request, pair: PairRequest) -> Result:
    try:
        sessions = [_open(folder, request, form, pair) for form in (pair.float_form, pair.int8_form)]
        feed = {spec.name: _sample(spec) for spec in pair.inputs}
        runs = [lambda s=session: s.run(feed) for session in sessions]
        counts = [_runs_in(run, _BLOCK_S) for run in runs]
        end = time.perf_counter() + pair.budget_s
        rows: list[list[float]] = []
        while len(rows) < _MOST_ROUNDS and (len(rows) < _LEAST_ROUNDS or time.perf_counter() < end):
            rows.append([_least_s(run, count) for run, count in zip(runs, counts, strict=True)])
    except EdgertError as error:
        return Result("", error=str(error))
    least = np.min(np.array(rows), axis=0) * 1e3
    return Result("", float(least[0]), float(least[1]), tuple(row[1] / row[0] for row in rows))


def _open(folder: Path, request: Request, form: Form, pair: PairRequest) -> Session:
    variant = Variant(form.file, form.format, "", form.file, form.inputs, form.outputs, (), 0)
    options = EngineOptions(threads=request.threads)
    executor = get_engine(request.engine).load((folder / form.file).read_bytes(), variant, options)
    manifest = Manifest(SCHEMA, form.file, "", Source("", "", ""), pair.inputs, pair.outputs, (variant,), variant.id)
    return Session(manifest, variant, executor)


def _time_single(folder: Path, request: Request, single: SingleRequest) -> Result:
    form = single.form
    variant = Variant(form.file, form.format, "", form.file, (), (), (), 0)
    try:
        data = (folder / form.file).read_bytes()
        executor = get_engine(request.engine).load(data, variant, EngineOptions(threads=request.threads))
        inputs = [_sample(spec) for spec in executor.inputs]
        count = _runs_in(lambda: executor.run(inputs), _SINGLE_S)
        return Result(single.key, least_ms=_least_s(lambda: executor.run(inputs), count) * 1e3)
    except EdgertError as error:
        return Result(single.key, error=str(error))


def _sample(spec: TensorSpec) -> NDArray[Any]:  # Any: element types are data
    """Seeded values of the right type, batch 1; zeros for indices, lengths and conditions."""
    shape = tuple(size or 1 for size in spec.shape)
    rng = np.random.default_rng(0)
    kind = spec.dtype.numpy
    if np.issubdtype(kind, np.floating):
        return rng.standard_normal(shape).astype(kind)
    if np.dtype(kind).itemsize == 1 and np.issubdtype(kind, np.integer):
        return rng.integers(0, 100, shape).astype(kind)
    return np.zeros(shape, kind)


def _runs_in(run: Callable[[], object], block_s: float) -> int:
    """How many runs fill a block; warms up on the way."""
    run()
    start = time.perf_counter()
    run()
    return max(2 if block_s > _SINGLE_S else _LEAST_RUNS, int(block_s / max(time.perf_counter() - start, 1e-7)))


def _least_s(run: Callable[[], object], count: int) -> float:
    least = float("inf")
    for _ in range(count):
        start = time.perf_counter()
        run()
        least = min(least, time.perf_counter() - start)
    return least


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
