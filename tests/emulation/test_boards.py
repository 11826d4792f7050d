"""From nothing to a profile in three commands on every board, and the same numbers there as here."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.emulation import session
from tests.emulation.board import EmulatedBoard
from tests.emulation.laptop import Laptop
from tests.emulation.session import Done

pytestmark = pytest.mark.emulation

KINDS = ("pi4", pytest.param("pi5", marks=pytest.mark.slow), "orin-nano")
"""The Pi 5 has the instructions of the Jetson's processor, and `make test-devices` no time for both."""
TARGETS = {"pi4": "raspberry-pi-4", "pi5": "raspberry-pi-5", "orin-nano": "jetson-orin-nano"}
CORES = {"pi4": "Cortex-A72", "pi5": "Cortex-A76", "orin-nano": "Cortex-A78AE"}
RAILS = {"pi5": "VDD_CORE", "orin-nano": "VDD_IN"}
DOT_PRODUCT = {"pi4": "none", "pi5": "neon_dotprod", "orin-nano": "neon_dotprod"}
SOURCES = {"kws": "mlperf_tiny_kws_dscnn_float.tflite", "proxyless": "proxyless_w025_r112_imagenet.onnx"}
ON_CPU = {"onnxruntime": ["--engine-option", "providers=CPUExecutionProvider"], "litert": []}
FORMATS = {"onnxruntime": "onnx", "litert": "tflite"}
SET_UP = ("--offline", "--engine", "onnxruntime", "--engine", "litert", "--json")
STEPS = 0
"""How far a board's integers may lie from this computer's integer interpreter."""


def edgert(laptop: Laptop, *words: object) -> Done:
    """A command with the time that inference on an emulated board takes, and no hurry about silence."""
    return session.edgert(laptop, *words, timeout_s=240.0, EDGERT_SILENCE_S="60")


@dataclass(frozen=True)
class Ready:
    """A board that was added and set up, and what those two commands said."""

    kind: str
    board: EmulatedBoard
    laptop: Laptop
    added: Any  # Any: JSON
    setup: Any


