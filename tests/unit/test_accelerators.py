"""A device that has a GPU never gives the CPU's figures under its name; the real worker here has only a CPU."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edgert.bundle import Gate, Manifest, Source
from edgert.cli import main
from edgert.commands.profile_text import profile_text
from edgert.devices import WorkerClient, connect
from edgert.errors import EngineError, FallbackError, UsageError
from edgert.plugins import EngineOptions, LayerTime
from edgert.profiler.what_ran import describe_engine
from edgert.runtime.engines import get_engine
from edgert.runtime.engines.accelerators import choose_accelerated, choose_variant
from edgert.runtime.engines.onnxruntime import OnnxRuntimeEngine
from tests import bundle_example as example
from tests import record_example

CPU = {"providers": "CPUExecutionProvider"}
FLOAT = example.variant("onnx-fp32")
needs_no_gpu = pytest.mark.skipif(
    bool(OnnxRuntimeEngine().accelerators()) or get_engine("tensorrt").version() is not None,
    reason="this computer has the accelerator that these tests must not find",
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return example.write(tmp_path / "net.edge")


@pytest.fixture
def jetson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """This computer under the name of a device that was found to be a Jetson."""
    monkeypatch.setenv("EDGERT_SETTINGS", str(tmp_path))
    device = {"name": "orin", "url": "local:", "target": "jetson-orin-nano", "facts": {}}
    (tmp_path / "devices.json").write_text(json.dumps({"schema": 1, "devices": [device]}))
    return "orin"


@needs_no_gpu
def test_the_worker_refuses_the_cpu_and_says_why(bundle: Path) -> None:
    with WorkerClient(connect(), accelerator="cuda") as worker:
        with pytest.raises(
            FallbackError, match="expected to use cuda: tensorrt: the module 'tensorrt' is not"
        ) as raised:
            worker.load(bundle)
        assert raised.value.exit_code == 1
        assert "onnxruntime: " in str(raised.value)
        assert "here has no cuda; to have the CPU all the same: --engine onnxruntime --engine-option" in str(
            raised.value
        )
        with pytest.raises(FallbackError, match="onnxruntime: .* here has no cuda"):
            worker.load(bundle, engine="onnxruntime")
        facts = worker.load(bundle, engine="onnxruntime", options=CPU)["facts"]
        assert facts["providers"] == ["CPUExecutionProvider"]


@needs_no_gpu
@pytest.mark.parametrize("verb", ["run", "profile"])
def test_the_verbs_end_with_1(verb: str, bundle: Path, jetson: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(bundle.with_name("x.npy"), np.zeros((1, 4), np.float32))
    words = [verb, str(bundle), "--device", jetson, "--input", str(bundle.with_name("x.npy"))]
    words += ["--duration", "0.05s", "--energy", "none"] if verb == "profile" else []
    assert main(words) == 1
    assert "expected to use cuda" in capsys.readouterr().err
    assert main([*words, "--json", "--engine", "onnxruntime", "--engine-option", "providers=CPUExecutionProvider"]) == 0
    found = json.loads(capsys.readouterr().out)
    if verb == "profile":
        assert found["engine"]["providers"] == ["CPUExecutionProvider"]


def test_no_accelerator_asks_for_nothing() -> None:
    engine, options = choose_accelerated(FLOAT, None, {"graph_optimization": "basic"}, None)
    assert (engine.name, options) == ("onnxruntime", {"graph_optimization": "basic"})


def test_an_engine_that_knows_only_the_cpu_is_the_cpu_by_name() -> None:
    pytest.importorskip("ai_edge_litert")
    tflite = dataclasses.replace(FLOAT, format="tflite")
    assert choose_accelerated(tflite, "litert", {}, "cuda")[0].name == "litert"
    with pytest.raises(FallbackError, match="tensorrt: reads onnx, not tflite; onnxruntime: reads onnx, not tflite"):
        choose_accelerated(tflite, None, {}, "cuda")
    with pytest.raises(EngineError, match="litert: reads tflite, not onnx"):
        choose_accelerated(FLOAT, "litert", {}, "cuda")
    with pytest.raises(UsageError, match="no engine 'tensort'; did you mean 'tensorrt'"):
        choose_accelerated(FLOAT, "tensort", {}, "cuda")


def test_onnx_runtime_gets_the_gpu_where_its_build_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    engine, options = choose_accelerated(FLOAT, None, {"allow_spinning": "0"}, "cuda")
    assert engine.name == "onnxruntime"
    assert options == {"providers": "CUDAExecutionProvider,CPUExecutionProvider", "allow_spinning": "0"}
    assert choose_accelerated(FLOAT, "onnxruntime", CPU, "cuda")[1] == CPU
    both = {"providers": "TensorrtExecutionProvider, CUDAExecutionProvider"}
    assert choose_accelerated(FLOAT, "onnxruntime", both, "cuda")[1] == both


def test_a_provider_that_does_not_start_is_no_silent_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel with CUDA on a board without its libraries: the build lists the provider, the session loses it."""
    import onnxruntime

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"), pytest.raises(FallbackError, match="did not start"):
        options = OnnxRuntimeEngine().accelerator_options("cuda")
        OnnxRuntimeEngine().load(example.float_model(), FLOAT, EngineOptions(1, options))


