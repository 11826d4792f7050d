"""Strips give the bytes that whole layers give, in a smaller arena."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgert.errors import DoesNotFitError
from edgert_converters.exporters.c import Core, export_c
from edgert_converters.importers import import_model
from tests.microcontrollers.c_program import STRICT, compile_program, read_kernel, run_program

MODELS = {
    "ic": "mlperf_tiny_ic_resnet8_int8",
    "kws": "mlperf_tiny_kws_dscnn_int8",
    "vww": "mlperf_tiny_vww_mobilenetv1_int8",
}
_SAMPLES = 2


@pytest.mark.parametrize(("name", "max_arena_bytes"), [("ic", 24_576), ("kws", 9_216), ("vww", 38_912)])
def test_published_models_in_less(name: str, max_arena_bytes: int, zoo: Path, tmp_path: Path) -> None:
    model = import_model(zoo / "models" / f"{MODELS[name]}.tflite", {}).model
    folder = export_c(model, Core("host"), read_kernel, name=name, max_arena_bytes=max_arena_bytes)
    assert folder.plan.arena_bytes <= max_arena_bytes
    inputs = np.load(zoo / "mcu" / f"{name}.inputs.npy")[:_SAMPLES]
    outputs = np.load(zoo / "mcu" / f"{name}.outputs_tflm.npy")[:_SAMPLES]
    program = compile_program(folder, tmp_path, STRICT)
    assert np.array_equal(run_program(program, inputs), outputs.reshape(-1))


def test_too_small_an_arena_names_the_smallest(zoo: Path) -> None:
    model = import_model(zoo / "models" / f"{MODELS['kws']}.tflite", {}).model
    with pytest.raises(DoesNotFitError, match=r"kws needs at least [\d,]+ bytes of arena, most of them at layer '.*'"):
        export_c(model, Core("host"), read_kernel, name="kws", max_arena_bytes=4_096)
