"""Sound to words: the C of the audio front ends equals the Python, byte for byte, and so do the decisions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgert.bundle import Step
from edgert.dtypes import DType
from edgert.errors import RecipeError
from edgert.quant import dequantize, quantize
from edgert.runtime.preprocess import build_preprocess
from edgert_converters.exporters.c import CFolder, Core, Instructions, export_c
from edgert_converters.exporters.c.frontend import export_frontend, files_beside
from edgert_converters.exporters.c.network import Network
from edgert_converters.importers import import_model
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.state import state_bindings
from tests.microcontrollers.c_program import AS_ANYBODY, STRICT, read_kernel
from tests.microcontrollers.sound_program import Heard, on_board, on_host, write_program

KWS_STEP: Step = {"op": "mfcc"}
MICRO_STEP: Step = {"op": "micro_frontend", "step": 320}
WAKE_STEP: Step = {"op": "micro_frontend"}
PORTABLE, DSP = Core("host"), Core("cortex-m4", Instructions.DSP)
BOARDS = {"m4": ("mps2-an386", "cortex-m4", DSP), "m0": ("mps2-an385", "cortex-m0", Core("cortex-m0", has_fpu=False))}
"""QEMU has no ARMv6-M core with enough memory: its code runs on an M3."""


@pytest.fixture(scope="module")
def clips(zoo: Path) -> NDArray[np.int16]:
    sound: NDArray[np.int16] = np.load(zoo / "data/speech_commands_v2_wav_60.npz")["wav_int16"]
    return sound


@pytest.fixture(scope="module")
def kws(zoo: Path) -> ir.Model:
    return import_model(zoo / "models/mlperf_tiny_kws_dscnn_int8.tflite", {}).model


@pytest.fixture(scope="module")
def micro_speech(zoo: Path) -> ir.Model:
    return import_model(zoo / "models/micro_speech.tflite", {}).model


def _features(network: Network, step: Step, clip: NDArray[np.int16]) -> NDArray[np.int8]:
    """What Python feeds the model: int8[runs, features]."""
    buffer = network.buffers[network.inputs[0]]
    assert buffer.quant is not None
    values = quantize(build_preprocess([step])(clip)[0], buffer.quant).reshape(-1)
    runs = len(values) // buffer.size_bytes
    found: NDArray[np.int8] = values[: runs * buffer.size_bytes].reshape(runs, -1)
    return found


def _decisions(model: ir.Model, folder: CFolder, features: NDArray[np.int8]) -> NDArray[np.int8]:
    """What the integer interpreter answers: int8[runs, classes]."""
    network = folder.network
    entry, result = (network.buffers[i] for i in (network.inputs[0], network.outputs[0]))
    assert entry.quant is not None
    assert result.quant is not None
    source = model.graph.inputs[0]
    assert source.shape is not None
    shape = _sizes(source.shape)
    interpreter, output = Interpreter(model), str(model.graph.outputs[0].name)
    values = dequantize(features, entry.quant)
    runs = [interpreter.run({str(source.name): value.reshape(shape)}).outputs[output] for value in values]
    scores: NDArray[np.int8] = quantize(np.stack(runs), result.quant)
    return scores.reshape(len(features), -1)


def _check_kws(heard: Heard, kws: ir.Model, folder: CFolder, clips: NDArray[np.int16]) -> None:
    features = np.concatenate([_features(folder.network, KWS_STEP, clip) for clip in clips])
    assert np.array_equal(heard.features, features)
    assert len(np.unique(heard.scores.argmax(1))) > 1
    assert np.array_equal(heard.scores, _decisions(kws, folder, features))


@pytest.mark.parametrize("options", [STRICT, AS_ANYBODY], ids=["strict", "as_anybody"])
def test_sound_to_word_on_this_computer(
    options: tuple[str, ...], kws: ir.Model, clips: NDArray[np.int16], zoo: Path, tmp_path: Path
) -> None:
    folder = export_c(kws, PORTABLE, read_kernel, name="kws")
    write_program(folder.network, KWS_STEP, tmp_path, folder.files)
    heard = on_host(tmp_path, folder.network, clips, options)
    _check_kws(heard, kws, folder, clips)
    data = np.load(zoo / "data/speech_commands_v2_wav_60.npz")
    entry = folder.network.buffers[folder.network.inputs[0]].quant
    assert entry is not None
    on_reference = _decisions(kws, folder, quantize(data["mfcc_ref"], entry).reshape(60, -1))
    assert np.array_equal(heard.scores.argmax(1), on_reference.argmax(1))
    assert (heard.scores.argmax(1) == data["labels"]).sum() >= 51


@pytest.mark.parametrize("board", BOARDS)
def test_sound_to_word_on_an_emulated_board(
    board: str, kws: ir.Model, clips: NDArray[np.int16], tmp_path: Path
) -> None:
    machine, cpu, core = BOARDS[board]
    folder = export_c(kws, core, read_kernel, name="kws")
    write_program(folder.network, KWS_STEP, tmp_path, folder.files, board=True)
    some = clips if board == "m4" else clips[::20]
    heard = on_board(tmp_path, folder.network, some, machine, cpu)
    _check_kws(heard, kws, folder, some)
    assert heard.instructions > 0


def _batch_of(network: Network, step: Step, clips: NDArray[np.int16]) -> NDArray[np.int8]:
    return np.concatenate([_features(network, step, clip) for clip in clips])


@pytest.mark.parametrize("piece", [1, 320, 1000])
def test_a_stream_in_pieces_equals_the_whole_clip(
    piece: int, micro_speech: ir.Model, clips: NDArray[np.int16], tmp_path: Path
) -> None:
    folder = export_c(micro_speech, PORTABLE, read_kernel, name="micro_speech")
    write_program(folder.network, MICRO_STEP, tmp_path, folder.files, piece=piece)
    some = clips[::15]
    heard = on_host(tmp_path, folder.network, some, STRICT)
    features = _batch_of(folder.network, MICRO_STEP, some)
    assert features.shape == (len(some), 1960)
    assert np.array_equal(heard.features, features)
    assert np.array_equal(heard.scores, _decisions(micro_speech, folder, features))


def test_micro_speech_hears_no(micro_speech: ir.Model, clips: NDArray[np.int16], zoo: Path) -> None:
    """The model was trained on another implementation's features of "yes" and "no"."""
    said_no = clips[np.load(zoo / "data/speech_commands_v2_wav_60.npz")["labels"] == 3]
    folder = export_c(micro_speech, PORTABLE, read_kernel, name="micro_speech")
    scores = _decisions(micro_speech, folder, _batch_of(folder.network, MICRO_STEP, said_no))
    silence, unknown, yes, no = scores.T
    assert len(no) == 10
    assert np.all(no > np.maximum(silence, np.maximum(unknown, yes)))


