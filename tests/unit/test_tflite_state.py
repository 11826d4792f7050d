"""Streaming models: hidden state becomes inputs and outputs, and a sequence fed back equals LiteRT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert_converters.importers import ImportedModel, import_model
from edgert_converters.importers.tflite_file import build_onnx
from edgert_converters.interpreter import Interpreter
from edgert_converters.tflite.model import TfModel, TfOperator, TfSubgraph, TfTensor
from edgert_converters.tflite.state import state_bindings
from tests.tflite_graphs import add_graph, run_imported, write

STEPS = 24
PLAIN_ADD = {"fused_activation_function": 0}


@pytest.fixture(scope="module")
def nabu(zoo: Path) -> tuple[Path, ImportedModel]:
    path = zoo / "models" / "microwakeword_okay_nabu.tflite"
    return path, import_model(path, {})


def first_state(imported: ImportedModel) -> dict[str, np.ndarray[Any, Any]]:
    shapes = {port.name: tuple(size or 1 for size in port.shape) for port in imported.inputs}
    return {
        state.input: np.full(shapes[state.input], state.initial, np.float32) for state in state_bindings(imported.model)
    }


def frames(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Noise with quiet between."""
    rng = np.random.default_rng(0)
    sound = rng.normal(-20, 70, (STEPS, *shape))
    sound[::7] = -128
    return np.clip(sound, -128, 127).astype(np.int8)


def test_a_sequence_equals_litert_in_every_tensor(nabu: tuple[Path, ImportedModel]) -> None:
    """In the integer interpreter, against LiteRT's reference kernels, with the state fed back."""
    from ai_edge_litert.interpreter import Interpreter as LiteRT
    from ai_edge_litert.interpreter import OpResolverType

    path, imported = nabu
    reference = LiteRT(
        model_path=str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
        num_threads=1,
    )
    reference.allocate_tensors()
    port = reference.get_input_details()[0]
    numbers = {tensor["name"]: tensor["index"] for tensor in reference.get_tensor_details()}
    scale, zero_point = port["quantization"]
    interpreter, state = Interpreter(imported.model), first_state(imported)
    compared: dict[str, set[int]] = {}
    for frame in frames(tuple(port["shape"])):
        reference.set_tensor(port["index"], frame)
        reference.invoke()
        x = (frame.astype(np.float32) - zero_point) * np.float32(scale)
        found = interpreter.run({imported.inputs[0].name: x, **state}, keep_quantized=True)
        state = {entry.input: found.outputs[entry.output] for entry in state_bindings(imported.model)}
        for name, tensor in found.quantized.items():
            if name.removesuffix("__q") not in numbers:
                continue
            expected = reference.get_tensor(numbers[name.removesuffix("__q")])
            values = tensor.values
            if values.ndim == 4 and values.shape != expected.shape:
                values = values.transpose(0, 2, 3, 1)
            np.testing.assert_array_equal(values.reshape(expected.shape), expected, name)
            compared.setdefault(name, set()).update(expected.reshape(-1).tolist()[:50])
    assert len(compared) >= 40
    logits = next(values for name, values in compared.items() if "MatMul" in name)
    assert len(logits) > 5, "the sequence must move the answer"


def test_a_sequence_in_onnx_runtime_keeps_the_state(nabu: tuple[Path, ImportedModel]) -> None:
    """Against the interpreter, whose requantization differs: the states stay within a few steps of each other."""
    import onnxruntime

    _, imported = nabu
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(ir.to_proto(imported.model).SerializeToString(), options)
    names = [port.name for port in session.get_outputs()]
    interpreter, name = Interpreter(imported.model), imported.inputs[0].name
    states = [first_state(imported), first_state(imported)]
    for frame in frames(tuple(size or 1 for size in imported.inputs[0].shape)):
        x = (frame.astype(np.float32) + 128) * np.float32(0.10196078568696976)
        results = [
            dict(zip(names, session.run(None, {name: x, **states[0]}), strict=True)),
            interpreter.run({name: x, **states[1]}).outputs,
        ]
        bindings = state_bindings(imported.model)
        states = [{entry.input: result[entry.output] for entry in bindings} for result in results]
    for entry in state_bindings(imported.model):
        found, expected = states[0][entry.input], states[1][entry.input]
        assert np.ptp(expected) > 0, entry.input
        assert np.abs(found - expected).max() <= 0.1 * np.abs(expected).max(), entry.input


def test_the_notes_say_how_to_use_it(nabu: tuple[Path, ImportedModel]) -> None:
    _, imported = nabu
    assert [port.name for port in imported.inputs][:2] == ["input_audio", "stream_10/states_in"]
    assert [port.name for port in imported.outputs][:2] == ["dense_1", "stream_10/states_out"]
    (note,) = [note for note in imported.notes if "streaming" in note]
    assert (
        "6 states: feed each output to the input of the next step (stream_10/states_out -> stream_10/states_in" in note
    )
    assert note.endswith("start with every state at 0")


