"""`edgert verify` on real models: which engines give the interpreter's integers, end to end and layer by layer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgert.commands.verify import verify
from edgert.verification import Mode, Pair, VerifyReport
from tests.quantization.command_line import edgert
from tests.quantization.conftest import Converted

for package in ("ai_edge_litert", "tflite_micro"):
    pytest.importorskip(package)

CLIPS = 20
KWS = "mlperf_tiny_kws_dscnn_int8.tflite"


def pair_of(report: VerifyReport, peer: str, mode: Mode = Mode.END_TO_END) -> Pair:
    (pair,) = (pair for pair in report.pairs if (pair.peer, pair.mode) == (peer, mode))
    return pair


def clips(zoo: Path) -> np.ndarray:
    """Real keyword clips that are not for calibration: float32[20, 49, 10, 1]."""
    with np.load(zoo / "data" / "speech_commands_v2_test_mfcc_4890.npz") as data:
        return data["mfcc"][data["split_calib"] == 0][:CLIPS, :, :, None].astype(np.float32)


def test_resnet20_gives_the_same_integers_in_onnxruntime_and_xnnpack(resnet20: Converted) -> None:
    done = edgert("verify", resnet20.bundle, "--json", "--engine", "onnxruntime", "--engine", "litert-xnnpack")
    assert done.status == 0
    document: dict[str, Any] = done.json
    assert document["not_compared"] == []
    found = {(pair["b"], pair["mode"]): pair for pair in document["pairs"]}
    for engine in ("onnxruntime", "litert-xnnpack"):
        for mode in ("isolated", "end_to_end"):
            pair = found[engine, mode]
            convolutions = [row for row in pair["layers"] if row["op"] == "Conv"]
            assert len(convolutions) == 19
            assert pair["max_steps"] == 0, pair["first_divergence"]
            assert pair["same_kernels"], pair["notes"]
    layers = {row["layer"] for row in found["onnxruntime", "end_to_end"]["layers"]}
    assert {row["layer"] for row in document["float"]} <= layers
    assert min(row["sqnr_db"] for row in document["float"]) > 15
    print(json.dumps(found["interpreter-int8", "end_to_end"]["first_divergence"]))


def test_an_int8_file_is_q31_in_tflm_and_fp32_in_xnnpack(zoo: Path) -> None:
    model, inputs = zoo / "models" / KWS, {"x": clips(zoo)}
    q31 = verify(model, inputs=inputs, samples=CLIPS)
    assert q31.requantize == "q31"
    fp32 = verify(model, inputs=inputs, samples=CLIPS, requantize="fp32")
    for mode in Mode:
        assert pair_of(q31, "tflm", mode).max_steps == 0
        assert pair_of(fp32, "litert-xnnpack", mode).max_steps == 0
        assert pair_of(fp32, "onnxruntime", mode).max_steps == 0
        for report, peer in ((fp32, "tflm"), (q31, "litert-xnnpack")):
            first = pair_of(report, peer, mode).first_divergence
            assert first is not None
            assert (first.layer, first.op, first.max_steps) == ("Conv", "Conv", 1)
    assert pair_of(fp32, "tflm").max_steps > 1, "one step at first, more further on"
    assert all(pair.same_kernels for pair in (*q31.pairs, *fp32.pairs))


@pytest.mark.parametrize(
    "name",
    ["micro_speech", "mlperf_tiny_ad_fcae_int8", "mlperf_tiny_ic_resnet8_int8", "mlperf_tiny_vww_mobilenetv1_int8"],
)
def test_imported_files_equal_tflm_layer_by_layer(name: str, zoo: Path) -> None:
    report = verify(zoo / "models" / f"{name}.tflite", engines=["tflm"], samples=2)
    assert [(pair.mode, pair.max_steps) for pair in report.pairs] == [(mode, 0) for mode in Mode]


def test_a_uint8_file_equals_the_reference_kernels(zoo: Path) -> None:
    path = zoo / "models" / "mobilenet_v1_0.25_128_quant.tflite"
    report = verify(path, engines=["litert-reference", "tflm"], samples=1)
    assert [(pair.peer, pair.max_steps) for pair in report.pairs] == [("litert-reference", 0)] * 2
    assert "tflm has no uint8 kernels" in {row.reason for row in report.not_compared}


def test_a_streaming_file_is_compared_layer_by_layer(zoo: Path) -> None:
    report = verify(zoo / "models" / "microwakeword_okay_nabu.tflite", engines=["tflm"], samples=2)
    assert [(pair.mode, pair.max_steps) for pair in report.pairs] == [(Mode.ISOLATED, 0)]
    assert any("keeps a state between runs" in row.reason for row in report.not_compared)


def test_another_engines_option_is_a_wrong_kernel_that_is_named(convert_zoo: Callable[[str], Converted]) -> None:
    """Judged by the other requantization, the first convolution is where it starts."""
    report = verify(convert_zoo("resnet20").bundle, engines=["onnxruntime"], requantize="q31", samples=1)
    for mode in Mode:
        first = pair_of(report, "onnxruntime", mode).first_divergence
        assert first is not None
        assert (first.layer, first.op) == ("/conv1/Conv", "Conv")
