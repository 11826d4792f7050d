"""Several variants measured in turns by a real worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgert.errors import ModelError
from edgert.profiler.on_device import profile_in_turns_on_device
from edgert.profiler.record import Verdict
from edgert.profiler.request import ProfileRequest
from tests import bundle_example as example
from tests.tflite_example import passing_model


def request(**changes: object) -> ProfileRequest:
    quick = {"path": "", "created": "2026-01-01T00:00:00+00:00", "threads": 1, "duration_s": 0.12, "tuned": False}
    return ProfileRequest(**{**quick, **changes})  # type: ignore[arg-type]


def test_each_variant_gets_eight_windows_and_its_layers(zoo: Path, tmp_path: Path) -> None:
    real, small = zoo / "models/resnet20_cifar10.onnx", example.write(tmp_path)
    asked = [request(), request(variant="onnx-fp32", seed=3), request(layers=False)]
    resnet, tiny, bare = profile_in_turns_on_device(None, [real, small, real], asked)
    for record in (resnet, tiny, bare):
        assert record.method.windows == len(record.latency.windows_ms) == 8
        assert record.engine.threads == 1
        assert record.memory.load_ms > 0
        assert record.memory.peak_rss_bytes is None
        assert record.energy is None
        assert "in turns" in (record.energy_reason or "")
        assert record.verdict in {Verdict.VALID, Verdict.DEGRADED}
        assert len(record.environment.during) == 16
    assert sum(layer.op == "Conv" for layer in resnet.layers) == 19
    assert 0.5 < sum(layer.mean_ms for layer in resnet.layers) / resnet.latency.min_ms < 2
    assert tiny.variant == "onnx-fp32"
    assert tiny.latency.p50_ms < resnet.latency.p50_ms
    assert bare.layers == ()


def test_an_engine_without_times_of_layers(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(passing_model())
    (record,) = profile_in_turns_on_device(None, [tmp_path / "net.tflite"], [request(engine="litert")])
    assert record.layers == ()
    assert record.layers_reason is not None


def test_a_damaged_model_among_others(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"\x08\x08nonsense")
    with pytest.raises(ModelError, match="cannot load"):
        profile_in_turns_on_device(None, [example.write(tmp_path), tmp_path / "net.onnx"], [request(), request()])
