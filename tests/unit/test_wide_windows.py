"""Depthwise convolutions with large windows: the form for XNNPACK, its integers, and the way back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgert
from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.tflite.model import TfModel, TfOperator, TfSubgraph, TfTensor
from edgert_converters.tflite.read import parse_tflite
from edgert_converters.tflite.versions import with_versions
from edgert_converters.tflite.wide_windows import group_wide_windows, ungroup_windows
from edgert_converters.tflite.write import serialize_tflite
from tests.tflite_graphs import params, run_litert, write

CHANNELS, SIZE = 24, 9
OPTIONS = {
    "padding": 0,
    "stride_h": 2,
    "stride_w": 1,
    "dilation_h_factor": 1,
    "dilation_w_factor": 1,
    "fused_activation_function": 0,
    "depth_multiplier": 1,
}


def _graph(kernel: int = 7, channels: int = CHANNELS, dtype: DType = DType.INT8, outputs: int = 1) -> TfSubgraph:
    """A depthwise convolution over [1, 9, 9, C] with stride 2 down."""
    rng = np.random.default_rng(0)
    made = channels * outputs
    scales = tuple(rng.uniform(0.001, 0.01, made).tolist())
    weights = rng.integers(-127, 128, (1, kernel, kernel, made)).astype(np.int8)
    by_channel = QuantParams(scales, (0,) * made, DType.INT8, 3)
    bias_scales = tuple(float(np.float32(0.05) * np.float32(s)) for s in scales)
    bias = rng.integers(-4000, 4000, made).astype(np.int32)
    tensors = (
        TfTensor("x", (1, SIZE, SIZE, channels), dtype, quant=params(0.05, 3, dtype)),
        TfTensor("w", weights.shape, DType.INT8, weights, by_channel),
        TfTensor("b", bias.shape, DType.INT32, bias, QuantParams(bias_scales, (0,) * made, DType.INT32, 0)),
        TfTensor("y", (1, 5, SIZE, made), dtype, quant=params(0.2, -7, dtype)),
    )
    options = {**OPTIONS, "depth_multiplier": outputs}
    return TfSubgraph(tensors, (TfOperator("DEPTHWISE_CONV_2D", (0, 1, 2), (3,), options),), (0,), (3,))


@pytest.mark.parametrize("reference", [False, True], ids=["xnnpack", "reference"])
def test_groups_of_eight_give_the_same_integers(reference: bool) -> None:
    graph = _graph()
    grouped = group_wide_windows(graph)
    assert [operator.name for operator in grouped.operators] == ["CONV_2D"]
    assert grouped.tensors[1].shape == (CHANNELS, 7, 7, 8)
    x = np.random.default_rng(1).integers(-128, 128, (1, SIZE, SIZE, CHANNELS)).astype(np.int8)
    plain, other = (run_litert(write(each), x, reference=reference)[0] for each in (graph, grouped))
    assert len(np.unique(plain)) > 50
    np.testing.assert_array_equal(plain, other)


def test_the_way_back_gives_the_same_graph() -> None:
    graph = _graph()
    back = ungroup_windows(group_wide_windows(graph))
    np.testing.assert_array_equal(back.tensors[1].data, graph.tensors[1].data)
    assert back.operators == graph.operators
    assert [replace(t, data=None) for t in back.tensors] == [replace(t, data=None) for t in graph.tensors]


def test_a_file_is_written_again_as_depthwise() -> None:
    grouped = parse_tflite(write(group_wide_windows(_graph()))).subgraphs[0]
    back = parse_tflite(write(ungroup_windows(grouped))).subgraphs[0]
    assert [operator.name for operator in back.operators] == ["DEPTHWISE_CONV_2D"]
    x = np.random.default_rng(1).integers(-128, 128, (1, SIZE, SIZE, CHANNELS)).astype(np.int8)
    np.testing.assert_array_equal(run_litert(write(back), x)[0], run_litert(write(_graph()), x)[0])


def test_groups_of_one_channel_each_are_told_from_others() -> None:
    grouped = group_wide_windows(_graph())
    weight = grouped.tensors[1]
    data = weight.data.copy()
    data[3, 0, 0, 4] = 1  # channel 3 reads channel 4 as well
    mixed = replace(grouped, tensors=(grouped.tensors[0], replace(weight, data=data), *grouped.tensors[2:]))
    assert ungroup_windows(mixed) == mixed


@pytest.mark.parametrize(
    "graph",
    [_graph(kernel=5), _graph(channels=12), _graph(dtype=DType.INT16), _graph(outputs=2)],
    ids=["25 taps", "12 channels", "16-bit activations", "two outputs per channel"],
)
def test_other_convolutions_stay(graph: TfSubgraph) -> None:
    assert group_wide_windows(graph) == graph


def test_weights_that_two_operators_read_stay() -> None:
    graph = _graph()
    second = TfTensor("y2", (1, 5, SIZE, CHANNELS), DType.INT8, quant=params(0.2, -7))
    twice = replace(
        graph,
        tensors=(*graph.tensors, second),
        operators=(*graph.operators, replace(graph.operators[0], outputs=(4,))),
        outputs=(3, 4),
    )
    assert group_wide_windows(twice) == twice


@pytest.mark.parametrize("missing", [(0,), (0, -1, 2)], ids=["one input", "absent weights"])
def test_damaged_operators_are_left_to_the_reader(missing: tuple[int, ...]) -> None:
    grouped = group_wide_windows(_graph())
    damaged = replace(grouped, operators=(replace(grouped.operators[0], inputs=missing),))
    assert ungroup_windows(damaged) == damaged


def test_a_file_with_groups_is_read_as_depthwise(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(serialize_tflite(TfModel((with_versions(group_wide_windows(_graph())),))))
    (layer,) = (row for row in edgert.inspect(path).layers if row.op == "Conv")
    assert layer.attributes["group"] == CHANNELS


def _model(path: Path) -> Path:
    weights = np.random.default_rng(0).standard_normal((8, 1, 7, 7)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=8, kernel_shape=[7, 7], pads=[3] * 4)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8, 8, 8]) for name in ("x", "y")]
    graph = helper.make_graph([node], "g", ports[:1], ports[1:], [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize(
    ("targets", "name"),
    [(("raspberry-pi-5",), "CONV_2D"), (("raspberry-pi-5", "ethos-u55-128"), "DEPTHWISE_CONV_2D")],
)
def test_convert_groups_where_litert_runs_on_every_target(tmp_path: Path, targets: tuple[str, ...], name: str) -> None:
    edgert.convert(_model(tmp_path / "net.onnx"), targets=targets, formats=("tflite",), output=tmp_path / "out")
    file = parse_tflite((tmp_path / "out" / "tflite-int8.tflite").read_bytes())
    assert [operator.name for operator in file.subgraphs[0].operators] == [name]
    float_file = parse_tflite((tmp_path / "out" / "tflite-fp32.tflite").read_bytes())
    assert [operator.name for operator in float_file.subgraphs[0].operators] == ["DEPTHWISE_CONV_2D"]