def manifest(*variants: tuple[str, str, Gate]) -> Manifest:
    rows = tuple(
        dataclasses.replace(example.variant(name), precision=precision, gate=gate, format=name.partition("-")[0])
        for name, precision, gate in variants
    )
    return Manifest(1, "net", "0", Source("", "", ""), rows[0].inputs, rows[0].outputs, rows, rows[-1].id)


@pytest.mark.parametrize(
    ("gates", "chosen"),
    [
        ((Gate.PASSED, Gate.PASSED), "onnx-int8-trt"),
        ((Gate.UNDECIDED, Gate.PASSED), "onnx-fp16"),
        ((Gate.FAILED, Gate.NONE), "onnx-fp32"),
    ],
)
def test_the_fastest_form_that_the_gate_let_pass(gates: tuple[Gate, Gate], chosen: str) -> None:
    found = manifest(
        ("onnx-fp32", "fp32", Gate.NONE),
        ("tflite-fp32", "fp32", Gate.PASSED),
        ("onnx-int8-trt", "int8-symmetric", gates[0]),
        ("onnx-fp16", "fp16", gates[1]),
        ("onnx-int8", "int8", Gate.PASSED),
    )
    assert choose_variant(found, None, "cuda").id == chosen
    assert choose_variant(found, None, None).id == "onnx-int8"
    assert choose_variant(found, "tflite-fp32", "cuda").id == "tflite-fp32"
    assert choose_variant(found, None, "cuda", "onnxruntime").id == chosen
    assert choose_variant(found, None, "cuda", "onnxruntime", CPU).id == "onnx-int8"


def test_a_named_engine_gets_the_same_precision_in_a_format_that_it_reads() -> None:
    found = manifest(
        ("onnx-fp32", "fp32", Gate.NONE),
        ("tflite-fp32", "fp32", Gate.PASSED),
        ("tflite-int8", "int8", Gate.PASSED),
        ("onnx-int8", "int8", Gate.PASSED),
    )
    assert choose_variant(found, None, None, "onnxruntime").id == "onnx-int8"
    assert choose_variant(found, None, None, "litert").id == "tflite-int8"
    other = dataclasses.replace(found, variants=found.variants[:1], default_variant="onnx-fp32")
    assert choose_variant(other, None, None, "litert").id == "onnx-fp32"  # whose refusal then says why


def test_a_record_says_which_layers_ran_where() -> None:
    rows = (LayerTime("a", "Conv", 1.0, "CUDAExecutionProvider"), LayerTime("b", "TopK", 1.0, "CPUExecutionProvider"))
    facts = {"engine": "onnxruntime", "version": "1", "providers": ["CUDAExecutionProvider", "CPUExecutionProvider"]}
    found = describe_engine(facts, [*rows, rows[0]])
    assert found.layers_by_place == {"CPUExecutionProvider": 1, "CUDAExecutionProvider": 2}
    told = describe_engine({**facts, "layers_by_place": {"GPU": 7, "DLA 0": 2}}, ())
    assert told.layers_by_place == {"GPU": 7, "DLA 0": 2}
    record = dataclasses.replace(record_example.record(), engine=told)
    assert "layers      7 on GPU, 2 on DLA 0\n" in profile_text(record)