@pytest.mark.parametrize("board", BOARDS)
def test_a_stream_on_an_emulated_board(
    board: str, micro_speech: ir.Model, clips: NDArray[np.int16], tmp_path: Path
) -> None:
    machine, cpu, core = BOARDS[board]
    folder = export_c(micro_speech, core, read_kernel, name="micro_speech")
    write_program(folder.network, MICRO_STEP, tmp_path, folder.files, piece=512, board=True)
    some = clips if board == "m4" else clips[::20]
    heard = on_board(tmp_path, folder.network, some, machine, cpu)
    features = _batch_of(folder.network, MICRO_STEP, some)
    assert np.array_equal(heard.features, features)
    assert np.array_equal(heard.scores, _decisions(micro_speech, folder, features))
    assert heard.instructions > 0


def _decisions_with_state(model: ir.Model, network: Network, features: NDArray[np.int8]) -> NDArray[np.int8]:
    """What the integer interpreter answers to a clip's rows, the states fed back: int8[runs]."""
    entry, result = (network.buffers[i].quant for i in (network.inputs[0], network.outputs[0]))
    assert entry is not None
    assert result is not None
    bindings, interpreter = state_bindings(model), Interpreter(model)
    shapes = {str(value.name): value.shape for value in model.graph.inputs}
    state: dict[str, Array] = {b.input: np.full(_sizes(shapes[b.input]), b.initial, np.float32) for b in bindings}
    (fed,) = shapes.keys() - state.keys()
    scores = []
    for row in features:
        values = dequantize(row.reshape(_sizes(shapes[fed])), entry)
        outputs = interpreter.run({**state, fed: values}).outputs
        state = {b.input: outputs[b.output] for b in bindings}
        scores.append(quantize(outputs[str(model.graph.outputs[0].name)], result).item())
    return np.array(scores, np.int8)


def _sizes(shape: ir.Shape | None) -> tuple[int, ...]:
    assert shape is not None
    return tuple(size if isinstance(size, int) else 1 for size in shape)


@pytest.mark.parametrize("board", [None, "m4"])
def test_a_wake_word_model_hears_a_stream(
    board: str | None, clips: NDArray[np.int16], zoo: Path, tmp_path: Path
) -> None:
    model = import_model(zoo / "models/microwakeword_okay_nabu.tflite", {}).model
    folder = export_c(model, PORTABLE if board is None else DSP, read_kernel, name="wake")
    write_program(folder.network, WAKE_STEP, tmp_path, folder.files, piece=480, board=board is not None)
    some = clips[17:19] if board is None else clips[17:18]
    if board is None:
        heard = on_host(tmp_path, folder.network, some, AS_ANYBODY)
    else:
        heard = on_board(tmp_path, folder.network, some, *BOARDS[board][:2])
    features = _batch_of(folder.network, WAKE_STEP, some)
    assert features.shape == (len(some) * 32, 120)
    assert np.array_equal(heard.features, features)
    expected = [_decisions_with_state(model, folder.network, clip) for clip in np.split(features, len(some))]
    assert np.array_equal(heard.scores[:, 0], np.concatenate(expected))


