"""Rounds the weights of a plan's integer operators to nearest: where every other way of rounding starts from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.scheme import Granularity, Scheme
from edgert_converters.quantize.weight_ranges import SEARCHED_BITS, search_scales
from edgert_converters.quantize.weighted import Weighted, read_weighted, weighted_nodes
from edgert_converters.quantize.weights import QuantizedWeights, quantize_weights

__all__ = ["round_node", "round_weights"]


def round_weights(model: ir.Model, plan: Plan) -> Plan:
    """Returns the plan with integers for the weights and biases of every weighted integer operator.

    Args:
        model: the float graph the plan was made for.
        plan: see plan.py; weights that it holds are replaced.
    """
    weights = {
        str(node.name): round_node(node, plan, read_weighted(node))
        for node in weighted_nodes(model, plan.integer_nodes)
    }
    return replace(plan, weights=weights)


def round_node(
    node: ir.Node, plan: Plan, weighted: Weighted, bias: NDArray[np.float32] | None = None
) -> QuantizedWeights:
    """Returns the integers of one operator; `bias` float32[M] takes the place of its own."""
    axis, largest = scale_axis(weighted, plan.scheme), plan.scheme.largest_weight
    searched = plan.scheme.weight_bits <= SEARCHED_BITS
    return quantize_weights(
        weighted.weight,
        axis,
        plan.x_scale(node),
        weighted.bias if bias is None else bias,
        largest,
        search_scales(weighted.weight, axis, largest) if searched else None,
    )


def scale_axis(weighted: Weighted, scheme: Scheme) -> int | None:
    """The axis that has a scale per index; None: one scale in all."""
    return None if scheme.granularity is Granularity.TENSOR else weighted.axis
