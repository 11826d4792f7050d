from __future__ import annotations

import pytest

from edgert import target
from edgert.dtypes import DType
from edgert.errors import UsageError
from edgert.runtime.engines import ENGINES
from edgert.target import EngineFacts, Target, get_target, list_targets


@pytest.mark.parametrize("name", list_targets())
def test_every_target_loads(name: str) -> None:
    target = get_target(name)
    assert target.name == name
    assert target.title
    reads_onnx = {engine.name for engine in target.engines if engine.max_opset is not None}
    assert reads_onnx <= {"onnxruntime", "openvino", "tensorrt", "trtexec"}
    assert all(engine.name in {*ENGINES, "c", "vela"} for engine in target.engines)  # C needs none, Vela compiles
    assert not target.engines[0].optional


def test_a_target_inherits_from_what_it_extends() -> None:
    parent, child = get_target("arm-cpu"), get_target("raspberry-pi-5")
    assert child.engines == parent.engines
    assert child.cores == 4
    assert parent.cores is None


def test_a_card_verifies_no_target_that_extends_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = target._read_facts
    card = {"hardware_verified": "profiles/arm-cpu/card.json"}
    monkeypatch.setattr(target, "_read_facts", lambda name: plain(name) | (card if name == "arm-cpu" else {}))
    assert target._resolve("arm-cpu", ())["hardware_verified"] == "profiles/arm-cpu/card.json"
    assert "hardware_verified" not in target._resolve("raspberry-pi-5", ())


def test_an_unknown_target_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="no target 'raspberry-pi5'; did you mean 'raspberry-pi-5'"):
        get_target("raspberry-pi5")


def test_facts_are_checked() -> None:
    engine = EngineFacts("onnxruntime", "1.17.0", max_opset=20, max_ir_version=9)
    with pytest.raises(ValueError, match="int8 or uint8"):
        Target("a", "A", "x", (engine,), DType.FLOAT)
    with pytest.raises(ValueError, match="at least one engine"):
        Target("a", "A", "x", (), DType.INT8)
    with pytest.raises(ValueError, match="accelerator is 'npu'; it must be cuda, or left away"):
        Target("a", "A", "x", (engine,), DType.INT8, accelerator="npu")


@pytest.mark.parametrize("name", ["jetson", "jetson-orin-nano", "jetson-agx-orin"])
def test_a_jetson_has_a_gpu_and_what_its_cpu_path_needs(name: str) -> None:
    target = get_target(name)
    assert (target.accelerator, target.python_min, target.system_site_packages) == ("cuda", "3.10", True)
    engines = {engine.name: engine for engine in target.engines}
    assert engines["tensorrt"].symmetric_int8
    assert engines["tensorrt"].from_system
    assert not engines["tensorrt"].optional
    assert engines["trtexec"].optional
    assert engines["onnxruntime"].package == "onnxruntime-gpu"
    assert all(url.startswith("https://") for url in engines["onnxruntime"].index_urls)
    assert engines["litert"].format == "tflite"
    assert get_target("raspberry-pi-5").accelerator is None
