"""What `edgert inspect` says about real and damaged model files."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgert.codec import to_plain
from edgert.errors import ModelError, UsageError
from edgert_converters.inspect import inspect_model


def save(path: Path, nodes: list[onnx.NodeProto], shape: list[int]) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def test_resnet20(zoo: Path) -> None:
    summary = inspect_model(zoo / "models/resnet20_cifar10.onnx", {}, ["host", "raspberry-pi-5"])
    assert (summary.name, summary.format) == ("resnet20_cifar10", "onnx")
    assert summary.operators["Conv"] == 19
    assert summary.parameters == 269_034
    assert summary.weight_bytes == 4 * 269_034
    assert summary.macs == 40_555_136
    assert summary.peak_activation_bytes == 196_608
    assert summary.inputs[0].shape == (None, 3, 32, 32)
    assert set(summary.support) == {"host", "raspberry-pi-5"}
    assert len(summary.layers) == 56
    json.dumps(to_plain(summary))


def test_refused_operators_come_with_a_reason(tmp_path: Path) -> None:
    nodes = [helper.make_node("Det", ["x"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    summary = inspect_model(save(tmp_path / "m.onnx", nodes, [1, 3, 8, 8]), {}, ["host"])
    assert summary.support["host"] == {"Det": "not in the operator table; stays float"}
    assert any("counted with 0 MACs: Det" in note for note in summary.notes)


def test_model_larger_than_the_board(tmp_path: Path) -> None:
    # 2 x 600 MB of activations; Raspberry Pi 4 starts at 1 GB
    path = save(tmp_path / "m.onnx", [helper.make_node("Softmax", ["x"], ["y"])], [1, 150, 1000, 1000])
    summary = inspect_model(path, {}, ["raspberry-pi-4"])
    assert summary.support["raspberry-pi-4"]["(model)"] == "weights and activations need 1.2 GB, the board has 1.07 GB"


def test_unknown_target(zoo: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'raspberry-pi-5'"):
        inspect_model(zoo / "models/resnet20_cifar10.onnx", {}, ["raspbery-pi-5"])


@pytest.mark.parametrize("cut", [100, 40_000])
def test_damaged_files(zoo: Path, tmp_path: Path, cut: int) -> None:
    for name in ("resnet20_cifar10.onnx", "mlperf_tiny_kws_dscnn_int8.tflite"):
        path = tmp_path / name
        path.write_bytes((zoo / "models" / name).read_bytes()[:cut])
        with pytest.raises(ModelError):
            inspect_model(path, {}, ["host"])


def test_control_flow_is_supported_in_float(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 18]>
    m (float[2,3] x) => (float[2,3] y) <int64 n = {3}, bool go = {1}> {
      y = Loop (n, go, x) <body = b (int64 i, bool c, float[2,3] v) => (bool d, float[2,3] w)
        { d = Identity(c) w = Relu(v) }>
    }"""
    path = tmp_path / "loop.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    summary = inspect_model(path, {}, ["host"])
    assert summary.operators == {"Loop": 1}
    assert summary.support["host"] == {"Loop": "what is inside is never quantized"}
