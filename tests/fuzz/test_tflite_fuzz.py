"""Mutated .tflite files give a model or a typed error, within bounded time and memory, and never another exception.

`tests/fuzz/tflite_child.py` runs the cases; a case is named by seed and number and can be run alone:
`EDGERT_FUZZ_SEED=0 EDGERT_FUZZ_COUNT=2500 pytest tests/fuzz/test_tflite_fuzz.py`.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgert import cli
from edgert_converters.tflite.read import parse_tflite
from tests.fuzz.mutate_tflite import mutate_file
from tests.fuzz.test_bundle_fuzz import SEED, run_child

COUNT = int(os.environ.get("EDGERT_FUZZ_COUNT", "2500"))
INSPECTIONS = 10
MODELS = ("mlperf_tiny_kws_dscnn_int8", "micro_speech", "microwakeword_okay_nabu", "mnist_lenet_300_100_ptq")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="resource limits and timers are POSIX")


def run_cases(files: list[Path], folder: Path, first: int, count: int) -> dict[str, Any]:
    plain = {"files": [str(file) for file in files], "seed": SEED, "first": first, "count": count}
    return run_child("tests.fuzz.tflite_child", folder / "request.json", plain)


def test_a_mutated_file_gives_a_model_or_a_typed_error(zoo: Path, tmp_path: Path) -> None:
    answer = run_cases([zoo / "models" / f"{name}.tflite" for name in MODELS], tmp_path, 0, COUNT)
    assert not answer["failures"], f"{len(answer['failures'])} failures, the first: {answer['failures'][0]}"
    counts = answer["counts"]
    assert counts["cases"] == COUNT
    # the fuzzer is of use only while it reaches both outcomes, behind the parser as well
    assert counts["parsed"] >= 0.4 * COUNT, counts
    assert counts["built"] >= 0.1 * COUNT, counts
    assert counts["parsed"] - counts["built"] >= 0.1 * COUNT, counts
    assert counts["ModelError"] >= 0.2 * COUNT, counts


def test_inspect_of_mutated_files(zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way, through the checks in the child process and ONNX Runtime."""
    sources = [(zoo / "models" / f"{name}.tflite").read_bytes() for name in MODELS[:2]]
    outcomes: Counter[int] = Counter()
    for case in range(INSPECTIONS):
        rng = random.Random(f"{SEED}/inspect/{case}")
        data = rng.choice(sources)
        path = tmp_path / "model.tflite"
        path.write_bytes(mutate_file(rng, data, parse_tflite(data)))
        status = cli.main(["inspect", str(path), "--json", "--no-measure"])
        said = capsys.readouterr().err
        outcomes[status] += 1
        assert status in {0, 4}, f"case {case}: {said}"
        assert "Traceback" not in said
        assert "internal error" not in said
    assert outcomes[4] > 0, outcomes
