"""The layers table and the memory peak, against hand counts and published figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgert.bundle import LayerRecord
from edgert.codec import from_plain, to_plain
from edgert.dtypes import DType
from edgert_converters.importers import import_model
from edgert_converters.layers import build_layers, operators_without_macs, peak_activation_bytes, static_shapes


def build(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str],
    constants: dict[str, np.ndarray] | None = None,
    output: int = TensorProto.FLOAT,
) -> ir.Model:
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", output, None)],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))


def quantized_convolution() -> ir.Model:
    """x -> Q -> DQ -> Conv (int8 weight, int32 bias) -> Relu -> Q -> DQ -> MaxPool -> Q -> DQ -> y."""
    scale, zero = np.asarray(0.1, np.float32), np.asarray(3, np.int8)
    constants = {
        "s": scale,
        "z": zero,
        "qw": np.ones((4, 3, 3, 3), np.int8),
        "sw": np.full(4, 0.01, np.float32),
        "zw": np.zeros(4, np.int8),
        "qb": np.ones(4, np.int32),
        "sb": np.full(4, 0.001, np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["qx"]),
        helper.make_node("DequantizeLinear", ["qx", "s", "z"], ["dx"]),
        helper.make_node("DequantizeLinear", ["qw", "sw", "zw"], ["dw"], axis=0),
        helper.make_node("DequantizeLinear", ["qb", "sb"], ["db"], axis=0),
        helper.make_node("Conv", ["dx", "dw", "db"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["qr"]),
        helper.make_node("DequantizeLinear", ["qr", "s", "z"], ["dr"]),
        helper.make_node("MaxPool", ["dr"], ["m"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("QuantizeLinear", ["m", "s", "z"], ["qm"]),
        helper.make_node("DequantizeLinear", ["qm", "s", "z"], ["y"]),
    ]
    return build(nodes, ("N", 3, 8, 8), constants)


# multiply-accumulates of Conv and Gemm, and their weights with biases, counted on the source files by output size times
# weights per output with onnx alone; ResNet20 is published with 40.55 M and 0.27 M
COSTS = {
    "resnet20_cifar10": (40_551_040, 269_034),
    "proxyless_w025_r112_imagenet": (10_691_008, 564_920),
    "efficientnet_lite0_f16w": (385_187_552, 4_631_000),
}


@pytest.mark.parametrize("name", COSTS)
def test_real_models_have_their_known_cost(zoo: Path, name: str) -> None:
    model = import_model(zoo / "models" / f"{name}.onnx", {}).model
    layers = build_layers(model)
    macs, weights = COSTS[name]
    assert sum(layer.macs for layer in layers if layer.op in {"Conv", "Gemm"}) == macs
    assert sum(layer.weight_bytes for layer in layers) == 4 * weights
    assert len({layer.name for layer in layers}) == len(layers) == model.graph.num_nodes()
    assert from_plain(LayerRecord, to_plain(layers[0])).macs == layers[0].macs


def test_first_layer_of_resnet20(zoo: Path) -> None:
    first = build_layers(import_model(zoo / "models/resnet20_cifar10.onnx", {}).model)[0]
    assert (first.op, first.dtype) == ("Conv", DType.FLOAT)
    assert first.input_shapes == ((1, 3, 32, 32),)
    assert first.output_shapes == ((1, 16, 32, 32),)
    assert first.macs == 32 * 32 * 16 * 27
    assert first.weight_bytes == 4 * (16 * 27 + 16)
    assert first.activation_bytes == 4 * 32 * 32 * (3 + 16)
    assert first.attributes["pads"] == [1, 1, 1, 1]


def test_peak_of_resnet20_is_the_residual_addition(zoo: Path) -> None:
    """Shortcut, branch and sum of 16 channels of 32x32 floats are alive at once."""
    model = import_model(zoo / "models/resnet20_cifar10.onnx", {}).model
    assert peak_activation_bytes(model) == 3 * 16 * 32 * 32 * 4


def test_chain_needs_two_buffers_and_views_none() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "t"], ["a"]),
        helper.make_node("Softmax", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Softmax", ["c"], ["y"]),
    ]
    model = build(nodes, ("N", 4, 25), {"t": np.asarray([-1, 100], np.int64)})
    assert peak_activation_bytes(model) == 2 * 400


def test_branch_keeps_its_source_alive() -> None:
    nodes = [
        helper.make_node("Softmax", ["x"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Softmax", ["b"], ["c"]),
        helper.make_node("Add", ["a", "c"], ["y"]),
    ]
    # at the second Softmax: a (read again), b, c; Relu may not write over a
    assert peak_activation_bytes(build(nodes, (1, 100))) == 3 * 400


def test_quantized_operators_are_listed_without_their_qdq_nodes() -> None:
    layers = build_layers(quantized_convolution())
    assert [(layer.op, layer.dtype) for layer in layers] == [
        ("Conv", DType.INT8),
        ("Relu", DType.INT8),
        ("MaxPool", DType.INT8),
    ]
    conv, _, pool = layers
    assert conv.inputs == ("qx",)
    assert conv.weight_bytes == 4 * 27 + 4 * 4
    assert conv.macs == 6 * 6 * 4 * 27
    assert conv.activation_bytes == 3 * 64 + 4 * 36
    assert (pool.inputs, pool.outputs) == (("qr",), ("qm",))
    assert pool.activation_bytes == 4 * 36 + 4 * 9


def test_quantized_peak_counts_integers() -> None:
    # the float input (768 bytes) and its quantized copy (192) are alive together; all later layers are smaller
    assert peak_activation_bytes(quantized_convolution()) == 4 * 192 + 192


def test_float_layer_between_integers_stays_float() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["qx"]),
        helper.make_node("DequantizeLinear", ["qx", "s", "z"], ["dx"]),
        helper.make_node("Softmax", ["dx"], ["y"], name="soft"),
    ]
    model = build(nodes, (1, 10), {"s": np.asarray(0.1, np.float32), "z": np.asarray(0, np.int8)})
    (layer,) = build_layers(model)
    assert (layer.dtype, layer.inputs) == (DType.FLOAT, ("dx",))


def test_shapes_are_for_one_sample_even_where_inference_cannot_tell() -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["n"]), helper.make_node("Cast", ["n"], ["y"], to=TensorProto.FLOAT)]
    shapes = static_shapes(build(nodes, ("N", 3)))
    assert shapes["x"] == (1, 3)
    # NonZero's length depends on the numbers; three random normal numbers are not zero
    assert shapes["y"] == (2, 3)


def test_operators_outside_the_table_are_named() -> None:
    model = build([helper.make_node("Det", ["x"], ["y"], name="odd")], (1, 3, 3))
    assert operators_without_macs(model) == ("Det",)
    assert build_layers(model)[0].macs == 0
