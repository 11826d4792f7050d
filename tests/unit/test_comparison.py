"""What stands behind `edgert verify`: other forms of a graph, inputs, and engines whose kernels are wrong."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgert.bundle import TensorSpec
from edgert.dtypes import DType
from edgert.errors import DataError, EngineError, ModelError, UsageError
from edgert.quant import QuantParams
from edgert.verification import PEERS, Mode, VerifyRequest
from edgert_converters.comparison.cut import cut_unit
from edgert_converters.comparison.encoding import to_signed, to_signed_values, to_unsigned, with_real_ends
from edgert_converters.comparison.end_to_end import compare_whole, count_steps
from edgert_converters.comparison.isolated import compare_unit, known_values
from edgert_converters.comparison.load import load
from edgert_converters.comparison.onnxruntime_peer import OnnxRuntimePeer
from edgert_converters.comparison.peer import Known, Subject
from edgert_converters.comparison.peers import choose_peers
from edgert_converters.comparison.samples import split_samples
from edgert_converters.comparison.tflite_form import ExportedForm, OwnForm
from edgert_converters.comparison.tflite_peer import TflitePeer, litert_reference, litert_xnnpack, tflm
from edgert_converters.comparison.tflm import TflmEngine
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.importers.tflite_file import build_with_homes
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.case_models import build_qdq_model
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.read import parse_tflite
from edgert_converters.tflite.write import serialize_tflite

pytest.importorskip("onnxruntime")
pytest.importorskip("ai_edge_litert")

X = TensorSpec("x", (None, 2, 3), DType.FLOAT)


def chain(scales: tuple[float, float, float] = (0.05, 0.04, 0.03)) -> ir.Model:
    """Three QDQ 1x1 convolutions of float32[1, 4, 5, 5] with int8 activations; `scales` are those of their outputs."""
    rng = np.random.default_rng(3)
    nodes: list[ir.Node] = []
    constants: list[ir.Value] = []

    def constant(name: str, array: Array) -> ir.Value:
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor)
        constants.append(value)
        return value

    def add(op: str, name: str, inputs: list[ir.Value], **attributes: int) -> ir.Value:
        node = ir.node(op, inputs, attributes, name=f"{name}.{op}")
        node.outputs[0].name = name
        nodes.append(node)
        return node.outputs[0]

    def pair(name: str, value: ir.Value, scale: float, restored: str) -> ir.Value:
        inputs = [
            constant(f"{name}.scale", np.float32(scale).reshape(())),
            constant(f"{name}.zero", np.int8(3).reshape(())),
        ]
        integers = add("QuantizeLinear", f"{name}__q", [value, *inputs])
        return add("DequantizeLinear", restored, [integers, *inputs])

    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape((1, 4, 5, 5)))
    value = pair("x", x, 0.05, "x__dq")
    before = 0.05
    for layer, scale in enumerate(scales):
        weight_scale = rng.uniform(0.002, 0.01, 4).astype(np.float32)
        parts = [
            add(
                "DequantizeLinear",
                f"{name}{layer}",
                [
                    constant(f"{name}{layer}__q", array),
                    constant(f"{name}{layer}.scale", size),
                    constant(f"{name}{layer}.zero", np.zeros(4, array.dtype)),
                ],
                axis=0,
            )
            for name, array, size in (
                ("w", rng.integers(-127, 128, (4, 4, 1, 1)).astype(np.int8), weight_scale),
                ("b", rng.integers(-500, 500, 4).astype(np.int32), np.float32(before) * weight_scale),
            )
        ]
        made = add("Conv", f"y{layer}__float", [value, *parts])
        nodes[-1].name = f"conv{layer}"
        value, before = pair(f"y{layer}", made, scale, f"y{layer}"), scale
    value.type, value.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape((1, 4, 5, 5))
    graph = ir.Graph([x], [value], nodes=nodes, initializers=constants, opset_imports={"": 18}, name="chain")
    return ir.Model(graph, ir_version=8)


def inputs(count: int = 3) -> list[dict[str, Array]]:
    rng = np.random.default_rng(5)
    return [{"x": rng.uniform(-6, 6, (1, 4, 5, 5)).astype(np.float32)} for _ in range(count)]


def known(model: ir.Model) -> tuple[Interpreter, list[Known]]:
    interpreter = Interpreter(model)
    return interpreter, [known_values(interpreter, one) for one in inputs()]


def test_every_engine_gives_the_interpreters_integers() -> None:
    model = chain()
    interpreter, samples = known(model)
    subject = Subject(model, ExportedForm(model))
    for peer in (OnnxRuntimePeer(), litert_xnnpack()):
        rows = [compare_unit(peer, subject, unit, samples) for unit in interpreter.units]
        assert [(row.layer, row.max_steps, row.count) for row in rows] == [(f"conv{k}", 0, 300) for k in range(3)]
        pair, missing = compare_whole(peer, subject, samples, "1")
        assert pair.same_kernels, pair.notes
        assert pair.max_steps == 0
        assert [row.layer for row in pair.layers][-3:] == ["conv0", "conv1", "conv2"]
        assert not missing


def test_the_kernels_are_those_of_the_plain_run() -> None:
    """int8 units alone would run in float in ONNX Runtime, and so would a graph that also gives int8 values."""
    model = chain()
    interpreter, samples = known(model)
    subject = Subject(model, ExportedForm(model))
    assert "QLinearConv" in compare_unit(OnnxRuntimePeer(), subject, interpreter.units[0], samples).kernels
    alone = compare_unit(OnnxRuntimePeer(integer_ends=True), subject, interpreter.units[0], samples)
    assert "Conv" in alone.kernels
    assert "3 QLinearConv" in compare_whole(OnnxRuntimePeer(), subject, samples, "1")[0].kernels
    taken = compare_unit(litert_xnnpack(), subject, interpreter.units[0], samples).kernels
    assert taken == ("CONV_2D", "XNNPACK (1 of 1)")
    assert compare_whole(litert_reference(), subject, samples, "1")[0].kernels == ("reference kernels (3 of 3)",)


@pytest.mark.parametrize("layer", range(3))
def test_a_wrong_scale_is_found_and_named(layer: int) -> None:
    """The file that LiteRT runs was made with one other scale; the layers behind it are right but differ as well."""
    model = chain()
    scales = [0.05, 0.04, 0.03]
    scales[layer] *= 1.02
    _, samples = known(model)
    subject = Subject(model, ExportedForm(chain((scales[0], scales[1], scales[2]))))
    pair, _ = compare_whole(litert_xnnpack(), subject, samples, "1")
    first = pair.first_divergence
    assert first is not None
    assert (first.layer, first.op) == (f"conv{layer}", "Conv")
    assert first.max_steps >= 1


def test_kernels_of_another_requantization_differ() -> None:
    """LiteRT's reference convolution rounds twice, in fixed point: that is q31, not fp32."""
    model = chain()
    interpreter, samples = known(model)
    subject = Subject(model, ExportedForm(model))
    rows = [compare_unit(litert_reference(), subject, unit, samples) for unit in interpreter.units]
    assert max(row.max_steps for row in rows) == 1


