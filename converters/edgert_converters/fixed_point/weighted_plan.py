"""Weights, biases, chains and accumulators of Conv, Gemm and MatMul, fixed before the network runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert.errors import ModelError
from edgert_converters.fixed_point.dot import (
    accumulator_exponents,
    chain_exponents,
    cut_chains,
    exponent_runs,
)
from edgert_converters.fixed_point.formats import FixedTensor, Format, Ints
from edgert_converters.fixed_point.magnitudes import block_format
from edgert_converters.fixed_point.plan import Plan, describe
from edgert_converters.fixed_point.weighted import conv_exponents, conv_weights
from edgert_converters.ops.attributes import get_float, get_int
from edgert_converters.ops.nodes import build_attributes
from edgert_converters.ops.spec import Array, Node

__all__ = ["plan_conv", "plan_gemm", "plan_matmul"]

_FLOATS = NDArray[np.float64]

_BIAS_BITS = 29


def plan_conv(plan: Plan, node: ir.Node) -> None:
    """Adds a convolution; its weights [O, C / groups, kernel...] are constant.

    Raises:
        ModelError: weights or bias are not constant.
    """
    weights = _constant(plan, node, 1)
    groups = get_int(_view(node), "group", 1)
    w = _add_weights(plan, node, weights)
    left, right = conv_exponents(plan.format_of(node, 0), w, groups)
    bias = _optional_bias(plan, node)
    shaped = None if bias is None else bias.reshape(groups, -1, 1)
    _add_weighted(plan, node, "Conv", _Product(conv_weights(w.values, groups), left, right), shaped)


def plan_gemm(plan: Plan, node: ir.Node) -> None:
    """Adds alpha * A' B' + beta * C with constant B and C; alpha and beta go into weights and bias.

    Raises:
        ModelError: B or C are not constant, or C is not one number per column.
    """
    view = _view(node)
    weights = _constant(plan, node, 1) * get_float(view, "alpha", 1.0)
    weights = weights if get_int(view, "transB", 0) else weights.T
    bias = _optional_bias(plan, node)
    if bias is not None:
        if bias.size not in {1, weights.shape[0]}:
            raise ModelError(f"Gemm needs one bias per column in fixed point, not {bias.shape}", node=describe(node))
        bias = np.broadcast_to(bias.reshape(-1), weights.shape[:1]) * get_float(view, "beta", 1.0)
    _plan_matrix(plan, node, weights, bias, is_transposed=get_int(view, "transA", 0) == 1)


def plan_matmul(plan: Plan, node: ir.Node) -> None:
    """Adds a product with a constant matrix on the right, or of any two tensors."""
    weights = plan.constant(node.inputs[1])
    if weights is not None and weights.ndim == 2:
        _plan_matrix(plan, node, weights.astype(np.float64).T, None, is_transposed=False)
        return
    plan.add_step(node, "MatMul", [plan.read(node, 0), plan.read(node, 1)])


def _plan_matrix(plan: Plan, node: ir.Node, weights: _FLOATS, bias: _FLOATS | None, *, is_transposed: bool) -> None:
    """Adds x w' + bias for weights [N, K]."""
    w = _add_weights(plan, node, weights)
    form, shape = plan.format_of(node, 0), plan.shape_of(node.inputs[0])
    exponents = form.expand(shape)
    rows = np.broadcast_to(exponents, shape) if exponents.size > 1 else exponents
    rows = rows.T if is_transposed else rows
    right = np.unique(rows.reshape(-1, rows.shape[-1]), axis=0).T[None]  # rows that share exponents share a bound
    shaped = None if bias is None else bias.reshape(1, -1, 1)
    _add_weighted(plan, node, "Gemm", _Product(w.values[None], w.exponents[None], right), shaped)


@dataclass(frozen=True, slots=True, eq=False)
class _Product:
    """Weights [G, O, K] with exponents, and exponents of the input that they meet, as `Operands` needs them."""

    weights: Ints
    left: Ints
    right: Ints


def _add_weighted(plan: Plan, node: ir.Node, kernel: str, product: _Product, bias: _FLOATS | None) -> None:
    """Adds the step with its chains, accumulator exponents [G, O, 1] and int32 bias at those exponents."""
    largest = plan.format_of(node, 0).largest
    products = np.abs(product.weights.astype(np.int64)) * largest
    runs = exponent_runs(product.left, product.right)
    starts = cut_chains(products.reshape(-1, products.shape[2]), runs)
    bounds = np.add.reduceat(products, starts, axis=2).transpose(0, 2, 1)[..., None]
    exponents = chain_exponents(product.left, product.right, starts)
    target = accumulator_exponents(bounds, exponents, _bias_share(bias, exponents)).max(axis=2, keepdims=True)
    if bias is not None:
        # a bias beyond every product: what is left of them below it is far from overflow
        target = np.maximum(target, np.frexp(bias)[1].astype(np.int64) - _BIAS_BITS)
    data: dict[str, Array] = {"chains": starts, "accumulator": target}
    if bias is not None:
        data["bias"] = np.rint(np.ldexp(bias, -target))
    attributes = {k: v for k, v in build_attributes(node).items() if k not in {"alpha", "beta", "transB"}}
    plan.add_step(node, kernel, [plan.read(node, 0), f"{describe(node)}/weights"], data, attributes)


def _bias_share(bias: _FLOATS | None, exponents: Ints) -> Ints | int:
    """Returns ceil(|bias| * 2^-top), cut at 2^50, where the bias alone decides the exponent."""
    if bias is None:
        return 0
    with np.errstate(over="ignore"):
        share = np.ldexp(np.abs(bias), -exponents.max(axis=1))
    return np.asarray(np.ceil(np.minimum(share, 2.0**50)), np.int64)


def _add_weights(plan: Plan, node: ir.Node, weights: _FLOATS) -> FixedTensor:
    """Adds weights [O, K, ...] in blocks along K of each output's own; dfp16: one exponent for all."""
    name = f"{describe(node)}/weights"
    tensor_axes = tuple(range(2 if plan.family.block else 0, weights.ndim))
    largest = np.asarray(np.abs(weights).max(axis=tensor_axes, keepdims=True))
    form = _weight_format(largest, plan)
    plan.add_constant(name, weights, form)
    added = plan.constants[name]
    assert isinstance(added, FixedTensor)
    return added


def _weight_format(largest: _FLOATS, plan: Plan) -> Format:
    if not plan.family.block:
        return block_format(largest, 0, plan.family.bits)
    return block_format(largest, (1, plan.family.block, *(0,) * (largest.ndim - 2)), plan.family.bits)


def _constant(plan: Plan, node: ir.Node, index: int) -> _FLOATS:
    array = plan.constant(node.inputs[index])
    if array is None:
        raise ModelError(
            f"{node.op_type} needs constant weights and biases in fixed point; input {index} is computed",
            node=describe(node),
        )
    return np.asarray(array, np.float64)


def _optional_bias(plan: Plan, node: ir.Node) -> _FLOATS | None:
    if len(node.inputs) < 3 or node.inputs[2] is None or not node.inputs[2].name:
        return None
    return _constant(plan, node, 2)


def _view(node: ir.Node) -> Node:
    return Node(node.op_type, describe(node), build_attributes(node), (), ())
