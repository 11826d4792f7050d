"""16-bit activations and dynamic range: files that LiteRT runs, and what they cost on real speech."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams
from edgert_converters.exporters.tflite import TfliteFile, export_tflite
from edgert_converters.importers import import_model
from edgert_converters.importers.tflite_file import build_onnx
from edgert_converters.interpreter import Interpreter
from edgert_converters.quantize.calibrate import collect_statistics
from edgert_converters.quantize.existing import strip_quantization
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.plan import make_plan, values_to_watch
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.rounding import round_weights
from edgert_converters.quantize.scheme import INT16X8
from edgert_converters.quantize.weight_only import quantize_weights_only
from edgert_converters.tflite.read import parse_tflite
from tests.tflite_graphs import run_litert

Array = np.ndarray[Any, Any]
CALIBRATION = 200


@pytest.fixture(scope="module")
def clips(zoo: Path) -> tuple[Array, Array]:
    """Speech for calibration, and the other 4170 clips."""
    with np.load(zoo / "data" / "speech_commands_v2_test_mfcc_4890.npz") as data:
        features = data["mfcc"].astype(np.float32).reshape(-1, 49, 10, 1)
        chosen = data["split_calib"].astype(bool)
    return features[chosen][:CALIBRATION], features[~chosen]


@pytest.fixture(scope="module")
def network(zoo: Path) -> ir.Model:
    """The published float file keeps 5 of its weights in 8 bits; here they are float."""
    imported = import_model(zoo / "models" / "mlperf_tiny_kws_dscnn_float.tflite", {})
    assert any("dynamic range: 5 operators" in note for note in imported.notes)
    return strip_quantization(imported.model)


@pytest.fixture(scope="module")
def wide(network: ir.Model, clips: tuple[Array, Array]) -> ir.Model:
    name = str(network.graph.inputs[0].name)
    samples: list[Mapping[str, Array]] = [{name: clip[None]} for clip in clips[0]]
    statistics = collect_statistics(network, values_to_watch(network), samples, lambda *_: None, len(samples))
    plan = round_weights(network, make_plan(network, statistics, RangeRule(), INT16X8))
    assert not plan.float_layers
    return apply_plan(network, plan, DType.INT16)


def answers(file: TfliteFile, clips: Array) -> Array:
    """Returns the outputs of a file in LiteRT as real numbers, one row per clip."""
    from ai_edge_litert.interpreter import Interpreter as LiteRT

    interpreter = LiteRT(model_content=file.data, num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for clip in clips[:, None]:
        interpreter.set_tensor(source["index"], _integers(clip, file.inputs[0].quant))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target["index"])[0])
    params = file.outputs[0].quant
    found = np.asarray(rows, np.float32)
    return found if params is None else (found - params.zero_point[0]) * np.float32(params.scale[0])


def _integers(values: Array, params: QuantParams | None) -> Array:
    if params is None:
        return values
    low, high = params.dtype.integer_range
    return np.clip(np.rint(values / params.scale[0]) + params.zero_point[0], low, high).astype(params.dtype.numpy)


def agreement(a: Array, b: Array) -> float:
    return float((a.argmax(axis=1) == b.argmax(axis=1)).mean())


def test_16_bit_activations_agree_with_float(network: ir.Model, wide: ir.Model, clips: tuple[Array, Array]) -> None:
    file = export_tflite(wide)
    assert file.inputs[0].dtype is file.outputs[0].dtype is DType.INT16
    assert agreement(answers(file, clips[1]), answers(export_tflite(network), clips[1])) >= 0.99


def test_a_file_with_16_bit_activations_is_what_tflite_asks_for(wide: ir.Model) -> None:
    graph = parse_tflite(export_tflite(wide).data).subgraphs[0]
    quantized = [tensor for tensor in graph.tensors if tensor.quant is not None]
    activations = [tensor for tensor in quantized if tensor.data is None]
    assert {tensor.dtype for tensor in activations} == {DType.INT16}
    assert all(tensor.quant is not None and tensor.quant.zero_point == (0,) for tensor in activations)
    assert {tensor.dtype for tensor in quantized if tensor.data is not None} == {DType.INT8, DType.INT64}


def test_16_bit_activations_in_onnx_runtime_and_the_interpreter(wide: ir.Model, clips: tuple[Array, Array]) -> None:
    """The same graph as ONNX, the file read again, and LiteRT, whose softmax is a table of 16 bits."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    assert wide.graph.opset_imports[""] == 21
    session = onnxruntime.InferenceSession(ir.to_proto(wide).SerializeToString(), options)
    file = export_tflite(wide)
    notes: list[str] = []
    again = build_onnx(parse_tflite(file.data), notes)
    assert any("16 bits need opset 21" in note for note in notes)
    sample = clips[1][:8]
    expected = answers(file, sample)
    runs = (
        session.run(None, {session.get_inputs()[0].name: sample})[0],
        *(
            next(iter(Interpreter(model).run({str(model.graph.inputs[0].name): sample}).outputs.values()))
            for model in (wide, again)
        ),
    )
    for found in runs:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