@pytest.fixture(scope="module")
def bundle(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Converts a model for all boards at its first use: float and int8, in both formats."""
    folder = tmp_path_factory.mktemp("bundles")
    boards = [word for target in TARGETS.values() for word in ("-t", target)]

    @functools.cache
    def convert(name: str) -> Path:
        np.savez(folder / f"{name}.npz", x=_calibration(name, zoo))
        made = folder / f"{name}.edge"
        words = [zoo / "models" / SOURCES[name], *boards, "--calib", folder / f"{name}.npz", "-o", made]
        command = [sys.executable, "-m", "edgert", "convert", *map(str, words)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert made.is_file(), done.stderr
        return made

    return convert


def _calibration(name: str, zoo: Path) -> np.ndarray:
    """Integers are compared, not accuracies: for the pictures, noise does."""
    if name == "proxyless":
        return np.random.default_rng(0).standard_normal((16, 3, 112, 112)).astype(np.float32)
    with np.load(zoo / "data" / "speech_commands_v2_test_mfcc_4890.npz") as data:
        clips: np.ndarray = data["mfcc"][:64].astype(np.float32)
    return clips.reshape(-1, 49, 10, 1)


@pytest.fixture(scope="module", params=KINDS)
def ready(
    request: pytest.FixtureRequest, laptop_key: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ready]:
    """The first two of the three commands; at the end, clean leaves nothing behind."""
    kind = str(request.param)
    laptop = Laptop(tmp_path_factory.mktemp("home"), laptop_key)
    with EmulatedBoard(kind, authorized_key=laptop_key.with_suffix(".pub").read_text()) as board:
        added = edgert(laptop, "devices", "add", kind, board.url, "--accept-new-host-key", "--json")
        assert added.status == 0, added.err
        done = edgert(laptop, "devices", "setup", kind, *SET_UP)
        assert done.status == 0, done.err
        yield Ready(kind, board, laptop, added.json, done.json)
        cleaned = edgert(laptop, "devices", "clean", kind)
        assert cleaned.status == 0, cleaned.err
        assert board.files() == [".ssh/authorized_keys"]
        assert board.processes() == []
        assert not os.listdir(f"{board.root}/tmp")


def test_a_board_is_found_to_be_what_it_is(ready: Ready) -> None:
    assert ready.added["target"] == TARGETS[ready.kind]
    assert ready.added["facts"]["machine"] == "aarch64"
    assert set(ready.setup["engines"]) >= {"onnxruntime", "litert"}
    assert all(ready.setup["engines"][name] for name in FORMATS)
    assert ready.setup["environment_bytes"] < 120 << 20
    if ready.kind == "orin-nano":  # the index of its own wheels is out of reach here
        assert (
            "runs on the CPU only, since its package for NVIDIA Jetson Orin Nano is not to be had"
            in ready.setup["notes"][0]
        )
    again = edgert(ready.laptop, "devices", "setup", ready.kind, *SET_UP)
    assert again.json["was_there"] is True


def fast_and_slow(*fast: tuple[str, str]) -> list[Any]:  # Any: pytest's own type of parameters
    """Every model in every engine; those that `make test-devices` has no time for are slow."""
    every = [(model, engine) for model in SOURCES for engine in FORMATS]
    return [pytest.param(*one, marks=() if one in fast else pytest.mark.slow) for one in every]


@pytest.mark.parametrize(("model", "engine"), fast_and_slow(("kws", "litert")))
def test_a_profile_names_what_ran_where(ready: Ready, bundle: Callable[[str], Path], model: str, engine: str) -> None:
    has_energy = engine == "litert" and ready.kind != "pi4"
    words = ["--variant", f"{FORMATS[engine]}-int8", "--engine", engine, *ON_CPU[engine]]
    words += ["--duration", "0.3s", "--no-layers", "--energy", "auto" if engine == "litert" else "none"]
    done = edgert(ready.laptop, "profile", bundle(model), "--device", ready.kind, *words, "--json")
    assert done.status == 0, done.err
    record = done.json
    assert record["device"]["target"] == TARGETS[ready.kind]
    assert record["device"]["board"] == ready.added["facts"]["board"]
    assert record["device"]["core"] == CORES[ready.kind]
    assert record["engine"]["name"] == engine
    assert record["engine"]["dot_product"] == DOT_PRODUCT[ready.kind]
    assert record["verdict"] in {"degraded", "invalid"}  # an emulated board is no place to measure
    if has_energy and record["energy"] is not None:
        assert RAILS[ready.kind] in record["energy"]["rails"]
    else:
        assert record["energy"] is None
        assert "sensor-" in record["energy_reason"] if has_energy else record["energy_reason"]


@pytest.mark.parametrize(("model", "engine"), fast_and_slow(("kws", "onnxruntime")))
def test_integers_equal_those_of_this_computer(
    ready: Ready, bundle: Callable[[str], Path], model: str, engine: str
) -> None:
    name = {"onnxruntime": "onnxruntime", "litert": "litert-xnnpack"}[engine]
    variant = ["--variant", f"{FORMATS[engine]}-int8", "--mode", "end_to_end", "--samples", "1"]
    done = edgert(ready.laptop, "verify", bundle(model), "--device", ready.kind, "--engine", name, *variant, "--json")
    assert done.status == 0, done.err
    (pair,) = [pair for pair in done.json["pairs"] if pair["b"] == f"{name} on {ready.kind}"]
    assert pair["layers"]
    assert pair["max_steps"] <= STEPS, pair["first_divergence"]


def test_float_outputs_are_close_to_those_of_this_computer(
    ready: Ready, bundle: Callable[[str], Path], tmp_path: Path
) -> None:
    x = np.random.default_rng(1).standard_normal((1, 49, 10, 1)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    found: list[np.ndarray] = []
    for place in ([], ["--device", ready.kind]):
        output = tmp_path / f"y{len(found)}.npz"
        words = ["--input", tmp_path / "x.npy", "--variant", "tflite-fp32", "--engine", "litert", "--output", output]
        done = edgert(ready.laptop, "run", bundle("kws"), *words, *place)
        assert done.status == 0, done.err
        with np.load(output) as data:
            found.append(next(iter(data.values())))
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)


def test_a_jetson_on_its_cpu_is_refused_unless_asked_for(ready: Ready, bundle: Callable[[str], Path]) -> None:
    if ready.kind != "orin-nano":
        pytest.skip("this board is meant to run models on its CPU")
    done = edgert(ready.laptop, "profile", bundle("kws"), "--device", ready.kind, "--duration", "0.1s", "--no-layers")
    assert done.status == 1
    assert "would run on the CPU" in done.err
    assert "providers=CPUExecutionProvider" in done.err
