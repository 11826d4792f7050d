"""Speech commands through DS-CNN on the calibration split's own clips: one int8 network as ONNX and as TFLite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgert
from tests.quantization.command_line import edgert as run_edgert

MAX_DROP_POINTS = 0.3
SAME_DECISIONS = 0.999
REPEATED_CLIPS = 20  # clips of the evaluation split whose features also occur in the calibration split


@pytest.fixture(scope="module")
def kws(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Path]:
    """The bundle, what `--json` said, and the evaluation clips."""
    pytest.importorskip("ai_edge_litert")
    folder = tmp_path_factory.mktemp("kws")
    with np.load(zoo / "data" / "speech_commands_v2_test_mfcc_4890.npz") as data:
        x = data["mfcc"].astype(np.float32).reshape(-1, 49, 10, 1)
        y, calib = data["labels"].astype(np.int64), data["split_calib"].astype(bool)
    for name, chosen in (("calib", calib), ("eval", ~calib)):
        np.savez(folder / f"{name}.npz", x=x[chosen], y=y[chosen])
    bundle = folder / "kws.edge"
    words = ["--calib", str(folder / "calib.npz"), "--eval", str(folder / "eval.npz"), "--calib-samples", "720"]
    model = zoo / "models" / "mlperf_tiny_kws_dscnn_float.tflite"
    done = run_edgert("convert", model, *words, "--max-drop", MAX_DROP_POINTS, "--json", "-o", bundle)
    return bundle, done.json, folder / "eval.npz"


def test_both_formats_pass_the_gate(kws: tuple[Path, dict[str, Any], Path]) -> None:
    _, summary, _ = kws
    rows = {row["id"]: row for row in summary["variants"]}
    assert list(rows) == ["onnx-fp32", "tflite-fp32", "onnx-int8", "tflite-int8"], "integer weights alone are float"
    for variant in ("onnx-int8", "tflite-int8", "tflite-fp32"):
        print(variant, rows[variant]["value"], rows[variant]["drop"], rows[variant]["ci95"], rows[variant]["agree"])
        assert rows[variant]["gate"] == "passed"
    assert summary["reference"]["n"] == 4170 - REPEATED_CLIPS
    assert summary["reference"]["value"] == pytest.approx(91.93, abs=0.1)


def test_both_formats_decide_alike(kws: tuple[Path, dict[str, Any], Path]) -> None:
    bundle, _, evaluation = kws
    with np.load(evaluation) as data:
        x = data["x"]
    answers = {}
    for variant in ("onnx-int8", "tflite-int8"):
        with edgert.load(bundle, variant=variant, threads=1) as session:
            (answers[variant],) = session.run_batched(x).values()
    onnx, tflite = answers.values()
    same = float((onnx.argmax(axis=1) == tflite.argmax(axis=1)).mean())
    print(f"same decision {same:.5f}; differing values {float((onnx != tflite).mean()):.6f}")
    assert same >= SAME_DECISIONS