def accumulator(initial: float | None = 0.0) -> TfModel:
    """total = total + x; y is the total, read again after it was written."""
    kind = DType.FLOAT
    tensors = (
        TfTensor("x", (1, 4), kind),
        TfTensor("handle", (), None),
        TfTensor("before", (1, 4), kind),
        TfTensor("sum", (1, 4), kind),
        TfTensor("after", (1, 4), kind),
        TfTensor("y", (1, 4), kind),
    )
    operators = (
        TfOperator("CALL_ONCE", (), (), {"init_subgraph_index": 1}),
        TfOperator("VAR_HANDLE", (), (1,), {"container": "", "shared_name": "total"}),
        TfOperator("READ_VARIABLE", (1,), (2,)),
        TfOperator("ADD", (2, 0), (3,), PLAIN_ADD),
        TfOperator("ASSIGN_VARIABLE", (1, 3), ()),
        TfOperator("READ_VARIABLE", (1,), (4,)),
        TfOperator("ADD", (4, 4), (5,), PLAIN_ADD),
    )
    start = None if initial is None else np.full((1, 4), initial, np.float32)
    setup = TfSubgraph(
        (TfTensor("h", (), None), TfTensor("v", (1, 4), kind, start)),
        (
            TfOperator("VAR_HANDLE", (), (0,), {"container": "", "shared_name": "total"}),
            TfOperator("ASSIGN_VARIABLE", (0, 1), ()),
        ),
        (),
        (),
    )
    return TfModel((TfSubgraph(tensors, operators, (0,), (5,)), setup))


def test_a_state_is_read_again_after_it_was_written() -> None:
    model = build_onnx(accumulator(0.5))
    assert [value.name for value in model.graph.inputs] == ["x", "total_in"]
    assert [value.name for value in model.graph.outputs] == ["y", "total_out"]
    (binding,) = state_bindings(model)
    assert (binding.input, binding.output, binding.initial) == ("total_in", "total_out", 0.5)
    x, state = np.asarray([[1, 2, 3, 4]], np.float32), np.full((1, 4), 0.5, np.float32)
    for step in range(1, 4):
        y, state = run_imported(accumulator(), x, state)
        np.testing.assert_array_equal(y, 2 * (0.5 + step * x))


def edited(model: TfModel, graph: int, operator: int, **changes: Any) -> TfModel:
    operators = list(model.subgraphs[graph].operators)
    operators[operator] = replace(operators[operator], **changes)
    graphs = list(model.subgraphs)
    graphs[graph] = replace(graphs[graph], operators=tuple(operators))
    return replace(model, subgraphs=tuple(graphs))


def test_a_state_that_no_step_writes_is_a_constant() -> None:
    model = accumulator(2.0)
    graph = model.subgraphs[0]
    operators = (*graph.operators[:4], TfOperator("ADD", (3, 3), (5,), PLAIN_ADD))
    constant = replace(model, subgraphs=(replace(graph, operators=operators), model.subgraphs[1]))
    assert [value.name for value in build_onnx(constant).graph.inputs] == ["x"]
    x = np.asarray([[1, 2, 3, 4]], np.float32)
    np.testing.assert_array_equal(run_imported(constant, x)[0], 2 * (x + 2))


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (
            edited(accumulator(), 0, 0, options={"init_subgraph_index": 9}),
            "CALL_ONCE names graph 9, which does not",
        ),
        (accumulator(None), "state 'total' starts from a computed value"),
        (edited(accumulator(), 1, 1, name="ADD", inputs=(1, 1), outputs=(0,)), "initialises the state holds ADD"),
        (edited(accumulator(), 0, 2, inputs=(0,)), "READ_VARIABLE reads a handle that no VAR_HANDLE made"),
    ],
)
def test_a_state_without_such_a_form(model: TfModel, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        build_onnx(model)


def with_tensor(model: TfModel, graph: int, index: int, **changes: Any) -> TfModel:
    tensors = list(model.subgraphs[graph].tensors)
    tensors[index] = replace(tensors[index], **changes)
    graphs = list(model.subgraphs)
    graphs[graph] = replace(graphs[graph], tensors=tuple(tensors))
    return replace(model, subgraphs=tuple(graphs))


def test_a_state_of_changing_type_or_uneven_start() -> None:
    with pytest.raises(ModelError, match="'total' is read in another type than it is written"):
        build_onnx(with_tensor(accumulator(), 0, 4, shape=(4,)))
    with pytest.raises(ModelError, match="'total' is written in another type than it is read"):
        model = accumulator()
        graph = replace(model.subgraphs[0], operators=model.subgraphs[0].operators[:5], outputs=(3,))
        build_onnx(with_tensor(replace(model, subgraphs=(graph, model.subgraphs[1])), 0, 2, shape=(4,)))
    uneven = with_tensor(accumulator(), 1, 1, data=np.arange(4, dtype=np.float32).reshape(1, 4))
    with pytest.raises(ModelError, match="'total' starts from several different values"):
        build_onnx(uneven)


def test_state_in_a_variable_tensor_is_refused() -> None:
    graph = add_graph()
    tensors = (replace(graph.tensors[0], is_variable=True), graph.tensors[1])
    with pytest.raises(ModelError, match="ADD keeps its state in the hidden variable tensor 'x'"):
        build_onnx(TfModel((replace(graph, tensors=tensors),)))


def test_a_damaged_list_of_states() -> None:
    model = build_onnx(accumulator())
    model.metadata_props["edgert.state"] = "[1]"
    with pytest.raises(ModelError, match="the model's list of states is damaged"):
        state_bindings(model)


def test_a_file_with_variables_can_be_written() -> None:
    assert b"total" in write(accumulator().subgraphs[0])


def test_a_state_without_start_that_no_step_writes() -> None:
    model = accumulator()
    graph = model.subgraphs[0]
    operators = (*graph.operators[1:4], TfOperator("ADD", (3, 3), (5,), PLAIN_ADD))
    with pytest.raises(ModelError, match="state 'total' is read and never written"):
        build_onnx(replace(model, subgraphs=(replace(graph, operators=operators), model.subgraphs[1])))
