"""Reading .tflite files: what a damaged or unusual one holds, and how it is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams
from edgert_converters.importers import import_model
from edgert_converters.importers.tflite_file import build_onnx, load_tflite
from edgert_converters.tflite.model import TfModel, TfOperator, TfSignature, TfSubgraph, TfTensor
from edgert_converters.tflite.read import parse_tflite
from tests.tflite_graphs import add_graph, conv_graph, params, run_imported, run_litert, write, write_edited

ONES = np.ones((2, 1, 1, 3), np.int8)


def weighted(weight: TfTensor) -> TfSubgraph:
    x, y = TfTensor("x", (1, 4, 4, 3), DType.FLOAT), TfTensor("y", (1, 4, 4, 2), DType.FLOAT)
    return conv_graph(x, weight, TfTensor("b", (2,), DType.FLOAT, np.zeros(2, np.float32)), y)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "does not carry the mark TFL3"),
        (b"\x1c\0\0\0TFL3", "damaged .tflite file"),
        (write(add_graph())[:-40], "damaged|needs 16 bytes|does not exist|schema version"),
    ],
)
def test_a_file_that_is_no_tflite_file(data: bytes, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        parse_tflite(data, Path("m.tflite"))


def with_tensor(index: int, **changes: Any) -> TfSubgraph:
    graph = add_graph()
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], **changes)
    return replace(graph, tensors=tuple(tensors))


@pytest.mark.parametrize(
    ("graph", "text"),
    [
        (with_tensor(0, data=np.zeros(3, np.float32)), r"'x' of shape \[1, 4\] needs 16 bytes, its buffer has 12"),
        (with_tensor(0, shape=(1, -4)), r"has the shape \[1, -4\]"),
        (with_tensor(0, shape=(2**20, 2**20)), r"has the shape \[1048576, 1048576\]"),
        (with_tensor(0, signature=(-1,)), r"the shape \[1, 4\] and the signature \[-1\]"),
        (with_tensor(1, data=np.zeros((1, 4), np.float32)), "ADD writes tensor 'y', which has its values"),
        (replace(add_graph(), operators=add_graph().operators * 2), "ADD writes tensor 'y', which has its values"),
        (replace(add_graph(), inputs=(0, 0)), "one tensor is an input twice"),
        (replace(add_graph(), outputs=(7,)), "tensor number 7 does not exist; the graph has 2"),
        (
            with_tensor(0, dtype=DType.INT8, quant=QuantParams((1.0, 1.0), (0, 0), DType.INT8, 1)),
            r"of shape \[1, 4\] has 2 scales along axis 1",
        ),
    ],
)
def test_what_later_code_relies_on_is_checked(graph: TfSubgraph, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        parse_tflite(write(graph))


def test_a_signature_that_names_nothing() -> None:
    for entry, text in (
        (TfSignature("s", {"x": 9}, {}), "signature 's' names a tensor that does not exist"),
        (TfSignature("s", {}, {}, 3), "signature 's' names a graph that does not exist"),
    ):
        with pytest.raises(ModelError, match=text):
            parse_tflite(write(add_graph(), signatures=(entry,)))


def test_lists_that_claim_more_than_the_file_holds() -> None:
    """A thousand tensors that share one shape of three thousand sizes: small on disk, three million numbers to read."""
    shared: list[int] = []

    def edit(builder: Any, table: str, fields: dict[str, Any]) -> None:
        if table == "Tensor":
            shared.extend([] if shared else [builder.CreateNumpyVector(np.ones(3000, np.int32))])
            fields["Shape"] = shared[0]

    graph = TfSubgraph((TfTensor("x", (), DType.FLOAT),) * 1000, (), (), ())
    with pytest.raises(ModelError, match="its lists claim more entries than the file has room for"):
        parse_tflite(write_edited(graph, edit))


def sparse(builder: Any, table: str, fields: dict[str, Any]) -> None:
    if table == "Tensor":
        builder.StartObject(3)
        fields["Sparsity"] = builder.EndObject()


def blocked(builder: Any, table: str, fields: dict[str, Any]) -> None:
    if table == "QuantizationParameters":
        fields["DetailsType"] = 2


def four_bits(builder: Any, table: str, fields: dict[str, Any]) -> None:
    if table == "Tensor" and fields["Type"] == 9:
        fields["Type"] = 17


def complex_numbers(builder: Any, table: str, fields: dict[str, Any]) -> None:
    if table == "Tensor":
        fields["Type"] = 8


def newer_schema(builder: Any, table: str, fields: dict[str, Any]) -> None:
    if table == "Model":
        fields["Version"] = 4


@pytest.mark.parametrize(
    ("graph", "edit", "text"),
    [
        (weighted(TfTensor("w", (2, 1, 1, 3), DType.INT8, ONES, params(0.5))), sparse, "'w' is stored sparse"),
        (weighted(TfTensor("w", (2, 1, 1, 3), DType.INT8, ONES, params(0.5))), blocked, "'w' has scales per block"),
        (add_graph(DType.INT8, params(0.5)), four_bits, "'x' is computed in 4 bits"),
        (add_graph(), complex_numbers, "'x' has element type number 8, which edgert does not carry"),
        (add_graph(), newer_schema, "schema version 4; edgert reads version 3"),
    ],
)
def test_what_edgert_does_not_carry(graph: TfSubgraph, edit: Any, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        parse_tflite(write_edited(graph, edit))


def test_weights_of_four_bits() -> None:
    """Two to a byte, the low half first; an odd count leaves half a byte."""
    numbers = np.asarray([-8, 7, -1, 3, 0], np.int8)
    packed = np.asarray([0x78, 0x3F, 0x00], np.uint8).view(np.int8)

    def edit(builder: Any, table: str, fields: dict[str, Any]) -> None:
        four_bits(builder, table, fields)
        if table == "Tensor" and fields["Type"] == 17:
            fields["Shape"] = builder.CreateNumpyVector(np.asarray([5], np.int32))

    graph = replace(add_graph(), tensors=(*add_graph().tensors, TfTensor("w", (3,), DType.INT8, packed, params(0.5))))
    found = parse_tflite(write_edited(graph, edit)).subgraphs[0].tensors[2]
    np.testing.assert_array_equal(found.data, numbers)
    assert found.dtype is DType.INT8


def test_an_operator_code_in_the_newer_field_alone() -> None:
    """ai-edge-quantizer writes its DEQUANTIZE so; the schema package's accessor gives ADD for it."""

    def edit(builder: Any, table: str, fields: dict[str, Any]) -> None:
        if table == "OperatorCode":
            fields["DeprecatedBuiltinCode"] = 0

    graph = replace(add_graph(), operators=(TfOperator("MUL", (0, 0), (1,), {"fused_activation_function": 0}),))
    assert parse_tflite(write_edited(graph, edit)).subgraphs[0].operators[0].name == "MUL"


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        (TfOperator("Mine", (0,), (1,), is_custom=True), "Mine: this custom operator is code outside the file; cut"),
        (TfOperator("ADD", (0, 0), (1,), is_custom=True), "ADD: this custom operator is code outside"),
        (TfOperator("FlexErf", (0,), (1,), is_custom=True), "FlexErf: this is TensorFlow's own operator"),
        (TfOperator("HASHTABLE_LOOKUP", (0,), (1,)), "HASHTABLE_LOOKUP: this operator is not supported"),
        (TfOperator("ADD", (), (1,)), "ADD: cannot be read .*the file is damaged"),
    ],
)
def test_an_operator_that_cannot_be_read_is_named(operator: TfOperator, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        build_onnx(TfModel((replace(add_graph(), operators=(operator,)),)))


def test_nodes_that_onnx_does_not_take(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    operator = TfOperator("MUL", (0, 0, 0), (1,), {"fused_activation_function": 0})
    path.write_bytes(write(replace(add_graph(), operators=(operator,))))
    with pytest.raises(ModelError, match="m.tflite.*damaged: Node.* has input size 3"):
        load_tflite(path, path)


def test_names_come_from_the_first_signature(tmp_path: Path) -> None:
    """Empty, doubled and odd names of tensors as well: they stay apart."""
    names = ("serving_default_a:0", "", "out", "out", "")
    tensors = tuple(TfTensor(name, (1, 4), DType.FLOAT) for name in names)
    add = TfOperator("ADD", (0, 1), (2,), {"fused_activation_function": 0})
    again = TfOperator("ADD", (2, 2), (3,), {"fused_activation_function": 0})
    last = TfOperator("ADD", (3, 3), (4,), {"fused_activation_function": 0})
    graph = TfSubgraph(tensors, (add, again, last), (0, 1), (4, 2))
    entries = (
        TfSignature("serve", {"first": 0, "out": 1}, {"total": 4}),
        TfSignature("train", {"a": 0}, {}),
    )
    path = tmp_path / "m.tflite"
    path.write_bytes(write(graph, signatures=entries))
    imported = import_model(path, {})
    assert [port.name for port in imported.inputs] == ["first", "out"]
    assert imported.outputs[0].name == "total"
    assert len({port.name for port in (*imported.inputs, *imported.outputs)}) == 4
    assert "the file has 2 signatures; 'serve' is read, not 'train'" in imported.notes


def test_an_input_that_is_an_output_and_an_output_that_is_a_constant() -> None:
    tensors = (*add_graph().tensors, TfTensor("c", (2,), DType.FLOAT, np.asarray([1, 2], np.float32)))
    graph = replace(add_graph(), tensors=tensors, outputs=(0, 1, 2, 1))
    x = np.asarray([[1, 2, 3, 4]], np.float32)
    found = run_imported(TfModel((graph,)), x)
    for got, expected in zip(found, (x, 2 * x, np.asarray([1, 2]), 2 * x), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_batch_that_may_vary_and_other_axes_that_may_not(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(write(with_tensor(0, signature=(-1, 4))))
    imported = import_model(path, {})
    assert imported.inputs[0].shape == (None, 4)
    path.write_bytes(write(with_tensor(0, signature=(-1, -1))))
    assert any("declares the shape [-1, -1]" in note for note in import_model(path, {}).notes)


def test_float16_weights_behind_dequantize_are_constants(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    half = rng.normal(size=(2, 1, 1, 3)).astype(np.float16)
    graph = weighted(TfTensor("w", (2, 1, 1, 3), DType.FLOAT))
    tensors = (*graph.tensors, TfTensor("half", (2, 1, 1, 3), DType.FLOAT16, half))
    graph = replace(graph, tensors=tensors, operators=(TfOperator("DEQUANTIZE", (4,), (1,)), *graph.operators))
    path = tmp_path / "m.tflite"
    path.write_bytes(write(graph))
    imported = import_model(path, {})
    assert not [node for node in imported.model.graph if node.op_type in {"Cast", "DequantizeLinear"}]
    assert any("stored as float16" in note for note in imported.notes)
    x = rng.normal(size=(1, 4, 4, 3)).astype(np.float32)
    expected = run_litert(path.read_bytes(), x)[0]
    np.testing.assert_allclose(run_imported(TfModel((graph,)), x)[0], expected, rtol=0, atol=1e-6)


def lost_buffer(builder: Any, table: str, fields: dict[str, Any]) -> None:
    if table == "Tensor":
        fields["Buffer"] = 77


def no_graph(builder: Any, table: str, fields: dict[str, Any]) -> None:
    if table == "Model":
        fields.pop("Subgraphs")


def unknown_code(builder: Any, table: str, fields: dict[str, Any]) -> None:
    if table == "OperatorCode":
        fields["BuiltinCode"] = 9999


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (lost_buffer, "buffer number 77 does not exist"),
        (no_graph, "holds no graph; it is damaged"),
        (unknown_code, "operator code 9999 is not in the schema"),
    ],
)
def test_parts_that_are_missing(edit: Any, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        parse_tflite(write_edited(add_graph(), edit))


def test_integers_without_a_scale() -> None:
    tensors = (add_graph().tensors[0], TfTensor("y", (1, 4), DType.INT8))
    graph = replace(add_graph(), tensors=tensors, operators=(TfOperator("QUANTIZE", (0,), (1,)),))
    with pytest.raises(ModelError, match="QUANTIZE: its output has no scale"):
        build_onnx(TfModel((graph,)))
