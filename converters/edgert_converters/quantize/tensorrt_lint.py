"""Checks a quantized graph against what TensorRT's explicit quantization takes, and names the nodes that break it.

Source: NVIDIA, TensorRT documentation, "Explicit quantization" and "Q/DQ layer-placement recommendations": symmetric
integers, one scale for an activation, one per output channel for weights, float biases, and both inputs of the Add
behind a skip connection quantized. Read from documents; TensorRT itself was not run.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Set
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgert_converters.ops.spec import Array
from edgert_converters.quantize.weighted import WEIGHTED, int_attribute
from edgert_converters.quantize.weights import output_channel_axis
from edgert_converters.units import is_standard

__all__ = ["Finding", "Rule", "lint_for_tensorrt"]

_PAIR = ("QuantizeLinear", "DequantizeLinear")
_CLAMPS = frozenset({"Relu", "Clip"})
_SUMS = frozenset({"Add", "Sum"})


class Rule(enum.Enum):
    """What a graph for TensorRT keeps to."""

    ZERO_POINT = "zero points are 0 and int8"
    SCALE = "scales are positive constants"
    ACTIVATION = "an activation has one scale"
    WEIGHT = "weights are int8 constants with a scale per output channel"
    BIAS = "a bias is a float constant"
    SKIP = "both inputs of a residual Add are quantized"
    INTEGERS = "integers are read by DequantizeLinear alone"


@dataclass(frozen=True, slots=True)
class Finding:
    """One node that breaks a rule; `found` says what stands there."""

    node: str
    op: str
    rule: Rule
    found: str

    def __str__(self) -> str:
        return f"{self.op} {self.node!r}: {self.found}; for TensorRT {self.rule.value}"


def lint_for_tensorrt(
    model: ir.Model, float_layers: Set[str] = frozenset(), *, per_channel: bool = True
) -> tuple[Finding, ...]:
    """Returns what TensorRT would refuse or not fuse, in graph order; () for a graph that keeps to all rules.

    Args:
        model: a graph with QuantizeLinear and DequantizeLinear; without any there is nothing to check.
        float_layers: names of operators that stay float on purpose.
        per_channel: False: weights with one scale in all were asked for; TensorRT takes them too.
    """
    nodes = (node for node in model.graph if node.name not in float_layers)
    return tuple(finding for node in nodes for finding in _check(node, per_channel))


def _check(node: ir.Node, per_channel: bool) -> Iterator[Finding]:
    if any(is_standard(node, op) for op in _PAIR):
        yield from _check_parameters(node)
    elif node.op_type in WEIGHTED and _dequantizer(node.inputs[0]) is not None:
        yield from _check_weighted(node, per_channel)
    elif node.op_type in _SUMS:
        yield from _check_sum(node)


def _check_parameters(node: ir.Node) -> Iterator[Finding]:
    scale, zero_point, integers = _constant(node, 1), _constant(node, 2), _constant(node, 0)
    is_bias = node.op_type == "DequantizeLinear" and integers is not None and integers.dtype == np.int32
    if is_bias:  # the operator that reads it is the one to blame
        return
    if scale is None or not np.all(np.isfinite(scale) & (np.sign(scale) == 1)):
        yield _finding(node, Rule.SCALE, "its scale is computed" if scale is None else "a scale is not positive")
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        if zero_point is None:
            yield _finding(node, Rule.ZERO_POINT, "its zero point is computed")
        elif zero_point.dtype != np.int8 or zero_point.any():
            largest = int(zero_point.flat[np.abs(zero_point.astype(np.int64)).argmax()])
            yield _finding(node, Rule.ZERO_POINT, f"its zero point is {largest}, {zero_point.dtype}")
    elif node.op_type == "QuantizeLinear":
        yield _finding(node, Rule.ZERO_POINT, "it has no zero point, which makes uint8")
    is_weight = node.op_type == "DequantizeLinear" and integers is not None
    if scale is not None and scale.size != 1 and not is_weight:
        yield _finding(node, Rule.ACTIVATION, f"it has {scale.size} scales")
    if node.op_type == "QuantizeLinear":
        for reader in node.outputs[0].consumers():
            if not is_standard(reader, "DequantizeLinear"):
                yield _finding(reader, Rule.INTEGERS, f"it reads the integers of {node.name!r}")


def _check_weighted(node: ir.Node, per_channel: bool) -> Iterator[Finding]:
    source = _dequantizer(node.inputs[1])
    weight = None if source is None else _constant(source, 0)
    scale = None if source is None else _constant(source, 1)
    if source is None or weight is None or weight.dtype != np.int8:
        yield _finding(node, Rule.WEIGHT, "its weights are no int8 constant behind DequantizeLinear")
    elif scale is not None:
        axis = output_channel_axis(node.op_type, weight.ndim, bool(int_attribute(node, "transB", 0)))
        channels = 1 if axis is None else weight.shape[axis]
        on_axis = scale.size == 1 or int_attribute(source, "axis", 1) % weight.ndim == axis
        is_one = scale.size == 1 and not per_channel
        if (scale.size != channels and not is_one) or not on_axis:
            along = "" if on_axis else f" along axis {int_attribute(source, 'axis', 1)}"
            yield _finding(node, Rule.WEIGHT, f"its weights have {scale.size} scales{along} for {channels} channels")
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and (bias.const_value is None or bias.dtype not in {ir.DataType.FLOAT, ir.DataType.FLOAT16}):
        behind = "comes out of DequantizeLinear" if _dequantizer(bias) is not None else "is computed"
        yield _finding(node, Rule.BIAS, f"its bias {behind}")


def _check_sum(node: ir.Node) -> Iterator[Finding]:
    """An Add takes part where one side, or what it makes, is quantized; a float constant is a bias and may stay."""
    activations = [value for value in node.inputs if value is not None and value.const_value is None]
    quantized = [_dequantizer(value) is not None for value in activations]
    if all(quantized) or not (any(quantized) or _is_quantized_behind(node)):
        return
    for value, is_quantized in zip(activations, quantized, strict=True):
        if not is_quantized:
            yield _finding(node, Rule.SKIP, f"its input {value.name!r} is not quantized")


def _is_quantized_behind(node: ir.Node) -> bool:
    readers = list(node.outputs[0].consumers())
    while len(readers) == 1 and readers[0].op_type in _CLAMPS:
        readers = list(readers[0].outputs[0].consumers())
    return any(is_standard(reader, "QuantizeLinear") for reader in readers)


def _dequantizer(value: ir.Value | None) -> ir.Node | None:
    producer = None if value is None else value.producer()
    return producer if producer is not None and is_standard(producer, "DequantizeLinear") else None


def _constant(node: ir.Node, index: int) -> Array | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    return None if value is None or value.const_value is None else np.asarray(value.const_value.numpy())


def _finding(node: ir.Node, rule: Rule, found: str) -> Finding:
    return Finding(node.name or str(node.outputs[0].name), node.op_type, rule, found)
