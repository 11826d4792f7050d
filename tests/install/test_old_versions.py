"""The oldest engine and the oldest Python of a board: our files load and give the same answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.install.conftest import OLDEST_ENGINE, PYTHON_310, Converted
from tests.install.environments import Environment
from tests.install.test_empty_environment import check_run

BARE = """
import sys
import numpy as np
import onnxruntime
model, inputs, outputs = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
rows = [session.run(["logits"], {name: sample})[0] for sample in np.load(inputs)["x"][:, None]]
np.savez(outputs, logits=np.concatenate(rows))
assert not [name for name in sys.modules if name.startswith("edgert")]
"""
FLOAT_TOLERANCE = 1e-5
"""Kernels of another version may sum in another order."""


def versions(environment: Environment, names: tuple[str, ...]) -> list[str]:
    found = environment.distributions()
    return [f"{name}=={found[name]}" for name in (requirement.split("==")[0] for requirement in names)]


def test_the_oldest_engine_is_the_one_installed(oldest_engine: Environment) -> None:
    assert versions(oldest_engine, OLDEST_ENGINE) == list(OLDEST_ENGINE)


def check_bare_run(
    environment: Environment, converted: Converted, variant: str, tolerance: float, folder: Path
) -> None:
    """The file alone, in the bare engine, gives this environment's answers."""
    output = folder / "out.npz"
    environment.script(BARE, converted.files[variant], converted.inputs, output)
    expected = converted.answers[variant]
    with np.load(output) as found:
        np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=tolerance * float(np.abs(expected).max()))


# int8 must be equal: the same integers, times the same scale
@pytest.mark.parametrize(("variant", "tolerance"), [("onnx-fp32", FLOAT_TOLERANCE), ("onnx-int8", 0.0)])
def test_ordinary_files_run_in_the_oldest_engine(
    oldest_engine: Environment, demo: Converted, variant: str, tolerance: float, tmp_path: Path
) -> None:
    check_bare_run(oldest_engine, demo, variant, tolerance, tmp_path)


@pytest.mark.parametrize(("variant", "tolerance"), [("onnx-fp32", FLOAT_TOLERANCE), ("onnx-int8", 0.0)])
def test_resnet20_runs_in_the_oldest_engine(
    oldest_engine: Environment, resnet20: Converted, variant: str, tolerance: float, tmp_path: Path
) -> None:
    check_bare_run(oldest_engine, resnet20, variant, tolerance, tmp_path)


def test_a_bundle_runs_in_the_oldest_engine(oldest_engine: Environment, demo: Converted, tmp_path: Path) -> None:
    check_run(oldest_engine, demo, "onnx-fp32", tmp_path, FLOAT_TOLERANCE)
    check_run(oldest_engine, demo, "onnx-int8", tmp_path, 0.0)


def test_a_bundle_runs_on_python_310(python_310: Environment, demo: Converted, tmp_path: Path) -> None:
    assert versions(python_310, PYTHON_310) == list(PYTHON_310)
    check_run(python_310, demo, "onnx-fp32", tmp_path, FLOAT_TOLERANCE)
    check_run(python_310, demo, "onnx-int8", tmp_path, 0.0)


def test_a_bundle_is_profiled_on_python_310(python_310: Environment, demo: Converted, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    words = ["profile", demo.bundle, "--variant", "onnx-int8", "--duration", "1s", "-o", record, "--json"]
    done = python_310.run("edgert", *words)
    assert done.status == 0, done.stderr
    measured = json.loads(record.read_text())
    assert measured["latency"]["p50_ms"] > 0
    assert measured["layers"], "per-layer times, from a run of their own"
    assert measured["verdict"] in {"valid", "degraded", "invalid"}
