from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgert.bundle import write_bundle
from edgert.commands.profile import profile
from edgert.errors import DynamicShapeError, EdgertError, ModelError
from edgert.profiler.model_input import choose_input
from edgert.profiler.record import Verdict, parse_record
from edgert.runtime.session import load
from tests import bundle_example as example


def test_a_real_network_gives_a_complete_record(zoo: Path) -> None:
    record = profile(zoo / "models/resnet20_cifar10.onnx", threads=1, duration_s=0.3, energy="none")
    assert record.model.bytes == 1087885
    assert record.model.source_sha256.startswith("4bf6c0aa6d0da5d0")
    assert record.engine.threads == 1
    assert record.method.samples >= 30
    assert 0 < record.latency.min_ms <= record.latency.p50_ms <= record.latency.p99_ms <= record.latency.max_ms
    assert record.memory.load_ms > 0
    assert record.memory.first_run_ms > 0
    assert sum(layer.op == "Conv" for layer in record.layers) == 19
    assert len(record.environment.during) == 11
    assert record.energy is None
    assert record.energy_reason == "switched off (--energy none)"
    assert record.verdict in set(Verdict)


def test_stages_are_measured_where_the_bundle_has_them(tmp_path: Path) -> None:
    steps = ({"op": "resize", "height": 2, "width": 2}, {"op": "color", "to": "gray"}, {"op": "flatten"})
    path = example.write(tmp_path, preprocess=(*steps, {"op": "cast", "to": "float"}), postprocess=({"op": "argmax"},))
    record = profile(path, duration_s=0.1, energy="none", layers=False)
    assert record.stages.preprocess_ms is not None
    assert record.stages.postprocess_ms is not None
    assert record.stages.inference_ms == record.latency.p50_ms
    assert "random 640x480 image" in record.stages.note
    assert record.layers == ()


def test_a_sustained_run(tmp_path: Path) -> None:
    record = profile(example.write(tmp_path), duration_s=0.05, sustained_s=0.2, energy="none", layers=False)
    assert record.sustained is not None
    assert record.sustained.span_s == pytest.approx(0.04)
    assert record.sustained.ratio > 0


def test_a_damaged_model_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"\x08\x08nonsense")
    with pytest.raises(ModelError, match="cannot load"):
        profile(tmp_path / "net.onnx")


def test_an_axis_without_size_is_named_with_its_flag(tmp_path: Path) -> None:
    nodes = [example.helper.make_node("Relu", ["x"], ["y"])]
    shape = (example.TensorProto.FLOAT, ["N", 3, "H", "W"])
    model = example.onnx_model(nodes, {"x": shape}, {"y": shape}).SerializeToString()
    (tmp_path / "net.onnx").write_bytes(model)
    with pytest.raises(EdgertError, match=r"no fixed size on axis 2, 3; fix it with: --shape x=1,3,224,224"):
        profile(tmp_path / "net.onnx")
    with pytest.raises(DynamicShapeError):
        choose_input(load(tmp_path / "net.onnx"), {}, {}, {}, 0)
    record = profile(tmp_path / "net.onnx", shapes={"x": (1, 3, 8, 8)}, duration_s=0.05, layers=False)
    assert record.method.input == "random"


def test_the_golden_sample_is_preferred(tmp_path: Path) -> None:
    np.savez(tmp_path / "golden.npz", **{"input/x": np.ones((2, 4), np.float32)})
    files = example.files() | {"golden.npz": (tmp_path / "golden.npz").read_bytes()}
    path = write_bundle(tmp_path / "g.edge", example.manifest(), files)
    assert profile(path, duration_s=0.05, layers=False).method.input == "golden"
    given = profile(path, {"anything": np.zeros((1, 4), np.float32)}, duration_s=0.05, layers=False)
    assert given.method.input == "given"


RECORDS = [
    path
    for path in (Path(__file__).parents[2] / "profiles").rglob("*.json")
    if path.parent.name != "emulated" and not path.name.startswith("card-")
]


@pytest.mark.parametrize("record", sorted(RECORDS))
def test_committed_records_load(record: Path) -> None:
    parse_record(record.read_bytes(), str(record))
