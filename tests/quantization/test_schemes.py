"""Every cell of the scheme matrix that is made, on real speech; blocks on an encoder; bundles of all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgert import load
from edgert.bundle import Bundle
from edgert.cli import main
from edgert.commands.verify import verify
from edgert.dtypes import DType
from edgert.plugins import load_converter
from edgert.recipe import Recipe
from edgert.verification import Mode
from edgert_converters.engine import load_runner
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.importers import import_model
from edgert_converters.interpreter import Interpreter
from edgert_converters.layers import build_layers
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.block_graph import quantize_matrices
from edgert_converters.quantize.chain import plan_draft, prepare
from edgert_converters.quantize.draft import Calibration, Draft, Settings
from edgert_converters.quantize.existing import strip_quantization
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.matrix import BLOCKS, CELLS, STATIC, Activation, Cell
from edgert_converters.quantize.narrow_weights import with_int4_weights
from edgert_converters.quantize.tensorrt_form import apply_for_tensorrt
from edgert_converters.tflite.read import parse_tflite
from tests.encoder_example import build_encoder

CALIBRATION, CLIPS, JUDGED = 48, 200, 3
LEAST_AGREEMENT = {8: 0.96, 4: 0.88}  # seen: 0.98 to 1, and 0.915 to 0.925
ONE_STEP = 1 / 128  # of the coarsest softmax; seen: half of one, where ONNX Runtime computes in float
SETTINGS = Settings()
STATIC_CELLS = [cell for cell in CELLS if STATIC.refuse(cell) is None]
BLOCK_CELLS = [cell for cell in CELLS if BLOCKS.refuse(cell) is None]
LEAST_DB = {8: 38.0, 4: 13.0}  # seen: 38.9 to 40.3 and 14.2 to 16.9, less with larger blocks
ENCODINGS = {Activation.UINT8: DType.UINT8, Activation.INT16: DType.INT16}


def label(cell: Cell) -> str:
    return f"{cell.weights}-{cell.activation.value}".replace(" ", "_")


@pytest.fixture(scope="module")
def clips(zoo: Path) -> tuple[Array, Array]:
    """Speech for calibration, and other clips."""
    with np.load(zoo / "data" / "speech_commands_v2_test_mfcc_4890.npz") as data:
        features = data["mfcc"].astype(np.float32).reshape(-1, 1, 49, 10, 1)
        chosen = data["split_calib"].astype(bool)
    return features[chosen][::15][:CALIBRATION], features[~chosen][::20][:CLIPS]


@pytest.fixture(scope="module")
def draft(zoo: Path, clips: tuple[Array, Array]) -> Draft:
    """The KWS network and its statistics, shared by all cells."""
    model = strip_quantization(import_model(zoo / "models" / "mlperf_tiny_kws_dscnn_float.tflite", {}).model)
    name = str(model.graph.inputs[0].name)
    samples = [{name: clip} for clip in clips[0]]
    return prepare(model, Calibration(lambda: samples, len(samples), lambda *_: None), SETTINGS)


@pytest.fixture(scope="module")
def answers(draft: Draft, clips: tuple[Array, Array]) -> Array:
    return outputs(draft.model, clips[1]).argmax(axis=1)


def outputs(model: ir.Model, samples: Array) -> Array:
    run, name = load_runner(model), str(model.graph.inputs[0].name)
    return np.concatenate([next(iter(run({name: sample}).values())) for sample in samples])


def quantized(draft: Draft, cell: Cell) -> tuple[ir.Model, Draft]:
    nothing = Calibration(list, 0, lambda *_: None)
    planned = plan_draft(draft, cell.scheme, nothing, SETTINGS)
    if cell.activation is Activation.SYMMETRIC:
        return apply_for_tensorrt(planned.model, planned.final), planned
    return apply_plan(planned.model, planned.final, ENCODINGS.get(cell.activation, DType.INT8)), planned


@pytest.mark.parametrize("cell", STATIC_CELLS, ids=label)
def test_a_cell_with_integer_activations(cell: Cell, draft: Draft, clips: tuple[Array, Array], answers: Array) -> None:
    model, planned = quantized(draft, cell)
    weights = planned.final.weights.values()
    assert max(int(np.abs(held.weight).max()) for held in weights) == cell.scheme.largest_weight
    sizes = {len(held.weight_params.scale) for held in weights}
    assert sizes == {1} if cell.granularity.value == "per-tensor" else min(sizes) > 1
    activations = planned.final.params.values()
    if cell.activation in {Activation.SYMMETRIC, Activation.INT16}:
        assert {params.zero_point for params in activations} == {(0,)}
    else:
        assert len({params.zero_point for params in activations}) > 1
    found = outputs(model, clips[1])
    assert (found.argmax(axis=1) == answers).mean() >= LEAST_AGREEMENT[cell.weight_bits]
    name = str(model.graph.inputs[0].name)
    for sample, engine in zip(clips[1][:JUDGED], found, strict=False):
        ours = next(iter(Interpreter(model).run({name: sample}).outputs.values()))[0]
        np.testing.assert_allclose(ours, engine, rtol=0, atol=ONE_STEP)


def test_the_form_for_tensorrt(draft: Draft) -> None:
    """Float biases, weights behind DequantizeLinear, zero points of 0, and clamps that stay."""
    cell = next(cell for cell in STATIC_CELLS if cell.activation is Activation.SYMMETRIC and cell.weight_bits == 8)
    model, planned = quantized(draft, cell)
    convolutions = [node for node in model.graph if node.op_type == "Conv"]
    assert convolutions
    for node in convolutions:
        weight, bias = node.inputs[1], node.inputs[2]
        assert weight is not None and weight.producer() is not None
        assert bias is not None and bias.const_value is not None and bias.dtype is ir.DataType.FLOAT
    assert any(node.op_type == "Relu" for node in model.graph)
    zeros = [node.inputs[2] for node in model.graph if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    assert not any(zero.const_value.numpy().any() for zero in zeros if zero is not None and zero.const_value)
    affine = plan_draft(draft, Cell(8, cell.granularity, Activation.INT8).scheme, Calibration(list, 0, print), SETTINGS)
    with pytest.raises(ValueError, match="TensorRT takes symmetric activations only"):
        apply_for_tensorrt(affine.model, affine.final)
    assert planned.final.scheme.symmetric


def test_4_bit_weights_in_tflite(draft: Draft, clips: tuple[Array, Array], answers: Array) -> None:
    """The file holds INT4, LiteRT computes the interpreter's integers, layers count half a byte."""
    from ai_edge_litert.interpreter import Interpreter as LiteRT

    cell = next(cell for cell in STATIC_CELLS if cell.weight_bits == 4 and cell.activation is Activation.INT8)
    wide, planned = quantized(draft, cell)
    narrow = with_int4_weights(wide)
    file = export_tflite(narrow, float_io=True)
    graph = parse_tflite(file.data).subgraphs[0]
    versions = {item.name: item.version for item in graph.operators if "CONV" in item.name or "FULLY" in item.name}
    assert versions == {"CONV_2D": 7, "DEPTHWISE_CONV_2D": 7, "FULLY_CONNECTED": 10}
    bytes_of = {
        name: sum(row.weight_bytes for row in build_layers(model)) for name, model in (("8", wide), ("4", narrow))
    }
    weights = sum(held.weight.size for held in planned.final.weights.values())
    assert bytes_of["8"] - bytes_of["4"] == weights // 2
    assert len(file.data) < len(export_tflite(wide, float_io=True).data) - 0.4 * weights
    interpreter = LiteRT(model_content=file.data, num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    found = []
    for clip in clips[1]:
        interpreter.set_tensor(source, clip)
        interpreter.invoke()
        found.append(interpreter.get_tensor(target)[0])
    assert (np.asarray(found).argmax(axis=1) == answers).mean() >= LEAST_AGREEMENT[4]
    expected = np.concatenate(
        [
            next(iter(Interpreter(narrow).run({str(narrow.graph.inputs[0].name): clip}).outputs.values()))
            for clip in clips[1][:JUDGED]
        ]
    )
    # LiteRT's own kernels take 4-bit convolutions, with fixed-point multipliers; seen: 1.5 of these steps
    np.testing.assert_allclose(found[:JUDGED], expected, rtol=0, atol=3 * ONE_STEP)


@pytest.fixture(scope="module")
def encoder() -> ir.Model:
    return build_encoder(layers=1, width=128, length=8, vocabulary=64)


@pytest.mark.parametrize("cell", BLOCK_CELLS, ids=label)
def test_a_cell_with_weights_in_blocks(cell: Cell, encoder: ir.Model) -> None:
    made = quantize_matrices(encoder, cell.scheme)
    assert made.counts == {"Gather": 1, "MatMul": 6}
    feed = {"x": np.random.default_rng(0).integers(0, 64, (1, 8))}
    expected = next(iter(load_runner(encoder)(feed).values()))
    found = next(iter(load_runner(made.model)(feed).values()))
    ours = next(iter(Interpreter(made.model).run(feed).outputs.values()))
    np.testing.assert_allclose(ours, found, rtol=0, atol=1e-4)
    assert 10 * np.log10(np.square(expected).sum() / np.square(found - expected).sum()) >= LEAST_DB[cell.weight_bits]


def test_bundles_of_blocks_are_inspected_verified_run_and_unpacked(
    encoder: ir.Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "encoder.onnx"
    ir.save(encoder, path)
    recipe = Recipe(path, output=tmp_path / "net.edge", precisions=("int8-block32", "int4-block32"), formats=("onnx",))
    result = load_converter().convert(recipe, lambda *_: None)
    assert [row["id"] for row in result.summary["variants"]] == ["onnx-fp32", "onnx-int8-block32", "onnx-int4-block32"]
    assert any("needs ONNX Runtime 1.23.0 or newer; host promises 1.17.0" in text for text in result.messages)
    with Bundle.open(tmp_path / "net.edge") as bundle:
        golden, variants = bundle.golden(), {variant.id: variant for variant in bundle.manifest.variants}
    sizes = {name: sum(layer.weight_bytes for layer in variant.layers) for name, variant in variants.items()}
    assert sizes["onnx-int4-block32"] < 0.6 * sizes["onnx-int8-block32"] < 0.2 * sizes["onnx-fp32"]
    name = next(key for key in golden if key.startswith("onnx-int4-block32/"))
    session = load(tmp_path / "net.edge", variant="onnx-int4-block32")
    (found,) = session.run(golden["input/x"][0]).values()
    np.testing.assert_allclose(found, golden[name][0], rtol=0, atol=1e-5)
    report = verify(tmp_path / "net.edge", variant="onnx-int8-block32")
    assert [(pair.peer, pair.mode, pair.max_steps) for pair in report.pairs] == [("onnxruntime", Mode.END_TO_END, 0)]
    assert main(["inspect", str(tmp_path / "net.edge"), "--json"]) == 0
    assert "int4-block32" in capsys.readouterr().out
    assert main(["unpack", str(tmp_path / "net.edge"), "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "variants" / "onnx-int4-block32" / "model.onnx").is_file()
