"""Many mutated .tflite files in one process with a time and memory limit: `python -m tests.fuzz.tflite_child REQUEST`.

The request names the files to mutate, the seed and the range of cases; the answer, on stdout, holds how many were
parsed, how many became models, and every failure with its trace.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import onnx

from edgert.errors import EdgertError, InternalError
from edgert_converters.importers.tflite_file import load_tflite
from edgert_converters.tflite.metadata import METADATA_KEY, parse_metadata, read_files
from edgert_converters.tflite.model import TfModel
from edgert_converters.tflite.read import parse_tflite
from edgert_converters.tflite.write import serialize_tflite
from tests.fuzz.mutate_tflite import mutate_file

CASE_LIMIT_S = 10.0
MEMORY_LIMIT_BYTES = 3 << 30
MAX_FAILURES = 20


class TooSlowError(BaseException):
    """A case ran longer than its limit; no handler in edgert may swallow it."""


def main(request_path: str) -> int:
    request = json.loads(Path(request_path).read_text())
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    signal.signal(signal.SIGALRM, _too_slow)
    warnings.simplefilter("ignore")  # numpy's remarks about damaged numbers are no failure
    sources = [(data, parse_tflite(data)) for data in (Path(name).read_bytes() for name in request["files"])]
    path = Path(request_path).with_name("case.tflite")
    counts: Counter[str] = Counter()
    failures, slowest_s = [], 0.0
    for case in range(request["first"], request["first"] + request["count"]):
        rng = random.Random(f"{request['seed']}/{case}")
        data = mutate_file(rng, *rng.choice(sources))
        started = time.perf_counter()
        failure = _run_case(data, path, counts, thorough=rng.random() < 0.1)
        slowest_s = max(slowest_s, time.perf_counter() - started)
        if failure:
            failures.append({"case": case, "trace": failure[-4000:]})
            if len(failures) >= MAX_FAILURES:
                break
    sys.stdout.write(json.dumps({"counts": counts, "failures": failures, "slowest_s": slowest_s}))
    return 0


def _run_case(data: bytes, path: Path, counts: Counter[str], *, thorough: bool) -> str | None:
    counts["cases"] += 1
    signal.setitimer(signal.ITIMER_REAL, CASE_LIMIT_S)
    try:
        file = parse_tflite(data)
        counts["parsed"] += 1
        if thorough:
            _check_round_trip(file)
            _read_extras(data, file, counts)
        path.write_bytes(data)
        _check_model(load_tflite(path, path, []))
        counts["built"] += 1
    except InternalError:
        return traceback.format_exc()
    except EdgertError as error:
        counts[type(error).__name__] += 1
        if not str(error).strip() or error.exit_code == 1:
            return traceback.format_exc()
    except (Exception, TooSlowError):
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def _check_model(proto: onnx.ModelProto) -> None:
    for value in proto.graph.output:
        value.type.tensor_type.shape.SetInParent()  # the importer's next step writes it
    onnx.checker.check_model(proto)


def _check_round_trip(file: TfModel) -> None:
    """What was read can be written and reads the same. The first writing adds tables that a file may leave out."""
    written = serialize_tflite(parse_tflite(serialize_tflite(file)))
    assert serialize_tflite(parse_tflite(written)) == written


def _read_extras(data: bytes, file: TfModel, counts: Counter[str]) -> None:
    try:
        read_files(data)
        if METADATA_KEY in file.metadata:
            parse_metadata(file.metadata[METADATA_KEY])
    except EdgertError:
        counts["damaged_extras"] += 1


def _too_slow(*_: object) -> None:
    raise TooSlowError(f"longer than {CASE_LIMIT_S} s")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
