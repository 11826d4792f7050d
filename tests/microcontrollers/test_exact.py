"""Generated C gives, bit for bit, what TensorFlow Lite Micro gave for the published int8 models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgert_converters.exporters.c import Core
from tests.microcontrollers.c_program import AS_ANYBODY, STRICT, compile_program, export_file, run_program

MODELS = {
    "ad": "mlperf_tiny_ad_fcae_int8",
    "ic": "mlperf_tiny_ic_resnet8_int8",
    "kws": "mlperf_tiny_kws_dscnn_int8",
    "micro_speech": "micro_speech",
    "vww": "mlperf_tiny_vww_mobilenetv1_int8",
}


@pytest.mark.parametrize("options", [STRICT, AS_ANYBODY], ids=["strict", "as_anybody"])
@pytest.mark.parametrize("name", MODELS)
def test_portable_c_on_this_computer(name: str, options: tuple[str, ...], zoo: Path, tmp_path: Path) -> None:
    folder = export_file(zoo / "models" / f"{MODELS[name]}.tflite", Core("host"), name)
    program = compile_program(folder, tmp_path, options)
    outputs = np.load(zoo / "mcu" / f"{name}.outputs_tflm.npy")
    assert np.array_equal(run_program(program, np.load(zoo / "mcu" / f"{name}.inputs.npy")), outputs.reshape(-1))


def test_same_model_same_bytes(zoo: Path) -> None:
    path = zoo / "models" / f"{MODELS['kws']}.tflite"
    assert export_file(path, Core("host"), "kws").files == export_file(path, Core("host"), "kws").files


@pytest.mark.parametrize("name", MODELS)
def test_no_line_is_too_long(name: str, zoo: Path) -> None:
    folder = export_file(zoo / "models" / f"{MODELS[name]}.tflite", Core("host"), name)
    for file, data in folder.files.items():
        if file.endswith((".c", ".h")):
            assert max(map(len, data.decode().splitlines())) <= 120, file