def _hard_clips() -> NDArray[np.int16]:
    """Silence, clipping, one click, the largest square wave, noise, noise of extremes, nearly nothing, a sweep."""
    rng = np.random.default_rng(3)
    hard = np.zeros((8, 16000), np.int16)
    hard[1] = -32768
    hard[2, 8000] = 1
    hard[3] = np.where(np.arange(16000) // 16 % 2, 32767, -32768)
    hard[4] = rng.integers(-32768, 32768, 16000)
    hard[5] = rng.choice(np.array([-32768, 32767], np.int16), 16000)
    hard[6, :9000] = rng.integers(-1, 2, 9000)
    hard[7] = 30000 * np.sin(np.cumsum(np.linspace(0, 3, 16000)))
    return hard


def _with_input(network: Network, **changes: object) -> Network:
    buffers = list(network.buffers)
    buffers[network.inputs[0]] = replace(buffers[network.inputs[0]], **changes)  # type: ignore[arg-type]  # its fields
    return replace(network, buffers=tuple(buffers))


@pytest.mark.parametrize(
    ("step", "count"),
    [
        ({"op": "mfcc"}, 490),
        (
            {"op": "mfcc", "window": 401, "step": 250, "channels": 23, "coefficients": 13}
            | {"high_hz": 8000.0, "low_hz": 0.0},
            63 * 13,
        ),
        ({"op": "mfcc", "window": 1025, "step": 2000, "channels": 64, "coefficients": 20, "high_hz": 7600.0}, 8 * 20),
        ({"op": "mfcc", "window": 64, "step": 100, "channels": 8, "coefficients": 8, "sample_rate": 8000}, 160 * 8),
        ({"op": "micro_frontend"}, 40),
        ({"op": "micro_frontend", "window": 400, "step": 200, "channels": 23, "high_hz": 8000.0, "low_hz": 0.0}, 23),
        ({"op": "micro_frontend", "window": 256, "channels": 17, "gain_bits": 22, "strength": 1.0, "offset": 1.0}, 17),
        ({"op": "micro_frontend", "window": 900, "step": 900, "log_shift": 8, "sample_rate": 44100}, 40),
    ],
    ids=["mfcc", "mfcc_odd", "mfcc_long", "mfcc_short", "micro", "micro_odd", "micro_short", "micro_long"],
)
def test_hard_cases_and_other_settings_equal_python(step: Step, count: int, kws: ir.Model, tmp_path: Path) -> None:
    network = _with_input(export_c(kws, PORTABLE, read_kernel, name="kws").network, shape=(1, count))
    write_program(network, step, tmp_path, {}, piece=500 if step["op"] == "micro_frontend" else 0)
    hard = _hard_clips()
    heard = on_host(tmp_path, network, hard, STRICT, model=False)
    assert np.array_equal(heard.features, _batch_of(network, step, hard))


def _refuses(step: Step, network: Network, match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        export_frontend(step, network, read_kernel)


def test_what_does_not_fit_the_model_is_refused(kws: ir.Model) -> None:
    network = export_c(kws, PORTABLE, read_kernel, name="kws").network
    _refuses({"op": "mfcc", "coefficients": 12}, network, r"49 windows of 12 coefficients do not fill .* \[49, 10, 1\]")
    _refuses({"op": "micro_frontend"}, network, r"rows of 40 channels do not fill the input")
    _refuses({"op": "mfcc", "high_hz": 9000.0}, network, r"front end of kws \(mfcc\): 0 <= low_hz < high_hz <= 8000")
    floats = _with_input(network, dtype=DType.FLOAT)
    _refuses({"op": "mfcc"}, floats, r"the input .* is float; features are int8 .* --precision int8")
    two = replace(network, inputs=network.inputs * 2)
    _refuses({"op": "mfcc"}, two, r"the model has 2 inputs; a front end fills a single one")


def test_steps_that_c_would_not_give_are_noted(kws: ir.Model) -> None:
    network = export_c(kws, PORTABLE, read_kernel, name="kws").network
    assert files_beside([{"op": "scale", "factor": 2.0}], network, read_kernel) == ({}, ())
    steps: list[Step] = [{"op": "mfcc"}, {"op": "scale", "factor": 2.0}, {"op": "reshape", "shape": [49, 10, 1]}]
    beside = r"no C of the front end mfcc: other steps compute beside it (scale)"
    assert files_beside(steps, network, read_kernel) == ({}, (beside,))
    floats = _with_input(network, dtype=DType.FLOAT)
    assert files_beside(steps[:1], floats, read_kernel)[1] == (
        "no C of the front end mfcc: the model's input is not int8",
    )
    files, notes = files_beside([steps[0], steps[2]], network, read_kernel)
    assert notes == ("frontend.c is the step mfcc, with the same bits",)
    assert {"frontend.c", "frontend.h", "CMakeLists.txt", "edgert_frontend.h"} <= set(files)
    assert all(len(line) <= 120 for line in files["frontend.c"].decode().splitlines())
    assert files_beside([steps[0], steps[2]], network, read_kernel)[0] == files
