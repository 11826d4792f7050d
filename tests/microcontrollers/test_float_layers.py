"""Published models with layers in float, wholly or in part, and with int16 activations, in C."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.quant import quantize
from edgert.recipe import RangeMethod
from edgert_converters.engine import load_runner
from edgert_converters.exporters.c import CFolder, Core, export_c
from edgert_converters.importers import import_model
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import collect_statistics
from edgert_converters.quantize.existing import strip_quantization
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.plan import make_plan, values_to_watch
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.rounding import round_weights
from edgert_converters.quantize.scheme import INT16X8, Scheme
from tests.microcontrollers.c_program import STRICT, read_kernel
from tests.microcontrollers.many_models import compile_models, run_model

# Of the largest output, or of 1: sums in another order, and exponentials of 2e-7.
FLOAT_TOLERANCE: Final = 1e-5
SHAPES: Final = {"kws_dscnn": (1, 49, 10, 1), "ad_fcae": (1, 640)}
# A pointwise and a depthwise convolution, the matrix product and the softmax: what is there of each.
KEPT: Final = frozenset({"Conv_3", "Relu_3", "Conv_4", "Relu_4", "Gemm", "Softmax"})
LEAST_COSINE: Final = 0.9999


def _silent(stage: str, done: int, total: int) -> None:
    """Progress nobody reads."""


@pytest.fixture(scope="module")
def models(zoo: Path) -> dict[str, ir.Model]:
    def load(name: str, shape: tuple[int, ...]) -> ir.Model:
        return import_model(zoo / "models" / f"mlperf_tiny_{name}_float.tflite", {"input_1": shape}).model

    return {name: load(name, shape) for name, shape in SHAPES.items()}


def _samples(name: str, count: int = 4) -> list[dict[str, Array]]:
    rng = np.random.default_rng(61)
    return [{"input_1": rng.normal(0, 5, SHAPES[name]).astype(np.float32)} for _ in range(count)]


def _run(folder: CFolder, samples: Sequence[dict[str, Array]], where: Path) -> list[Array]:
    program = compile_models([folder], where, STRICT)
    (entry,) = (folder.network.buffers[index] for index in folder.network.inputs)
    feeds = [sample["input_1"] for sample in samples]
    if entry.quant is not None:
        feeds = [quantize(feed, entry.quant) for feed in feeds]
    found = run_model(program, 0, folder, [{entry.name: feed} for feed in feeds])
    return [row[0] for row in found]


@pytest.mark.parametrize("name", SHAPES)
def test_a_model_in_float_gives_what_onnx_runtime_gives(name: str, models: dict[str, ir.Model], tmp_path: Path) -> None:
    folder = export_c(models[name], Core("host"), read_kernel, name=name)
    samples, run = _samples(name), load_runner(models[name])
    for found, sample in zip(_run(folder, samples, tmp_path), samples, strict=True):
        (expected,) = run(sample).values()
        limit = FLOAT_TOLERANCE * max(float(np.abs(expected).max()), 1.0)
        assert _distance(found, expected) <= limit


def _quantized(source: ir.Model, name: str, scheme: Scheme, kept: AbstractSet[str], encoding: DType) -> ir.Model:
    model = strip_quantization(source)  # the file holds its weights as integers
    statistics = collect_statistics(model, values_to_watch(model), _samples(name, 8), _silent)
    plan = make_plan(model, statistics, RangeRule(RangeMethod.MIN_MAX), scheme, kept)
    return apply_plan(model, round_weights(model, plan), encoding)


@pytest.fixture(scope="module")
def mixed(models: dict[str, ir.Model]) -> ir.Model:
    """The keyword model with some layers of each kind left in float."""
    return _quantized(models["kws_dscnn"], "kws_dscnn", Scheme(), KEPT, DType.INT8)


def test_layers_left_in_float_stand_beside_integers(mixed: ir.Model, tmp_path: Path) -> None:
    folder = export_c(mixed, Core("host"), read_kernel, name="mixed")
    kernels = [layer.call.kernel for layer in folder.network.layers]
    assert {"conv_float", "fully_connected_float", "softmax_float"} <= set(kernels)
    assert {"dequantize_s8", "quantize_s8", "depthwise", "conv_1x1"} <= set(kernels)
    samples, run = _samples("kws_dscnn"), load_runner(mixed)
    interpreter = Interpreter(mixed)
    for found, sample in zip(_run(folder, samples, tmp_path), samples, strict=True):
        (expected,) = interpreter.run(dict(sample)).outputs.values()
        assert _distance(found, expected) <= FLOAT_TOLERANCE
        (reference,) = run(sample).values()
        assert _cosine(found, reference) >= LEAST_COSINE


def test_a_model_with_int16_activations_gives_the_interpreters_integers(
    models: dict[str, ir.Model], tmp_path: Path
) -> None:
    model = _quantized(models["kws_dscnn"], "kws_dscnn", INT16X8, frozenset(), DType.INT16)
    folder = export_c(model, Core("host"), read_kernel, name="wide")  # as a header of kernels is called
    (made,) = (folder.network.buffers[index] for index in folder.network.outputs)
    assert {buffer.dtype for buffer in folder.network.buffers} == {DType.INT16}
    assert made.quant is not None
    samples, interpreter = _samples("kws_dscnn"), Interpreter(model)
    for found, sample in zip(_run(folder, samples, tmp_path), samples, strict=True):
        (expected,) = interpreter.run(dict(sample)).outputs.values()
        assert np.array_equal(found, quantize(expected, made.quant).reshape(-1))


def _distance(a: Array, b: Array) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64).reshape(-1)).max())


def _cosine(a: Array, b: Array) -> float:
    left, right = a.astype(np.float64), b.astype(np.float64).reshape(-1)
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))


@pytest.mark.parametrize("core", [("cortex-m4", "hard"), ("cortex-m3", "soft")])
def test_float_layers_compile_for_cores_with_and_without_fpu(
    core: tuple[str, str], mixed: ir.Model, tmp_path: Path
) -> None:
    compiler = shutil.which("arm-none-eabi-gcc")
    if compiler is None:
        pytest.skip("needs a compiler for Cortex-M (Debian package gcc-arm-none-eabi)")
    folder = export_c(mixed, Core(core[0], has_fpu=core[1] == "hard"), read_kernel, name="mixed")
    for name, data in folder.files.items():
        (tmp_path / name).write_bytes(data)
    options = [f"-mcpu={core[0]}", "-mthumb", f"-mfloat-abi={core[1]}", "-O2", "-Wall", "-Wextra", "-Werror"]
    done = subprocess.run(
        [compiler, *options, "-c", "model.c", "-o", "model.o"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[:4000]
