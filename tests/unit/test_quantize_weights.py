from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.quant import QuantParams, dequantize
from edgert_converters.ops.conv_transpose import convolve_transposed
from edgert_converters.ops.spec import Node
from edgert_converters.quantize.bias_correction import output_shift
from edgert_converters.quantize.weights import output_channel_axis, quantize_weights


def test_weights_are_symmetric_per_channel_and_bias_has_the_product_scale() -> None:
    rng = np.random.default_rng(0)
    weight = (rng.standard_normal((4, 3, 3, 3)) * np.array([1, 10, 0.1, 3]).reshape(4, 1, 1, 1)).astype(np.float32)
    bias = rng.standard_normal(4).astype(np.float32)
    quantized = quantize_weights(weight, 0, 0.05, bias)
    assert quantized.weight.dtype == np.int8
    assert np.abs(quantized.weight).reshape(4, -1).max(axis=1).tolist() == [127] * 4
    assert quantized.bias is not None
    assert quantized.bias_params is not None
    expected = np.float32(0.05) * np.asarray(quantized.weight_params.scale, np.float32)
    assert np.array_equal(np.asarray(quantized.bias_params.scale, np.float32), expected)
    assert np.allclose(dequantize(quantized.bias, quantized.bias_params), bias, atol=float(expected.max()))


def test_a_channel_of_zeros_keeps_its_bias() -> None:
    weight = np.zeros((2, 1, 1, 1), np.float32)
    weight[1] = 1.0
    quantized = quantize_weights(weight, 0, 1.0, np.array([0.3, 0.3], np.float32))
    assert quantized.bias is not None
    assert quantized.bias_params is not None
    assert dequantize(quantized.bias, quantized.bias_params)[0] == pytest.approx(0.3, rel=1e-5)


def test_a_bias_too_large_for_int32_raises_the_scale() -> None:
    weight = np.full((1, 1, 1, 1), 1e-9, np.float32)
    quantized = quantize_weights(weight, 0, 1e-6, np.array([5.0], np.float32))
    assert quantized.bias is not None
    assert quantized.bias_params is not None
    assert dequantize(quantized.bias, quantized.bias_params)[0] == pytest.approx(5.0, rel=1e-6)


def test_per_tensor_weights_have_one_scale() -> None:
    quantized = quantize_weights(np.ones((2, 3, 4), np.float32), None, 1.0, None)
    assert quantized.weight_params.axis is None
    assert len(quantized.weight_params.scale) == 1


@pytest.mark.parametrize(
    ("op", "rank", "transposed", "axis"),
    [
        ("Conv", 4, False, 0),
        ("ConvTranspose", 4, False, 1),
        ("Gemm", 2, True, 0),
        ("Gemm", 2, False, 1),
        ("MatMul", 2, False, 1),
        ("MatMul", 3, False, None),
    ],
)
def test_output_channel_axis(op: str, rank: int, transposed: bool, axis: int | None) -> None:
    assert output_channel_axis(op, rank, transposed) == axis


def _node(op: str, **attributes: int) -> ir.Node:
    return ir.node(op, [ir.val("x"), ir.val("w")], attributes)


