"""Builds the operator table's row of one unary function, for the files that hold families of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.rules import (
    Float64Function,
    elementwise_float32,
    no_macs,
    table_rule,
    table_rule_float32,
    unary_reference,
)
from edgert_converters.ops.spec import (
    Array,
    AttributeValue,
    Case,
    ChannelRule,
    Node,
    Operator,
    QuantRule,
    ReferenceRule,
)

__all__ = ["exact_operator", "table_operator"]

ExactFunction = Callable[[Node, NDArray[Any]], NDArray[Any]]  # Any: numbers of every type, each in its own


def table_operator(
    op_type: str,
    function: Float64Function,
    sample: Array,
    attributes: dict[str, AttributeValue] | None = None,
    *,
    fused: bool = False,
    fixed_output: tuple[float, int] | None = None,
    tflite_table: bool = False,
) -> Operator:
    """Returns the row of a smooth function: double precision in float, a 256-entry table in integers.

    Args:
        op_type: name of the operator.
        function: the function in double precision.
        sample: input of the case "plain" and, where there are attributes, of the case "attributes".
        attributes: attributes other than the defaults.
        fused: ONNX Runtime runs its QDQ form on integers.
        fixed_output: see `Operator`.
        tflite_table: TensorFlow Lite computes it on int8, by a table of its own.
    """
    return Operator(
        op_type=op_type,
        macs=no_macs,
        reference=unary_reference(function),
        quantization=QuantRule.OWN,
        channels=ChannelRule.KEEPS,
        cases=_cases(sample, attributes),
        integer=table_rule(function),
        integer_q31=table_rule_float32(function) if tflite_table else None,
        onnxruntime_int8=fused,
        fixed_output=fixed_output,
    )


def exact_operator(
    op_type: str, function: ExactFunction, sample: Array, attributes: dict[str, AttributeValue] | None = None
) -> Operator:
    """Returns the row of a function that is one exact or once rounded operation in x's own type.

    Integer rule: dequantize, compute in float32, quantize. A table in double precision would jump elsewhere than an
    engine where the function has steps.
    """
    reference = _exact_reference(function)
    return Operator(
        op_type=op_type,
        macs=no_macs,
        reference=reference,
        quantization=QuantRule.OWN,
        channels=ChannelRule.KEEPS,
        cases=_cases(sample, attributes),
        integer=elementwise_float32(reference),
    )


def _exact_reference(function: ExactFunction) -> ReferenceRule:
    def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = require_input(node, inputs, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return [np.asarray(function(node, x)).astype(x.dtype, copy=False)]

    return reference


def _cases(sample: Array, attributes: dict[str, AttributeValue] | None) -> tuple[Case, ...]:
    plain = Case("plain", (sample,))
    return (plain,) if attributes is None else (plain, Case("attributes", (sample,), attributes))