def test_intermediates_from_other_kernels_are_said_to_be() -> None:
    class Fickle:
        """Gives other bytes when more outputs are asked for, as an engine with other kernels does."""

        def version(self) -> str:
            return "1"

        def run(self, data: bytes, samples: list[list[Array]]) -> tuple[list[list[Array]], tuple[str, ...]]:
            outputs = parse_tflite(data).subgraphs[0].outputs
            kernels = ("other",) if len(outputs) > 1 else ("plain",)
            return [[np.full((1, 5, 5, 4), len(outputs), np.int8) for _ in outputs] for _ in samples], kernels

    model = chain()
    _, samples = known(model)
    peer = TflitePeer("fickle", Fickle(), "")
    pair, _ = compare_whole(peer, Subject(model, ExportedForm(model)), samples, "1")
    assert not pair.same_kernels
    assert "other kernels than the plain run: other instead of plain" in pair.notes[0]
    assert "outputs differ between the plain run" in pair.notes[1]


def test_a_file_of_its_own_is_cut_and_extended() -> None:
    pytest.importorskip("tflite_micro")
    data = export_tflite(chain()).data
    file = parse_tflite(data)
    model, homes = build_with_homes(file)
    interpreter = Interpreter(model)
    name = str(model.graph.inputs[0].name)
    feeds = [{name: np.transpose(one["x"], (0, 2, 3, 1))} for one in inputs()]
    samples = [known_values(interpreter, one) for one in feeds]
    subject = Subject(model, OwnForm(file, data, homes))
    rows = [compare_unit(tflm(), subject, unit, samples) for unit in interpreter.units if unit.op == "Conv"]
    assert [row.max_steps for row in rows] == [0, 0, 0], "imported files are requantized as TFLM does"
    pair, _ = compare_whole(tflm(), subject, samples, "1")
    assert pair.max_steps == 0
    assert sum(row.op == "Conv" for row in pair.layers) == 3