@pytest.mark.parametrize("group", [1, 2, 4])
def test_shift_of_a_convolution_is_the_mean_output_error(group: int) -> None:
    rng = np.random.default_rng(group)
    weight = rng.standard_normal((8, 4 // group, 1, 1)).astype(np.float32)
    params = QuantParams((0.5,) * 8, (0,) * 8, DType.INT8, 0)
    integers = np.rint(weight / 0.5).astype(np.int8)
    x = rng.uniform(0, 1, (50, 4)).astype(np.float64)
    shift = output_shift(_node("Conv", group=group), weight, integers, params, x.mean(axis=0))
    error = (weight - integers * 0.5)[:, :, 0, 0]
    expected = [(x.mean(axis=0).reshape(group, -1)[m * group // 8] * error[m]).sum() for m in range(8)]
    assert np.allclose(shift, expected, atol=1e-6)


@pytest.mark.parametrize("transposed", [0, 1])
def test_shift_of_a_gemm(transposed: int) -> None:
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((5, 3)).astype(np.float32)  # [M, K]
    means = rng.uniform(0, 1, 3)
    weight = matrix if transposed else np.ascontiguousarray(matrix.T)
    params = QuantParams((0.5,), (0,), DType.INT8)
    shift = output_shift(_node("Gemm", transB=transposed), weight, np.rint(weight / 0.5).astype(np.int8), params, means)
    assert np.allclose(shift, (matrix - np.rint(matrix / 0.5) * 0.5) @ means, atol=1e-6)


def test_no_shift_where_channels_do_not_match() -> None:
    params = QuantParams((0.5,), (0,), DType.INT8)
    weight = np.full((2, 3), 0.7, np.float32)
    assert not output_shift(_node("Gemm", transB=1), weight, np.ones((2, 3), np.int8), params, np.ones(7)).any()


@pytest.mark.parametrize("group", [1, 2])
def test_groups_of_a_transposed_convolution_share_scales_not_biases(group: int) -> None:
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((4, 3, 2, 2)).astype(np.float32)
    bias = (rng.standard_normal(3 * group) * np.repeat([1, 1000], 3)[: 3 * group]).astype(np.float32)
    quantized = quantize_weights(weight, 1, 0.05, bias)
    assert len(quantized.weight_params.scale) == 3
    assert quantized.bias is not None
    assert quantized.bias_params is not None
    expected = np.tile(np.float32(0.05) * np.asarray(quantized.weight_params.scale, np.float32), group)
    assert np.array_equal(np.asarray(quantized.bias_params.scale, np.float32), expected)
    assert np.allclose(dequantize(quantized.bias, quantized.bias_params), bias, atol=float(expected.max()))


def test_the_largest_bias_of_all_groups_raises_a_shared_scale() -> None:
    weight = np.full((2, 1, 1, 1), 1e-9, np.float32)
    quantized = quantize_weights(weight, 1, 1e-6, np.array([0.0, 5.0], np.float32))
    assert quantized.bias is not None
    assert quantized.bias_params is not None
    assert dequantize(quantized.bias, quantized.bias_params).tolist() == pytest.approx([0.0, 5.0], rel=1e-6)


@pytest.mark.parametrize("group", [1, 2])
def test_shift_of_a_transposed_convolution_is_the_mean_output_error(group: int) -> None:
    rng = np.random.default_rng(2)
    weight = rng.standard_normal((4, 3, 2, 2)).astype(np.float32)
    quantized = quantize_weights(weight, 1, 0.05, None)
    means = rng.standard_normal(4)
    attributes = {"group": group, "strides": (2, 2)}
    node = ir.node("ConvTranspose", [None, None], attributes)
    shift = output_shift(node, weight, quantized.weight, quantized.weight_params, means)
    # kernel and stride of one size: every output element meets one kernel element, so the mean is exact
    x = np.broadcast_to(means[:, None, None], (1, 4, 3, 3)).astype(np.float64)
    rounded = dequantize(quantized.weight, quantized.weight_params).astype(np.float64)
    table_node = Node("ConvTranspose", "t", attributes, (), ())
    error = convolve_transposed(table_node, x, weight.astype(np.float64) - rounded)
    np.testing.assert_allclose(shift, error.mean(axis=(0, 2, 3)), rtol=1e-5)


def test_no_shift_of_a_transposed_convolution_where_channels_do_not_match() -> None:
    node = ir.node("ConvTranspose", [None, None], {"group": 2})
    weight = np.ones((4, 3, 1, 1), np.float32)
    quantized = quantize_weights(weight, 1, 1.0, None)
    shift = output_shift(node, weight, quantized.weight, quantized.weight_params, np.ones(3))
    assert shift.tolist() == [0.0] * 6
