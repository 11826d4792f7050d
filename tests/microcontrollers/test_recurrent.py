"""LSTM and GRU in C: a whole sequence in one run, and step by step with the state that the arena keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

from edgert.errors import ModelError
from edgert_converters.engine import load_runner
from edgert_converters.exporters.c import CFolder, Core, export_c
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.state import StateBinding, set_state_bindings
from tests.microcontrollers.c_program import read_kernel
from tests.microcontrollers.many_models import compile_models, run_model

FEATURES, HIDDEN, STEPS = 8, 6, 12
GATES: Final = {"GRU": 3, "LSTM": 4}
STATES: Final = {"GRU": ("h",), "LSTM": ("h", "c")}
# States are below 1; a step's error of 2e-7 in each function does not grow in gates of these weights.
TOLERANCE: Final = 5e-6


def _model(op_type: str, steps: int, *, is_streaming: bool) -> ir.Model:
    """The same layer over `steps` steps from zero on, or over one step from states that are inputs and outputs."""
    rng, count = np.random.default_rng(71), GATES[op_type] * HIDDEN
    weights = {
        "w": rng.normal(0, 0.6, (1, count, FEATURES)),
        "r": rng.normal(0, 0.5, (1, count, HIDDEN)),
        "b": rng.normal(0, 0.2, (1, 2 * count)),
    }
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    inputs, outputs = [_value("x", (steps, 1, FEATURES))], [_value("y", (steps, 1, 1, HIDDEN))]
    names = STATES[op_type] if is_streaming else ()
    inputs += [_value(f"{name}_in", (1, 1, HIDDEN)) for name in names]
    outputs += [_value(f"{name}_out", (1, 1, HIDDEN)) for name in names]
    node = helper.make_node(
        op_type,
        ["x", "w", "r", "b", "", *(f"{name}_in" for name in names)],
        ["y", *(f"{name}_out" for name in names)],
        name="layer",
        hidden_size=HIDDEN,
    )
    graph = helper.make_graph([node], "g", inputs, outputs, constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    model = ir.serde.deserialize_model(proto)
    if is_streaming:
        set_state_bindings(model, tuple(StateBinding(f"{name}_in", f"{name}_out", 0.0) for name in names))
    return model


def _value(name: str, shape: tuple[int, ...]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _distance(found: Array, expected: Array) -> float:
    return float(np.abs(found.astype(np.float64) - expected.astype(np.float64).reshape(-1)).max())


def _steps() -> Array:
    return np.random.default_rng(72).normal(0, 1, (STEPS, 1, FEATURES)).astype(np.float32)


def _run(folder: CFolder, samples: list[Array], where: Path) -> list[Array]:
    program = compile_models([folder], where, ("-O1", "-std=c99", "-fsanitize=address,undefined"))
    (entry,) = (folder.network.buffers[index].name for index in folder.network.inputs)
    return [row[0] for row in run_model(program, 0, folder, [{entry: sample} for sample in samples])]


@pytest.mark.parametrize("op_type", GATES)
def test_a_sequence_and_its_steps_give_the_same(op_type: str, tmp_path: Path) -> None:
    whole = _model(op_type, STEPS, is_streaming=False)
    (expected,) = load_runner(whole)({"x": _steps()}).values()
    unrolled = export_c(whole, Core("host"), read_kernel, name="whole")
    (found,) = _run(unrolled, [_steps()], tmp_path / "whole")
    assert _distance(found, expected) <= TOLERANCE
    streaming = export_c(_model(op_type, 1, is_streaming=True), Core("host"), read_kernel, name="steps")
    assert len(streaming.network.states) == len(STATES[op_type])
    frames = _run(streaming, list(_steps()[:, None]), tmp_path / "steps")
    assert _distance(np.concatenate(frames), expected) <= TOLERANCE


def test_the_steps_of_a_sequence_share_their_weights() -> None:
    network = export_c(_model("LSTM", STEPS, is_streaming=False), Core("host"), read_kernel, name="whole").network
    constants = {id(c): c.size_bytes for layer in network.layers for c in layer.call.constants}
    weights = 4 * GATES["LSTM"] * HIDDEN * (FEATURES + HIDDEN + 2)
    assert weights <= sum(constants.values()) <= weights + 64


def test_a_sequence_too_long_to_unroll_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="'layer'.*129 steps, which become as many groups; at most 128"):
        export_c(_model("GRU", 129, is_streaming=False), Core("host"), read_kernel, name="long")
