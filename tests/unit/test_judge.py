"""The gate on one way of running a finished model: it looks at what the conversion looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgert.bundle import SCHEMA, Gate, Manifest, Source, TensorSpec, Variant
from edgert.dtypes import DType
from edgert_converters.judge import judge
from edgert_converters.ops.spec import Array

N, CLASSES = 400, 4
INPUT = TensorSpec("x", (None, CLASSES), DType.FLOAT)
OUTPUTS = (TensorSpec("good", (None, CLASSES), DType.FLOAT), TensorSpec("other", (None, CLASSES), DType.FLOAT))
MANIFEST = Manifest(
    SCHEMA,
    "net",
    "0",
    Source("net.onnx", "onnx", "0" * 64),
    (INPUT,),
    OUTPUTS,
    (Variant("onnx-fp32", "onnx", "fp32", "m", (INPUT,), OUTPUTS, (), 0),),
    "onnx-fp32",
)


@pytest.fixture
def data(tmp_path: Path) -> str:
    y = np.arange(N) % CLASSES
    np.savez(tmp_path / "data.npz", x=np.eye(CLASSES, dtype=np.float32)[y], y=y)
    return str(tmp_path / "data.npz")


def _silent(stage: str, done: int, total: int) -> None:
    """Progress nobody reads."""


def reference(inputs: dict[str, Array]) -> dict[str, Array]:
    return {"good": inputs["x"], "other": inputs["x"]}


def wrong_in_the_other_output(inputs: dict[str, Array]) -> dict[str, Array]:
    return {"good": inputs["x"], "other": np.roll(inputs["x"], 1, axis=-1)}


@pytest.mark.parametrize(("output", "gate"), [("good", Gate.PASSED), ("other", Gate.FAILED)])
def test_the_output_of_the_conversion_decides(data: str, output: str, gate: Gate) -> None:
    report = {"reference": {"metric": "top1"}, "max_drop_points": 1.0, "metric_output": output}
    judgement = judge(MANIFEST, report, data, reference, wrong_in_the_other_output, _silent)
    assert judgement.gate is gate
    assert judgement.n == N
