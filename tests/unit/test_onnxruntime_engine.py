from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose

import edgert
from edgert.errors import EngineError, ModelError, UsageError
from edgert.plugins import EngineOptions
from edgert.runtime.engines import ENGINES, choose_engine, get_engine
from edgert.runtime.engines.onnxruntime import OnnxRuntimeEngine, import_onnxruntime
from edgert.runtime.engines.onnxruntime_profile import parse_layer_times, read_layer_times
from edgert.runtime.session import load_profiled
from tests import bundle_example as example

VARIANT = example.variant("onnx-fp32")


def load(**options: str) -> object:
    return OnnxRuntimeEngine().load(example.float_model(), VARIANT, EngineOptions(1, options))


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_of_the_table_exists(name: str) -> None:
    assert get_engine(name).name == name


def test_the_facts_say_what_runs() -> None:
    facts = load(graph_optimization="basic").facts()  # type: ignore[attr-defined]
    assert facts["engine"] == "onnxruntime"
    assert facts["providers"] == ["CPUExecutionProvider"]
    assert facts["threads"] == 1
    assert facts["options"]["graph_optimization"] == "basic"


def test_unknown_options_and_values_name_what_is_known() -> None:
    with pytest.raises(UsageError, match="no option 'graph_optimisation'; did you mean 'graph_optimization'.*known: "):
        load(graph_optimisation="all")
    with pytest.raises(UsageError, match="graph_optimization is 'most'; allowed: auto, disable, basic, extended, all"):
        load(graph_optimization="most")
    with pytest.raises(UsageError, match="inter_op_threads is 'two'"):
        load(inter_op_threads="two")


def test_an_absent_provider_is_an_error_and_never_a_silent_fallback() -> None:
    with pytest.raises(EngineError, match="'CUDAExecutionProvider' is not in this build.*CPUExecutionProvider"):
        load(providers="CUDAExecutionProvider,CPUExecutionProvider")
    with pytest.raises(EngineError, match="it has"):
        load(providers=",")


def test_x64quantprecision_can_be_forced() -> None:
    assert load(x64quantprecision="1").facts()["x64quantprecision"] is True  # type: ignore[attr-defined]
    assert load(x64quantprecision="0").facts()["x64quantprecision"] is False  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("version", "has_amx", "choice", "expected"),
    [
        ("1.20.1", True, "auto", "all"),
        ("1.21.0", True, "auto", "basic"),
        ("1.24.4", True, "auto", "basic"),
        ("1.23.2", True, "all", "all"),
        ("1.23.2", False, "auto", "all"),
        ("1.25.0", True, "auto", "all"),
        ("1.31.1", True, "auto", "all"),
    ],
)
def test_int8_kernels_that_are_wrong_on_amx_are_not_fused(
    monkeypatch: pytest.MonkeyPatch, version: str, has_amx: bool, choice: str, expected: str
) -> None:
    """tests/install runs 1.23.2 and compares its integers: there this decides on a processor with AMX."""
    onnxruntime = import_onnxruntime()
    monkeypatch.setattr("edgert.runtime.engines.onnxruntime.has_amx_int8", lambda: has_amx)
    monkeypatch.setattr(onnxruntime, "__version__", version)
    facts = load(graph_optimization=choice).facts()  # type: ignore[attr-defined]
    assert facts["options"]["graph_optimization"] == expected


def test_an_unknown_operator_is_a_model_error() -> None:
    model = onnx.load_from_string(example.float_model())
    model.graph.node[0].op_type = "Gemmm"
    with pytest.raises(ModelError, match="cannot load variant 'onnx-fp32'.*Gemmm"):
        OnnxRuntimeEngine().load(model.SerializeToString(), VARIANT, EngineOptions())


def test_a_failure_while_running_keeps_the_engines_words() -> None:
    executor = OnnxRuntimeEngine().load(example.float_model(2), VARIANT, EngineOptions())
    with pytest.raises(EngineError, match="onnxruntime failed while running: .*Got: 3 Expected: 2"):
        executor.run([np.zeros((3, 4), np.float32)])


def test_another_format_is_refused_with_the_reason() -> None:
    blob = example.dataclasses.replace(VARIANT, format="blob")
    expected = "'onnx-fp32' .blob.: onnxruntime: reads onnx, not blob; litert: reads tflite, not blob$"
    with pytest.raises(EngineError, match=expected):
        choose_engine(blob)


def test_weights_beside_the_model_are_found(tmp_path: Path) -> None:
    model = onnx.load_from_string(example.float_model())
    onnx.save_model(model, tmp_path / "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    x = np.ones((1, 4), np.float32)
    assert_allclose(edgert.load(tmp_path / "net.onnx").run(x)["y"], example.reference(x), atol=1e-6)
    (tmp_path / "w.bin").unlink()
    with pytest.raises(ModelError, match="w.bin"):
        edgert.load(tmp_path / "net.onnx")


def test_layers_are_timed_in_order_of_execution(zoo: Path) -> None:
    with load_profiled(zoo / "models/resnet20_cifar10.onnx", None, 1, None, {}) as session:
        for _ in range(3):
            session.run(np.zeros((1, 3, 32, 32), np.float32))
        layers = session.layer_times()
    assert sum(layer.op == "Conv" for layer in layers) == 19
    assert layers[-1].op == "Gemm"
    assert all(layer.mean_ms >= 0 and layer.provider == "CPUExecutionProvider" for layer in layers)
    assert (layers[-1].input_shapes[0], layers[-1].output_shapes) == ((1, 64), ((1, 10),))
    assert layers[-1].dtypes[0] == "float"


def test_layers_need_the_option() -> None:
    with pytest.raises(ValueError, match="profile_layers=True"):
        load().layer_times()  # type: ignore[attr-defined]


def test_layers_are_means_over_the_fastest_quarter_of_the_runs_without_the_cold_one() -> None:
    def event(name: str, ts: int, dur: int) -> dict[str, object]:
        arguments = {"op_name": "Conv", "provider": "CPU"}
        return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": arguments}

    totals = [1, 90, 40, 41, 95, 93, 97, 92, 91]  # the first is cold, though it took least
    runs = [event("a", 10 * run, 10) for run in range(9)] + [
        event("b", 10 * run + 1, dur) for run, dur in enumerate(totals)
    ]
    branch = event("branch", 5, 7)  # ran once: not of those that every run holds
    layers = parse_layer_times([*reversed(runs), branch, {"cat": "Session", "name": "x"}])
    assert {layer.name: 1000 * layer.mean_ms for layer in layers} == {"a": 10, "b": 40.5, "branch": 7}
    (single,) = parse_layer_times([event("a", 1, 500)])
    assert single.mean_ms == 0.5
    assert (single.input_shapes, single.dtypes) == ((), ())


def test_an_unreadable_profile_is_an_engine_error(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("{")
    with pytest.raises(EngineError, match="cannot read the profile"):
        read_layer_times(str(tmp_path / "p.json"))
