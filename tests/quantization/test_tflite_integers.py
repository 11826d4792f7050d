"""Published int8 .tflite files: the integers of TensorFlow Lite Micro, through import, interpreter and export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgert.bundle import TensorSpec
from edgert.quant import dequantize, quantize
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.importers import ImportedModel, import_model
from edgert_converters.importers.tflite_file import build_onnx
from edgert_converters.interpreter import Interpreter
from edgert_converters.requantize import Requantize, read_requantize
from edgert_converters.tflite.model import TfModel, TfTensor
from edgert_converters.tflite.read import parse_tflite

pytest.importorskip("tflite")

Array = NDArray[Any]
ARENA_BYTES = 1 << 21
INT8_FILES = {
    "ad": "mlperf_tiny_ad_fcae_int8",
    "ic": "mlperf_tiny_ic_resnet8_int8",
    "kws": "mlperf_tiny_kws_dscnn_int8",
    "micro_speech": "micro_speech",
    "vww": "mlperf_tiny_vww_mobilenetv1_int8",
}
FLOAT_FILES = ("mlperf_tiny_ad_fcae_float", "mlperf_tiny_ic_resnet8_float", "mlperf_tiny_vww_mobilenetv1_float")
# float32 sums in another order; the largest seen is 7e-7
FLOAT_TOLERANCE = 1e-4


def _parse(zoo: Path, name: str) -> TfModel:
    return parse_tflite((zoo / "models" / f"{name}.tflite").read_bytes())


def _ends(file: TfModel) -> tuple[TfTensor, TfTensor]:
    graph = file.subgraphs[0]
    return graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]


def _samples(zoo: Path, key: str) -> tuple[Array, Array]:
    """Returns the four inputs and what TensorFlow Lite Micro answers to them."""
    return np.load(zoo / "mcu" / f"{key}.inputs.npy"), np.load(zoo / "mcu" / f"{key}.outputs_tflm.npy")


def _integers(model: ir.Model, file: TfModel, inputs: Array) -> Array:
    """Returns the output's integers; between real numbers and integers of one tensor nothing is lost."""
    x, y = _ends(file)
    assert x.quant is not None and y.quant is not None
    interpreter = Interpreter(model)
    name = str(model.graph.inputs[0].name)
    results = []
    for sample in inputs:
        outputs = interpreter.run({name: dequantize(sample.reshape(x.shape), x.quant)}).outputs
        results.append(quantize(next(iter(outputs.values())), y.quant).reshape(-1))
    return np.stack(results)


def _micro(data: bytes, inputs: Array, shape: tuple[int, ...]) -> Array:
    runtime = pytest.importorskip("tflite_micro").runtime
    interpreter = runtime.Interpreter.from_bytes(data, arena_size=ARENA_BYTES)
    results = []
    for sample in inputs:
        interpreter.set_input(sample.reshape(shape), 0)
        interpreter.invoke()
        results.append(np.asarray(interpreter.get_output(0)).reshape(-1).copy())
    return np.stack(results)


def _litert(data: bytes, sample: Array) -> Array:
    """Returns what LiteRT's reference kernels give."""
    package = pytest.importorskip("ai_edge_litert.interpreter")
    kind = package.OpResolverType.BUILTIN_REF
    interpreter = package.Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], sample)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


@pytest.fixture(scope="module")
def imported(zoo: Path, request: pytest.FixtureRequest) -> ImportedModel:
    return import_model(zoo / "models" / f"{INT8_FILES[request.param]}.tflite", {})


@pytest.mark.parametrize("key", INT8_FILES)
def test_the_graph_as_read_gives_the_bytes_of_tensorflow_lite_micro(zoo: Path, key: str) -> None:
    file = _parse(zoo, INT8_FILES[key])
    inputs, expected = _samples(zoo, key)
    np.testing.assert_array_equal(_integers(build_onnx(file), file, inputs), expected.reshape(len(inputs), -1))


@pytest.mark.parametrize(("imported", "key"), [(key, key) for key in INT8_FILES], indirect=["imported"])
def test_the_imported_model_keeps_its_integers(zoo: Path, imported: ImportedModel, key: str) -> None:
    file = _parse(zoo, INT8_FILES[key])
    inputs, expected = _samples(zoo, key)
    assert read_requantize(imported.model) is Requantize.Q31
    np.testing.assert_array_equal(_integers(imported.model, file, inputs), expected.reshape(len(inputs), -1))
    written = export_tflite(imported.model)
    assert (written.inputs[0].quant, written.outputs[0].quant) == (_ends(file)[0].quant, _ends(file)[1].quant)
    found = _micro(written.data, inputs, _stored(written.inputs[0]))
    np.testing.assert_array_equal(found, expected.reshape(len(inputs), -1))


def _stored(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(1 if size is None else size for size in spec.shape)


@pytest.mark.parametrize("key", INT8_FILES)
def test_every_operator_runs_on_integers(zoo: Path, key: str) -> None:
    file = _parse(zoo, INT8_FILES[key])
    assert len(Interpreter(build_onnx(file)).units) >= len(file.subgraphs[0].operators)


@pytest.mark.parametrize("name", FLOAT_FILES)
def test_float_files_agree_with_litert(zoo: Path, name: str) -> None:
    file = _parse(zoo, name)
    data = (zoo / "models" / f"{name}.tflite").read_bytes()
    model = build_onnx(file)
    rng = np.random.default_rng(1)
    for _ in range(2):
        sample = rng.random(_ends(file)[0].shape, np.float32)
        expected = _litert(data, sample)
        outputs = Interpreter(model).run({str(model.graph.inputs[0].name): sample}).outputs
        error = np.abs(next(iter(outputs.values())) - expected).max() / np.abs(expected).max()
        assert error < FLOAT_TOLERANCE
        again = _litert(export_tflite(model).data, sample)
        assert np.abs(again - expected).max() / np.abs(expected).max() < FLOAT_TOLERANCE


def test_a_uint8_file_gives_the_bytes_of_litert(zoo: Path) -> None:
    name = "mobilenet_v1_0.25_128_quant"
    file = _parse(zoo, name)
    x, _ = _ends(file)
    inputs = np.random.default_rng(2).integers(0, 256, (2, *x.shape[1:])).astype(np.uint8)
    data = (zoo / "models" / f"{name}.tflite").read_bytes()
    expected = np.stack([_litert(data, sample[None]).reshape(-1) for sample in inputs])
    np.testing.assert_array_equal(_integers(build_onnx(file), file, inputs), expected)


def test_a_file_with_float_ends_agrees_with_tensorflow_lite_micro(zoo: Path) -> None:
    name = "mnist_lenet_300_100_ptq"
    file = _parse(zoo, name)
    x, _ = _ends(file)
    inputs = (np.random.default_rng(3).integers(0, 256, (20, *x.shape[1:])) / 255).astype(np.float32)
    model = build_onnx(file)
    interpreter = Interpreter(model)
    feed = str(model.graph.inputs[0].name)
    found = np.stack([next(iter(interpreter.run({feed: s[None]}).outputs.values())).reshape(-1) for s in inputs])
    expected = _micro((zoo / "models" / f"{name}.tflite").read_bytes(), inputs, x.shape)
    # the integers are equal; the float LogSoftmax behind them is not rounded alike
    np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), rtol=1e-5, atol=1e-5)
