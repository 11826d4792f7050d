"""Many fuzz cases in one process with a time and a memory limit: `python -m tests.fuzz.bundle_child REQUEST.json`.

The request names the bundles to mutate, the seed and the range of cases; the answer, on stdout, holds how many cases
there were, how many passed the container's checks, how many gave a valid object, and every failure with its trace.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgert import cli
from edgert.bundle import Bundle
from edgert.codec import from_plain, to_plain
from edgert.commands.unpack import unpack
from edgert.errors import EdgertError, InternalError
from edgert.profiler.compare import compare_records
from edgert.profiler.record import parse_record
from edgert.profiler.report import build_report
from edgert.runtime.geometry import Geometry
from edgert.runtime.postprocess import build_postprocess
from edgert.runtime.preprocess import build_preprocess
from tests.fuzz import mutate

CASE_LIMIT_S = 10.0
MEMORY_LIMIT_BYTES = 3 << 30
MAX_FAILURES = 20


class TooSlowError(BaseException):
    """A case ran longer than its limit; no handler in edgert may swallow it."""


def main(request_path: str) -> int:
    request = json.loads(Path(request_path).read_text())
    folder = Path(request["folder"])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    signal.signal(signal.SIGALRM, _too_slow)
    warnings.simplefilter("ignore")  # a library's remark about damaged data is no failure
    sources = [mutate.unpack(Path(name).read_bytes()) for name in request["bundles"]]
    record = json.loads(Path(request["record"]).read_text())
    counts: Counter[str] = Counter()
    failures, slowest_s = [], 0.0
    for case in range(request["first"], request["first"] + request["count"]):
        rng = random.Random(f"{request['seed']}/{case}")
        started = time.perf_counter()
        failure = _run_case(rng, sources, record, folder, counts)
        slowest_s = max(slowest_s, time.perf_counter() - started)
        if failure:
            failures.append({"case": case, "trace": failure[-4000:]})
            if len(failures) >= MAX_FAILURES:
                break
    sys.stdout.write(json.dumps({"counts": counts, "failures": failures, "slowest_s": slowest_s}))
    return 0


def _run_case(
    rng: random.Random, sources: list[dict[str, bytes]], record: object, folder: Path, counts: Counter[str]
) -> str | None:
    try:
        if rng.random() < 0.1:
            text = mutate.dump_json(rng, mutate.mutate_json(rng, record))
            compares = rng.random() < 0.3  # the bootstrap is slow and looks at few fields
            work, kind = (lambda: read_record(text, compares)), "record"
        else:
            data = mutate.mutate_bundle(rng, rng.choice(sources))
            path = folder / "case.edge"
            path.write_bytes(data)
            counts["past_container"] += mutate.passes_container(data)
            format_flag = rng.choice(("--json", "--layers"))
            work, kind = (lambda: use_bundle(path, format_flag)), "bundle"
        counts[kind] += 1
        signal.setitimer(signal.ITIMER_REAL, CASE_LIMIT_S)
        try:
            work()
            counts[f"valid_{kind}"] += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except InternalError:
        return traceback.format_exc()
    except EdgertError as error:
        counts[type(error).__name__] += 1
        if not str(error).strip() or error.exit_code == 1:
            return traceback.format_exc()
    except (Exception, TooSlowError):
        return traceback.format_exc()
    return None


def read_record(text: bytes, compares: bool) -> None:
    """Everything that reads a profile record."""
    record = parse_record(text)
    json.dumps(to_plain(record), allow_nan=False)
    if compares:
        compare_records(record, record)


def use_bundle(path: Path, format_flag: str) -> None:
    """Everything that reads a bundle and runs no native code; every part is tried, the first error is raised."""
    use_command_line(path, format_flag)
    with Bundle.open(path) as bundle:
        manifest = bundle.manifest
        assert from_plain(type(manifest), json.loads(json.dumps(to_plain(manifest), allow_nan=False))) == manifest
        parts = (
            lambda: [manifest.variant(variant.id) for variant in manifest.variants],
            lambda: [bundle.read(name) for name in manifest.files],
            bundle.report,
            lambda: {name: array.shape for name, array in bundle.golden().items()},
            lambda: build_report(bundle).encode(),
            lambda: build_preprocess(manifest.preprocess)(np.zeros((32, 32, 3), np.uint8)),
            lambda: build_preprocess(manifest.preprocess)(np.zeros((32, 32), np.uint8)),
            lambda: _postprocess(manifest.postprocess),
        )
        errors = [error for part in parts if (error := _typed_error(part)) is not None]
        if errors:
            raise errors[0]


def _typed_error(work: Callable[[], object]) -> EdgertError | None:
    try:
        work()
    except InternalError:
        raise
    except EdgertError as error:
        return error
    return None


def _postprocess(steps: tuple[dict[str, object], ...]) -> None:
    rng = np.random.default_rng(0)
    boxes, scores = rng.random((1, 16, 4), np.float32), rng.random((1, 16, 3), np.float32)
    postprocess = build_postprocess(steps)
    geometry = Geometry((32, 32), (32, 32))
    every = ({"logits": scores[0, :1]}, {"boxes": boxes, "scores": scores}, {"boxes": boxes[0, 0, 0]})
    errors = [_typed_error(lambda outputs=outputs: postprocess(outputs, geometry)) for outputs in every]
    if None not in errors and errors[0] is not None:
        raise errors[0]


def use_command_line(path: Path, format_flag: str) -> None:
    """`inspect` and `unpack` as a user would call them; text goes through a strict encoder, as on a terminal."""
    output = path.with_name("unpacked")
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="strict")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(["inspect", str(path), format_flag])
    err.flush()
    said = err.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert status in {0, 4}, f"exit code {status}: {said}"
    assert "Traceback" not in said, said
    assert (status == 0) == (said == ""), said
    try:
        unpack(path, output)
    finally:
        leftovers = [found for found in path.parent.iterdir() if found.name not in {path.name, "unpacked"}]
        for file in sorted(output.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        if output.exists():
            output.rmdir()
        assert not leftovers, leftovers


def _too_slow(*_: object) -> None:
    raise TooSlowError(f"longer than {CASE_LIMIT_S} s")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
