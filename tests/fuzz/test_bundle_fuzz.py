"""Bundles and profile records changed inside, with checksums repaired: a valid object or a typed error, never another.

`tests/fuzz/bundle_child.py` runs the cases; a case is named by seed and number and can be run alone:
`EDGERT_FUZZ_SEED=0 EDGERT_FUZZ_COUNT=2500 pytest tests/fuzz/test_bundle_fuzz.py`.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgert import cli
from edgert.bundle import write_bundle
from edgert.codec import to_plain
from tests import bundle_example as example
from tests import record_example, report_example

ROOT = Path(__file__).parents[2]
SEED = int(os.environ.get("EDGERT_FUZZ_SEED", "1"))
COUNT = int(os.environ.get("EDGERT_FUZZ_COUNT", "2500"))
TIME_LIMIT_S = 240

pytestmark = pytest.mark.skipif(os.name != "posix", reason="resource limits and timers are POSIX")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Path]:
    """Valid bundles (a real conversion, quantized borders, a detector's steps, a full report) and a valid record."""
    folder = tmp_path_factory.mktemp("corpus")
    converted = folder / "digits.edge"
    assert cli.main(["convert", str(ROOT / "edgert/demo/digits.onnx"), "-o", str(converted), "--quiet"]) == 0
    steps: dict[str, Any] = {
        "preprocess": ({"op": "letterbox", "height": 32, "width": 32}, {"op": "layout", "to": "NCHW"}),
        "postprocess": ({"op": "yolo", "output": "boxes", "layout": "channels-last"}, {"op": "nms"}),
        "labels": ("a", "b"),
    }
    golden = io.BytesIO()
    np.savez(golden, **{"input/x": np.zeros((2, 1, 4), np.float32), "onnx-fp32/y": np.zeros((2, 1, 3), np.float32)})
    more = {"golden.npz": golden.getvalue(), "report.json": json.dumps({"reference": {"value": 1.0}}).encode()}
    quantized = write_bundle(folder / "example.edge", example.manifest(**steps), {**example.files(), **more})
    reported = folder / "report.edge"
    report_example.write_example(reported)
    record = folder / "record.json"
    record.write_text(json.dumps(to_plain(dataclasses.replace(record_example.record()))))
    return [converted, quantized, reported], record


def run_cases(corpus: tuple[list[Path], Path], folder: Path, first: int, count: int) -> dict[str, Any]:
    request = folder / "request.json"
    cases = folder / "cases"
    cases.mkdir()
    bundles, record = corpus
    plain = {"bundles": [str(path) for path in bundles], "record": str(record), "folder": str(cases)}
    return run_child("tests.fuzz.bundle_child", request, {**plain, "seed": SEED, "first": first, "count": count})


def run_child(module: str, request: Path, plain: dict[str, Any]) -> dict[str, Any]:
    """Runs many cases in a process of their own and returns its answer; the process itself must end well."""
    request.write_text(json.dumps(plain))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", module, str(request)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_mutated_bundle_or_record_gives_an_object_or_a_typed_error(
    corpus: tuple[list[Path], Path], tmp_path: Path
) -> None:
    answer = run_cases(corpus, tmp_path, 0, COUNT)
    assert not answer["failures"], f"{len(answer['failures'])} failures, the first: {answer['failures'][0]}"
    counts = answer["counts"]
    assert counts["bundle"] + counts["record"] == COUNT
    assert counts["past_container"] >= 0.3 * counts["bundle"], counts
    # the fuzzer is of use only while it reaches both outcomes
    assert counts["valid_bundle"] >= 0.05 * counts["bundle"], counts
    assert counts["valid_record"] >= 0.05 * counts["record"], counts
    assert counts["BundleError"] >= 0.1 * counts["bundle"], counts