def test_float_borders_around_16_bits(wide: ir.Model, clips: tuple[Array, Array]) -> None:
    file = export_tflite(wide, float_io=True)
    assert file.inputs[0].dtype is file.outputs[0].dtype is DType.FLOAT
    sample = clips[1][:50]
    np.testing.assert_allclose(answers(file, sample), answers(export_tflite(wide), sample), rtol=0, atol=1e-6)


def test_dynamic_range_agrees_with_float(network: ir.Model, clips: tuple[Array, Array]) -> None:
    weighted, count = quantize_weights_only(network)
    assert count == 5
    file, plain = export_tflite(weighted), export_tflite(network)
    assert file.inputs[0].dtype is file.outputs[0].dtype is DType.FLOAT
    assert len(file.data) < 0.5 * len(plain.data)
    graph = parse_tflite(file.data).subgraphs[0]
    convolutions = [operator for operator in graph.operators if operator.name.endswith("CONV_2D")]
    hybrid = [operator for operator in convolutions if graph.tensors[operator.inputs[1]].dtype is DType.INT8]
    assert [(operator.name, operator.version) for operator in hybrid] == [("CONV_2D", 5)] * 5
    assert agreement(answers(file, clips[1]), answers(plain, clips[1])) >= 0.99


def test_dynamic_range_of_a_matrix_has_one_scale() -> None:
    """Kernels with a scale per row came after tflite-runtime 2.14."""
    import onnx.parser

    weights = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[1, 64] x) => (float[1, 32] y) { y = MatMul(x, w) }'
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    model = ir.from_proto(proto)
    model.graph[0].name = "product"
    weighted, count = quantize_weights_only(model)
    assert count == 1
    data = export_tflite(weighted).data
    (operator,) = parse_tflite(data).subgraphs[0].operators
    assert (operator.name, operator.version) == ("FULLY_CONNECTED", 3)
    x = np.random.default_rng(1).normal(size=(1, 64)).astype(np.float32)
    (found,) = run_litert(data, x)
    np.testing.assert_allclose(found, x @ weights, rtol=0, atol=0.02 * np.abs(x @ weights).max())


def test_an_operator_that_means_something_else_in_the_opset_of_16_bits() -> None:
    import onnx.parser

    model = ir.from_proto(
        onnx.parser.parse_model(
            '<ir_version: 8, opset_import: ["": 18]> g (float[1, 4, 8] x, float[2] s, float[2] b) => (float[1, 4, 8] y)'
            "{ y = GroupNormalization<num_groups = 2>(x, s, b) }"
        )
    )
    plan = make_plan(model, {}, RangeRule(), INT16X8)
    with pytest.raises(ModelError, match="GroupNormalization cannot be part of a model with 16-bit activations"):
        apply_plan(model, plan, DType.INT16)
