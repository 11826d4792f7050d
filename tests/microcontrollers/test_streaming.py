"""State that the arena keeps between runs: a wake-word model frame by frame, C against the integer interpreter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgert.quant import QuantParams, dequantize, quantize
from edgert_converters.exporters.c import CFolder, Core, export_c
from edgert_converters.importers import import_model
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.state import state_bindings
from tests.microcontrollers.c_program import AS_ANYBODY, STRICT, read_kernel
from tests.microcontrollers.many_models import compile_models, run_model

FRAMES = 40


def _by_interpreter(model: ir.Model, folder: CFolder, frames: Array) -> list[list[Array]]:
    """Returns output and states as integers after every frame; the states go back, from their initial values on."""
    network, bindings = folder.network, state_bindings(model)
    shapes = {str(v.name): tuple(int(n) for n in v.shape.numpy()) for v in model.graph.inputs if v.shape is not None}
    state: dict[str, Array] = {b.input: np.full(shapes[b.input], b.initial, np.float32) for b in bindings}
    names = [str(model.graph.outputs[0].name), *(b.output for b in bindings)]
    buffers = (*network.outputs, *(s.target for s in network.states))
    interpreter, found = Interpreter(model), []
    for frame in frames:
        real = dequantize(frame, _params(folder, network.inputs[0]))
        outputs = interpreter.run({**state, "input_audio": real}).outputs
        state = {b.input: outputs[b.output] for b in bindings}
        pairs = zip(names, buffers, strict=True)
        found.append([quantize(outputs[name], _params(folder, buffer)).reshape(-1) for name, buffer in pairs])
    return found


def _params(folder: CFolder, buffer: int) -> QuantParams:
    quant = folder.network.buffers[buffer].quant
    assert quant is not None
    return quant


@pytest.fixture(scope="module")
def model(zoo: Path) -> ir.Model:
    return import_model(zoo / "models" / "microwakeword_okay_nabu.tflite", {}).model


@pytest.mark.parametrize("options", [STRICT, AS_ANYBODY], ids=["strict", "as_anybody"])
def test_a_wake_word_model_keeps_its_state(model: ir.Model, options: tuple[str, ...], tmp_path: Path) -> None:
    folder = export_c(model, Core("host"), read_kernel, name="wake")
    rng = np.random.default_rng(5)
    loud = rng.integers(-128, 128, (FRAMES, 1)) * np.ones((FRAMES, 1, 3 * 40))[:, 0]
    frames = np.clip(loud + rng.normal(0, 30, loud.shape), -128, 127).astype(np.int8).reshape(FRAMES, 1, 3, 40)
    program = compile_models([folder], tmp_path, options)
    name = folder.network.buffers[folder.network.inputs[0]].name
    found = run_model(program, 0, folder, [{name: frame} for frame in frames])
    expected = _by_interpreter(model, folder, frames)
    assert len(np.unique([row[1] for row in expected])) > 50
    for row, wanted in zip(found, expected, strict=True):
        for values, integers in zip(row, wanted, strict=True):
            assert np.array_equal(values[: integers.size], integers)


def test_state_starts_over_after_a_reset(model: ir.Model) -> None:
    folder = export_c(model, Core("host"), read_kernel, name="wake")
    assert "void edgert_wake_reset(void *" in folder.files["model.h"].decode()
    assert len(folder.network.states) == 6
    assert len(folder.network.inputs) == len(folder.network.outputs) == 1
