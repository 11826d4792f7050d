"""The float16 graph: error on real models, what stays float32, and the layer named where it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgert.errors import ModelError
from edgert_converters.importers import import_model
from edgert_converters.passes.output_check import random_feed, relative_error, run_model
from edgert_converters.quantize.fp16 import first_layer_beyond, to_float16

# float16 has 11 significant bits; a hundred layers of it stay within this on all zoo models
TOLERANCE = 1e-2

MODELS = (
    "resnet20_cifar10",
    "proxyless_w025_r112_imagenet",
    "efficientnet_lite0_f16w",
    "nanodet_m_320",
    "ultraface_RFB_320_nopost",
    "basic_pitch_nmp",
)


def build(
    nodes: Sequence[onnx.NodeProto], constants: dict[str, np.ndarray] | None = None, shape: Sequence[int] = (1, 3, 8, 8)
) -> ir.Model:
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def serialized(model: ir.Model) -> bytes:
    return bytes(ir.to_proto(model).SerializeToString())


def feed(shape: Sequence[int] = (1, 3, 8, 8)) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).standard_normal(tuple(shape)).astype(np.float32)}


@pytest.mark.parametrize("name", MODELS)
def test_real_models_stay_within_one_percent(zoo: Path, name: str) -> None:
    imported = import_model(zoo / "models" / f"{name}.onnx", {})
    half = to_float16(imported.model)
    assert {v.dtype for v in half.graph.initializers.values()} <= {
        ir.DataType.FLOAT16,
        ir.DataType.INT64,
        ir.DataType.FLOAT,  # Resize scales only
    }
    shapes = [tuple(dim or 1 for dim in spec.shape) for spec in imported.inputs]
    data = random_feed([s.name for s in imported.inputs], shapes, [s.dtype for s in imported.inputs])
    expected, found = run_model(serialized(imported.model), data), run_model(serialized(half), data)
    assert all(array.dtype == np.float32 for array in found)
    assert relative_error(expected, found) < TOLERANCE, first_layer_beyond(imported.model, half, data, TOLERANCE)
    assert len(serialized(half)) < 0.6 * len(serialized(imported.model)) or name == "basic_pitch_nmp"


def test_source_graph_is_not_changed() -> None:
    model = build([helper.make_node("Conv", ["x", "w"], ["y"], name="conv")], {"w": weights(4, 3, 3, 3)})
    before = serialized(model)
    to_float16(model)
    assert serialized(model) == before


def test_inputs_that_onnx_wants_in_float32_stay() -> None:
    nodes = [helper.make_node("Resize", ["x", "", "scales"], ["y"], name="resize", mode="nearest")]
    model = build(nodes, {"scales": np.asarray([1, 1, 2, 2], np.float32)})
    half = to_float16(model)
    assert half.graph.initializers["scales"].dtype == ir.DataType.FLOAT
    expected, found = run_model(serialized(model), feed()), run_model(serialized(half), feed())
    assert relative_error(expected, found) < TOLERANCE


def test_casts_and_generated_constants_follow() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node(
            "ConstantOfShape", ["s"], ["k"], value=numpy_helper.from_array(np.asarray([0.5], np.float32), "v")
        ),
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT32),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["f", "k"], ["y"]),
    ]
    model = build(nodes)
    half = to_float16(model)
    assert relative_error(run_model(serialized(model), feed()), run_model(serialized(half), feed())) < TOLERANCE


def test_weight_beyond_float16_names_its_layer() -> None:
    w = weights(4, 3, 3, 3)
    w[0, 0, 0, 0] = 70000.0
    model = build([helper.make_node("Conv", ["x", "w"], ["y"], name="wide")], {"w": w})
    with pytest.raises(ModelError, match=r"node 'wide': weight 'w' of Conv holds 70000, beyond float16's 65504"):
        to_float16(model)


def test_bound_beyond_float16_means_no_bound() -> None:
    constants = {"low": np.asarray(0, np.float32), "high": np.asarray(1e6, np.float32)}
    half = to_float16(build([helper.make_node("Clip", ["x", "low", "high"], ["y"])], constants))
    assert relative_error([np.maximum(feed()["x"], 0)], run_model(serialized(half), feed())) < TOLERANCE


def _overflowing() -> ir.Model:
    """The middle layer reaches 1e6, far above float16; the last brings it back."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="first"),
        helper.make_node("Mul", ["a", "big"], ["b"], name="too_large"),
        helper.make_node("Mul", ["b", "small"], ["y"], name="last"),
    ]
    constants = {"w": weights(4, 3, 3, 3), "big": np.asarray(6e4, np.float32), "small": np.asarray(1e-4, np.float32)}
    return build(nodes, constants)


def test_layer_that_overflows_is_named_and_can_stay_float32() -> None:
    model = _overflowing()
    broken = first_layer_beyond(model, to_float16(model), feed(), TOLERANCE)
    assert broken is not None
    assert (broken.layer, broken.op) == ("too_large", "Mul")
    repaired = to_float16(model, keep_float=["too_large", "last"])
    assert first_layer_beyond(model, repaired, feed(), TOLERANCE) is None
    assert relative_error(run_model(serialized(model), feed()), run_model(serialized(repaired), feed())) < TOLERANCE


def test_quantized_models_are_refused() -> None:
    constants = {"s": np.asarray(0.1, np.float32), "z": np.asarray(0, np.int8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    with pytest.raises(ModelError, match="node 'q': float16 starts from the float model"):
        to_float16(build(nodes, constants))


def test_control_flow_is_refused() -> None:
    branch = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["r"])], "branch", [], [helper.make_tensor_value_info("r", 1, None)]
    )
    nodes = [helper.make_node("If", ["c"], ["y"], name="choice", then_branch=branch, else_branch=branch)]
    with pytest.raises(ModelError, match="node 'choice': float16 is not supported for the control flow"):
        to_float16(build(nodes, {"c": np.asarray(True)}))


def test_a_scalar_stays_a_scalar() -> None:
    """A rank that disagrees with the declared shape stops shape inference, which logs a traceback."""
    nodes = [helper.make_node("Pad", ["x", "pads", "zero"], ["y"])]
    constants = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "zero": np.float32(0)}
    half = to_float16(build(nodes, {name: np.asarray(value) for name, value in constants.items()}))
    (zero,) = (value for name, value in half.graph.initializers.items() if name.startswith("zero/"))
    assert zero.const_value is not None
    assert zero.const_value.shape == zero.shape == ir.Shape([])