def test_signedness_moves_every_integer_by_128() -> None:
    built = build_qdq_model(OPERATORS["Conv"], OPERATORS["Conv"].cases[0], DType.UINT8)
    assert built is not None
    model, feeds = built
    ours = Interpreter(model).run(feeds).outputs["y0"]
    signed = to_signed(model)
    shifted = {name: to_signed_values(array) for name, array in feeds.items()}
    theirs = Interpreter(signed).run(shifted).outputs["y0"]
    assert theirs.dtype == np.int8
    assert np.array_equal(to_signed_values(ours), theirs)
    assert np.array_equal(Interpreter(to_unsigned(signed)).run(feeds).outputs["y0"], ours)


def test_constants_behind_dequantize_become_signed_too() -> None:
    case = next(case for case in OPERATORS["Mul"].cases if case.constant_inputs)
    built = build_qdq_model(OPERATORS["Mul"], case, DType.UINT8)
    assert built is not None
    signed = to_signed(built[0])
    kinds = {node.inputs[0].dtype for node in signed.graph if node.op_type == "DequantizeLinear" and node.inputs[0]}
    assert kinds == {ir.DataType.INT8}


def test_real_ends_keep_the_integers() -> None:
    model = chain()
    interpreter, samples = known(model)
    cut = cut_unit(model, interpreter.units[1], samples[0])
    real = with_real_ends(cut)
    assert [value.dtype for value in (*real.graph.inputs, *real.graph.outputs)] == [ir.DataType.FLOAT] * 2
    x = samples[0]["y0__q"].astype(np.float32)
    feed = {str(real.graph.inputs[0].name): (x - 3) * np.float32(0.05)}
    kept = Interpreter(real).run(feed, keep_quantized=True).quantized
    assert np.array_equal(kept["y1__q"].values, samples[0]["y1__q"])


def test_shapes_that_contradict_each_other_name_the_layer() -> None:
    with pytest.raises(ModelError, match=r"'conv': the engine gives int8\[2\], the interpreter int8\[3\]"):
        count_steps("conv", "Conv", [(np.zeros(2, np.int8), np.zeros(3, np.int8))])


@pytest.mark.parametrize(
    ("shape", "count"), [((5, 2, 3), 5), ((5, 1, 2, 3), 5), ((1, 2, 3), 1)], ids=["stacked", "batched", "one"]
)
def test_inputs_are_cut_into_samples(shape: tuple[int, ...], count: int) -> None:
    array = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    samples = split_samples({"anything": array}, [X], 10)
    assert [sample["x"].shape for sample in samples] == [(1, 2, 3)] * count
    assert samples[0]["x"].dtype == np.float32
    assert np.array_equal(np.concatenate([sample["x"] for sample in samples]).reshape(-1), array.reshape(-1))


