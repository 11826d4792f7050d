"""The .tflite files that edgert writes, in interpreters that know nothing of edgert: the oldest runtime, and TFLM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.recipe import RangeMethod
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.importers import import_model
from edgert_converters.quantize.calibrate import collect_statistics
from edgert_converters.quantize.existing import strip_quantization
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.plan import make_plan, values_to_watch
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.rounding import round_weights
from edgert_converters.quantize.scheme import Scheme
from edgert_converters.quantize.weight_only import quantize_weights_only
from tests.install.conftest import find_python
from tests.install.environments import Environment, make_environment
from tests.tflite_graphs import run_litert

Array = np.ndarray[Any, Any]
OLDEST = ("tflite-runtime==2.14.0", "numpy==1.26.4")
MODELS = {
    "kws": "mlperf_tiny_kws_dscnn_float.tflite",
    "ic": "mlperf_tiny_ic_resnet8_float.tflite",
    "vww": "mlperf_tiny_vww_mobilenetv1_float.tflite",
    "resnet20": "resnet20_cifar10.onnx",
}
KINDS = ("float", "int8", "int8_float_io", "int16", "dynamic_range")
CALIBRATION = 8
FLOAT_TOLERANCE = 1e-5
"""Kernels of another version may sum in another order."""
INTEGER_TOLERANCE = 0.1
"""Share of the outputs' range: 2.14 and today's release take other kernels, which round elsewhere."""

SCRIPT = """
import sys
import numpy as np
import tflite_runtime.interpreter as tflite
for name in sys.argv[2:]:
    interpreter = tflite.Interpreter(model_path=f"{sys.argv[1]}/{name}.tflite", num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.load(f"{sys.argv[1]}/{name}.x.npy"))
    interpreter.invoke()
    np.save(f"{sys.argv[1]}/{name}.y.npy", interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
"""


@dataclass(frozen=True, slots=True)
class Written:
    """The files of one network, an input for each, and the size of one step of integer outputs."""

    files: dict[str, bytes]
    inputs: dict[str, Array]
    steps: dict[str, float]


@pytest.fixture(scope="module", params=MODELS)
def written(request: pytest.FixtureRequest, zoo: Path) -> Written:
    model = strip_quantization(import_model(zoo / "models" / MODELS[request.param], {}).model)
    value = model.graph.inputs[0]
    shape = [size if isinstance(size, int) else 1 for size in value.shape or ()]
    rng = np.random.default_rng(0)
    samples: list[Mapping[str, Array]] = [
        {str(value.name): rng.normal(size=shape).astype(np.float32)} for _ in range(CALIBRATION)
    ]
    statistics = collect_statistics(model, values_to_watch(model), samples, lambda *_: None, len(samples))

    def quantized(kind: DType) -> ir.Model:
        plan = make_plan(model, statistics, RangeRule(RangeMethod.MIN_MAX), Scheme(activation=kind))
        return apply_plan(model, round_weights(model, plan), kind)

    made = {
        "float": export_tflite(model),
        "int8": export_tflite(quantized(DType.INT8)),
        "int8_float_io": export_tflite(quantized(DType.INT8), float_io=True),
        "int16": export_tflite(quantized(DType.INT16)),
        "dynamic_range": export_tflite(quantize_weights_only(model)[0]),
    }
    inputs = {}
    for kind, file in made.items():
        port = file.inputs[0]
        sizes = [size or 1 for size in port.shape]
        if port.dtype is DType.FLOAT:
            inputs[kind] = rng.normal(size=sizes).astype(np.float32)
        else:
            low, high = port.dtype.integer_range
            inputs[kind] = rng.integers(low, high, sizes).astype(port.dtype.numpy)
    params = made["int8"].outputs[0].quant
    steps = {kind: 1.0 if kind in {"int8", "int16"} else 0.0 for kind in KINDS}
    steps["int8_float_io"] = params.scale[0] if params is not None else 0.0
    return Written({kind: file.data for kind, file in made.items()}, inputs, steps)


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("oldest-tflite") / "venv"
    return make_environment(folder, *OLDEST, python=find_python("3.11"))


def test_every_file_runs_in_the_oldest_runtime(oldest: Environment, written: Written, tmp_path: Path) -> None:
    for kind in KINDS:
        (tmp_path / f"{kind}.tflite").write_bytes(written.files[kind])
        np.save(tmp_path / f"{kind}.x.npy", written.inputs[kind])
    oldest.script(SCRIPT, tmp_path, *KINDS)
    for kind in KINDS:
        found = np.load(tmp_path / f"{kind}.y.npy").astype(np.float64)
        (expected,) = run_litert(written.files[kind], written.inputs[kind])
        allowed = (FLOAT_TOLERANCE if kind == "float" else INTEGER_TOLERANCE) * np.ptp(expected.astype(np.float64))
        assert np.abs(found - expected).max() <= max(allowed, 2 * written.steps[kind]), kind


def test_the_int8_file_runs_in_tensorflow_lite_micro(written: Written) -> None:
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(written.files["int8"])
    interpreter.set_input(written.inputs["int8"], 0)
    interpreter.invoke()
    found = interpreter.get_output(0)
    (expected,) = run_litert(written.files["int8"], written.inputs["int8"], reference=True)
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= INTEGER_TOLERANCE * np.ptp(expected.astype(int))
