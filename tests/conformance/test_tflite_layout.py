"""Random small graphs of data movement around convolutions to TFLite and back: same answers, no needless transposes."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite")

from edgert.errors import ModelError
from edgert_converters.importers.tflite_file import build_onnx
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.layout import after_reshape, permuted
from edgert_converters.tflite.read import parse_tflite
from tests.conformance.tflite_chain import (
    count_operators,
    export,
    largest_difference,
    run_back,
    run_litert,
    run_onnx,
)
from tests.conformance.tflite_graphs import Build, graphs

Shape = tuple[int, ...]

TOLERANCE: Final = 1e-4
"""Of the largest magnitude: kernels sum in different orders."""
BOUNDED: Final = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
)


@BOUNDED
@given(graphs())
def test_random_graphs_there_and_back(g: Build) -> None:
    model, feed = g.model()
    expected, file = run_onnx(model, feed), export(model)
    assert largest_difference(expected, run_litert(file, feed)) < TOLERANCE
    assert largest_difference(expected, run_back(file, feed)) < TOLERANCE


@st.composite
def reshapes(draw: st.DrawFn) -> tuple[Shape, Shape, Shape]:
    shape = tuple(draw(st.lists(st.sampled_from((1, 2, 3, 4, 6)), min_size=1, max_size=5)))
    order = tuple(draw(st.permutations(range(len(shape)))))
    rest, target = int(np.prod(shape)), []
    while rest > 1:
        target.append(draw(st.sampled_from([k for k in range(1, rest + 1) if rest % k == 0])))
        rest //= target[-1]
    return shape, order, tuple(target or [1])


@settings(max_examples=1000, deadline=None, derandomize=True, database=None)
@given(reshapes())
def test_order_through_a_reshape(drawn: tuple[Shape, Shape, Shape]) -> None:
    shape, order, target = drawn
    needed, result = after_reshape(shape, order, target)
    assert sorted(needed) == list(range(len(shape)))
    x = np.arange(int(np.prod(shape))).reshape(shape)
    moved = np.transpose(x, needed).reshape(permuted(target, result))
    assert np.array_equal(moved, np.transpose(x.reshape(target), result))


def test_a_channel_shuffle_moves_data_once() -> None:
    g = Build((1, 6, 4, 5))
    g.add("Conv", ["x", g.weights(6, 6, 1, 1)], (1, 6, 4, 5))
    g.add("Reshape", [g.name, g.constant(np.asarray([1, 2, 3, 4, 5]))], (1, 2, 3, 4, 5))
    g.add("Transpose", [g.name], (1, 3, 2, 4, 5), perm=[0, 2, 1, 3, 4])
    g.add("Reshape", [g.name, g.constant(np.asarray([1, 6, 4, 5]))], (1, 6, 4, 5))
    g.add("Conv", [g.name, g.weights(6, 6, 1, 1)], (1, 6, 4, 5))
    model, feed = g.model()
    file = export(model)
    assert count_operators(file.data)["TRANSPOSE"] == 1
    assert largest_difference(run_onnx(model, feed), run_litert(file, feed)) < TOLERANCE


def test_flatten_before_a_product_reorders_weights_instead_of_data() -> None:
    g = Build((1, 3, 4, 5))
    g.add("Conv", ["x", g.weights(3, 3, 1, 1)], (1, 3, 4, 5))
    g.add("Flatten", [g.name], (1, 60), axis=1)
    g.add("Gemm", [g.name, g.weights(60, 2)], (1, 2))
    model, feed = g.model()
    file = export(model)
    assert count_operators(file.data) == {"CONV_2D": 1, "RESHAPE": 1, "FULLY_CONNECTED": 1}
    assert largest_difference(run_onnx(model, feed), run_litert(file, feed)) < TOLERANCE


def test_flatten_with_shared_weights_moves_data() -> None:
    g = Build((1, 3, 2, 2))
    g.add("Conv", ["x", g.weights(3, 3, 1, 1)], (1, 3, 2, 2))
    weights = g.weights(12, 12)
    g.add("Flatten", [g.name], (1, 12), axis=1)
    g.add("Gemm", [g.name, weights], (1, 12))
    g.add("Gemm", [g.name, weights], (1, 12))
    model, feed = g.model()
    file = export(model)
    assert count_operators(file.data)["TRANSPOSE"] == 1
    assert largest_difference(run_onnx(model, feed), run_litert(file, feed)) < TOLERANCE


@pytest.mark.parametrize(("perm", "layout"), [((0, 1, 2, 3), "NHWC"), ((0, 3, 2, 1), None)])
def test_outputs_lie_channels_last_or_as_in_onnx(perm: Shape, layout: str | None) -> None:
    g = Build((1, 3, 4, 5))
    g.add("Conv", ["x", g.weights(2, 3, 1, 1)], (1, 2, 4, 5))
    g.add("Transpose", [g.name], permuted((1, 2, 4, 5), perm), perm=list(perm))
    model, feed = g.model()
    file = export(model)
    assert file.outputs[0].layout == layout
    assert largest_difference(run_onnx(model, feed), run_litert(file, feed)) < TOLERANCE


_REFUSED_RESIZES = {
    "cubic": ({"mode": "cubic"}, (1, 2, 8, 8), "TFLite has no cubic interpolation"),
    "antialias": ({"mode": "linear", "antialias": 1}, (1, 2, 2, 2), "neither antialias nor exclude_outside"),
    "channels": ({"mode": "linear"}, (1, 4, 4, 4), "resizes height and width of N, C, H, W only"),
    "rounding": (
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "ceil"},
        (1, 2, 8, 8),
        "TFLite does not place pixels as asymmetric with ceil does here",
    ),
}


@pytest.mark.parametrize("name", _REFUSED_RESIZES)
def test_a_resize_that_tflite_does_not_know_names_the_node(name: str) -> None:
    attributes, shape, message = _REFUSED_RESIZES[name]
    g = Build((1, 2, 4, 4))
    g.add("Resize", ["x", "", "", g.constant(np.asarray(shape, np.int64))], shape, **attributes)
    with pytest.raises(ModelError, match=f"'Resize_v0': Resize cannot be written as TFLite: .*{message}"):
        export(g.model()[0])


def test_a_dilated_convolution_in_its_old_form_is_one_conv() -> None:
    from edgert.dtypes import DType
    from edgert_converters.tflite.model import TfModel, TfOperator, TfSubgraph, TfTensor

    rng = np.random.default_rng(1)

    def constant(name: str, array: Array) -> TfTensor:
        return TfTensor(name, array.shape, DType.from_numpy(array.dtype), array)

    def floats(name: str, *shape: int) -> TfTensor:
        return TfTensor(name, shape, DType.FLOAT)

    tensors = (
        floats("x", 1, 7, 8, 3),
        constant("block", np.asarray([2, 3], np.int32)),
        constant("pads", np.asarray([[2, 3], [3, 4]], np.int32)),
        floats("phases", 6, 6, 5, 3),
        constant("w", rng.normal(size=(2, 3, 3, 3)).astype(np.float32)),
        constant("b", rng.normal(size=2).astype(np.float32)),
        floats("convolved", 6, 4, 3, 2),
        constant("crops", np.asarray([[0, 1], [0, 1]], np.int32)),
        floats("y", 1, 7, 8, 2),
    )
    options = {"padding": 1, "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
    operators = (
        TfOperator("SPACE_TO_BATCH_ND", (0, 1, 2), (3,)),
        TfOperator("CONV_2D", (3, 4, 5), (6,), {**options, "fused_activation_function": 1}),
        TfOperator("BATCH_TO_SPACE_ND", (6, 1, 7), (8,)),
    )
    file = TfModel((TfSubgraph(tensors, operators, (0,), (8,)),))
    model = build_onnx(file)
    assert [node.op_type for node in model.graph] == ["Pad", "Transpose", "Conv", "Relu", "Transpose"]
    strided = {**options, "stride_h": 2, "fused_activation_function": 1}
    generic = (operators[0], TfOperator("CONV_2D", (3, 4, 5), (6,), strided), operators[2])
    shapes = {6: floats("convolved", 6, 2, 3, 2), 8: floats("y", 1, 3, 8, 2)}
    left = TfModel((TfSubgraph(tuple(shapes.get(i, t) for i, t in enumerate(tensors)), generic, (0,), (8,)),))
    _agrees_with_litert(file)
    _agrees_with_litert(left)


def _agrees_with_litert(file: object) -> None:
    from edgert_converters.tflite.write import serialize_tflite

    data = serialize_tflite(file)  # type: ignore[arg-type]  # a TfModel
    model = build_onnx(parse_tflite(data))
    declared = model.graph.inputs[0].shape
    shape = [] if declared is None else declared.numpy()
    feed = {"x": np.random.default_rng(2).normal(size=shape).astype(np.float32)}
    assert largest_difference(run_litert(data, feed), run_onnx(model, feed)) < TOLERANCE