def test_a_fixed_batch_and_the_number_of_samples_are_respected() -> None:
    samples = split_samples({"x": np.zeros((8, 2, 3), np.float32)}, [replace(X, shape=(2, 2, 3))], 3)
    assert [sample["x"].shape for sample in samples] == [(2, 2, 3)] * 3


def test_a_files_own_integers_are_taken_as_what_they_mean() -> None:
    params = QuantParams((0.5,), (10,), DType.INT8)
    (sample,) = split_samples({"x": np.full((1, 2, 3), 14, np.int8)}, [X], 1, {"x": params})
    assert np.array_equal(sample["x"], np.full((1, 2, 3), 2.0, np.float32))


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        (
            {"x": np.zeros((4, 3, 2), np.float32)},
            r"input 'x' float \[N, 2, 3\] cannot take an array of shape \[4, 3, 2\]",
        ),
        ({"a": np.zeros(1), "b": np.zeros(1)}, r"holds 'a', 'b'; the model needs 'x' float \[N, 2, 3\]"),
        ({"x": np.zeros((0, 2, 3), np.float32)}, "cannot take an array of shape"),
        ({"x": np.full((1, 2, 3), "a")}, "takes float, the array holds <U1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(arrays: dict[str, Array], match: str) -> None:
    with pytest.raises(DataError, match=match):
        split_samples(arrays, [X], 4)


def test_unequal_numbers_of_samples_are_refused() -> None:
    specs = [X, replace(X, name="y")]
    with pytest.raises(DataError, match=r"different numbers of samples: \{'x': 2, 'y': 3\}"):
        split_samples({"x": np.zeros((2, 2, 3)), "y": np.zeros((3, 2, 3))}, specs, 4)


def test_peers_by_name() -> None:
    assert tuple(peer.name for peer in choose_peers(())) == PEERS
    assert [peer.name for peer in choose_peers(["litert"])] == ["litert-xnnpack", "litert-reference"]
    with pytest.raises(UsageError, match="nothing called 'onnxruntim' can be compared; did you mean 'onnxruntime'"):
        choose_peers(["onnxruntim"])
    with pytest.raises(UsageError, match="allowed: litert, litert-reference, litert-xnnpack, onnxruntime, tflm"):
        choose_peers(["zzz"])


def test_a_named_engine_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tflite_micro", None)  # what an interpreter without the package finds
    assert "tflm" in [peer.name for peer in choose_peers(())]
    with pytest.raises(EngineError, match="tflm: the package 'tflite-micro' is not installed"):
        choose_peers(["tflm"])


def test_what_tflm_would_abort_on_is_refused() -> None:
    pytest.importorskip("tflite_micro")
    file = parse_tflite(export_tflite(chain()).data)
    graph = file.subgraphs[0]
    old = replace(graph.tensors[0], dtype=DType.UINT8, quant=QuantParams((0.5,), (0,), DType.UINT8))
    tensors = (old, *itertools.islice(graph.tensors, 1, None))
    data = serialize_tflite(replace(file, subgraphs=(replace(graph, tensors=tensors),)))
    with pytest.raises(ModelError, match="tflm has no uint8 kernels"):
        TflmEngine().run(data, [])


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"samples": 0}, UsageError, "--samples is 0"),
        ({"variant": "onnx-int8"}, UsageError, "is no bundle and has no variants"),
        ({"requantize": "q15"}, UsageError, "unknown requantization mode 'q15'; allowed: fp32, q31"),
    ],
)
def test_requests_that_cannot_be_met(
    tmp_path: Path, changes: dict[str, object], error: type[Exception], match: str
) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(export_tflite(chain()).data)
    request = VerifyRequest(path, modes=(Mode.ISOLATED,))
    with pytest.raises(error, match=match):
        load(replace(request, **changes))  # type: ignore[arg-type]
