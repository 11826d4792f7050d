"""`run`, `profile`, `doctor` and `targets` with .tflite files and with the engines beside ONNX Runtime."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import edgert
from edgert import cli
from edgert.bundle import write_bundle
from edgert.commands.doctor import doctor
from edgert.profiler.record import load_record
from edgert.runtime.engines import ENGINES
from tests.tflite_example import passing_model

pytest.importorskip("ai_edge_litert")

KWS = "mlperf_tiny_kws_dscnn_int8.tflite"
FILES = (
    "basic_pitch_nmp",
    "micro_speech",
    "microwakeword_okay_nabu",
    "mlperf_tiny_ad_fcae_float",
    "mlperf_tiny_ad_fcae_int8",
    "mlperf_tiny_ic_resnet8_float",
    "mlperf_tiny_ic_resnet8_int8",
    "mlperf_tiny_kws_dscnn_float",
    "mlperf_tiny_kws_dscnn_int8",
    "mlperf_tiny_vww_mobilenetv1_float",
    "mlperf_tiny_vww_mobilenetv1_int8",
    "mnist_lenet_300_100_ptq",
    "mobilenet_v1_0.25_128_quant",
    "ultraface_RFB_320_nopost",
)


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    status = cli.main([*map(str, words), "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return json.loads(captured.out)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, np.ndarray]]:
    """`run(model, array, *flags)`: the verb's outputs."""

    def call(model: Path, array: np.ndarray, *flags: str) -> dict[str, np.ndarray]:
        np.save(tmp_path / "x.npy", array)
        words = ("--input", tmp_path / "x.npy", "--output", tmp_path / "y.npz", "--threads", 1, *flags)
        answer(capsys, "run", model, *words)
        with np.load(tmp_path / "y.npz") as written:
            return dict(written)

    return call


@pytest.mark.parametrize("name", FILES)
def test_every_file_runs_two_samples_as_one_after_the_other(
    zoo: Path, name: str, run: Callable[..., dict[str, np.ndarray]]
) -> None:
    path = zoo / "models" / f"{name}.tflite"
    session = edgert.load(path, threads=1)
    (spec,) = session.inputs
    samples = np.random.default_rng(0).uniform(0, 1, (2, *spec.shape[1:])).astype(np.float32)
    alone = [session.run(sample[None]) for sample in samples]
    for output, array in run(path, samples).items():
        assert_array_equal(array, np.concatenate([one[output] for one in alone]))


@pytest.mark.parametrize("name", ["kws", "vww", "micro_speech"])
def test_integers_of_a_stack_of_inputs_are_those_of_tflm(
    zoo: Path, name: str, run: Callable[..., dict[str, np.ndarray]]
) -> None:
    files = {"kws": KWS, "vww": "mlperf_tiny_vww_mobilenetv1_int8.tflite", "micro_speech": "micro_speech.tflite"}
    given, expected = (np.load(zoo / "mcu" / f"{name}.{what}.npy") for what in ("inputs", "outputs_tflm"))
    (found,) = run(zoo / "models" / files[name], given, "--quantized").values()
    assert_array_equal(found, expected.reshape(found.shape))


def test_uint8_files_take_their_own_integers(zoo: Path, run: Callable[..., dict[str, np.ndarray]]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3)).astype(np.uint8)
    (found,) = run(zoo / "models/mobilenet_v1_0.25_128_quant.tflite", image, "--quantized").values()
    assert (found.dtype, found.shape) == (np.uint8, (1, 1001))
    assert abs(int(found.sum()) - 256) < 40, "probabilities in steps of 1/256"


def test_profile_goes_on_without_layers_and_says_why(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "record.json"
    words = ("profile", zoo / "models" / KWS, "--duration", "200ms", "--threads", "1", "-o", path)
    assert cli.main([*map(str, words)]) == 0
    text = capsys.readouterr().out
    assert "no times of single layers: LiteRT's Python packages have no profiler of single operators" in text
    record = load_record(path)
    assert record.layers == ()
    assert record.layers_reason == "LiteRT's Python packages have no profiler of single operators"
    assert record.engine.name == "litert"
    assert record.engine.threads == 1
    assert record.engine.providers == ("XNNPACK", "built-in kernels")


def test_profile_measures_the_tflite_variant_of_a_bundle(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with edgert.load(zoo / "models" / KWS) as plain:
        variant = dataclasses.replace(plain.variant, id="tflite-int8", path="variants/tflite-int8/model.tflite")
        manifest = dataclasses.replace(plain.manifest, variants=(variant,), default_variant=variant.id)
    data = (zoo / "models" / KWS).read_bytes()
    bundle = write_bundle(tmp_path / "kws.edge", manifest, {variant.path: data})
    record = answer(capsys, "profile", bundle, "--variant", "tflite-int8", "--duration", "200ms")
    assert (record["variant"], record["engine"]["name"]) == ("tflite-int8", "litert")
    assert record["latency"]["p50_ms"] > 0


def test_profile_has_the_layers_of_openvino(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openvino")
    model = zoo / "models/resnet20_cifar10.onnx"
    record = answer(capsys, "profile", model, "--engine", "openvino", "--duration", "200ms", "--threads", "1")
    assert record["layers_reason"] is None
    assert sum(row["op"] == "Convolution" for row in record["layers"]) == 19


def test_a_damaged_file_is_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.tflite").write_bytes(b"TFL3" * 30)
    np.save(tmp_path / "x.npy", np.zeros((1, 4), np.float32))
    status = cli.main(["run", str(tmp_path / "net.tflite"), "--input", str(tmp_path / "x.npy")])
    assert status == 4
    assert "litert cannot load variant 'tflite'" in capsys.readouterr().err


def test_engine_options_reach_litert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.tflite").write_bytes(passing_model())
    np.save(tmp_path / "x.npy", np.zeros((1, 4), np.float32))
    words = ("run", tmp_path / "net.tflite", "--input", tmp_path / "x.npy", "--engine-option", "kernels=reference")
    assert answer(capsys, *words)["facts"]["options"]["kernels"] == "reference"
    assert cli.main([*map(str, words[:-1]), "kernel=reference"]) == 2
    assert "litert has no option 'kernel'; did you mean 'kernels'?" in capsys.readouterr().err


def test_doctor_lists_every_engine_with_its_version() -> None:
    values = {check.name: check.value for check in doctor()}
    assert {f"engine {name}" for name in ENGINES} <= values.keys()
    assert values["engine litert"][0].isdigit()


def test_targets_show_their_engines(capsys: pytest.CaptureFixture[str]) -> None:
    engines = {engine["name"]: engine for engine in answer(capsys, "targets", "host")["engines"]}
    assert engines["litert"]["max_opset"] is None
    assert engines["openvino"]["optional"]
    assert cli.main(["targets", "host"]) == 0
    text = capsys.readouterr().out
    assert "onnxruntime 1.17.0 or later, opset up to 20" in text
    assert "litert 2.0.2 or later\n" in text
    assert "openvino 2024.6.0 or later, optional" in text
    assert [engine["name"] for engine in answer(capsys, "targets", "raspberry-pi-5")["engines"]] == [
        "onnxruntime",
        "litert",
    ]
