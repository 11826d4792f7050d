"""Which nodes of a QDQ graph run on integers: the units of the numerics contract.

A unit is an operator whose activation inputs all come from DequantizeLinear and whose outputs each go into exactly one
QuantizeLinear, directly or through Relu and Clip nodes that nothing else reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgert.errors import ModelError
from edgert.quant import QuantParams
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.nodes import convert_attribute, read_opset
from edgert_converters.ops.qdq import read_params
from edgert_converters.ops.spec import Array, Node, Operator, QuantRule

__all__ = [
    "IntegerUnit",
    "constant_inputs",
    "dequantizer_of",
    "find_units",
    "has_static_params",
    "is_standard",
    "static_params",
]

_FLOATS = {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16}
_MOST_CLAMPS = 2


@dataclass(frozen=True, slots=True)
class IntegerUnit:
    """One operator that runs on integers.

    `clamps[k]` are the Relu and Clip nodes between output k and `quantize[k]`, which holds output k's parameters.
    """

    node: ir.Node
    clamps: tuple[tuple[ir.Node, ...], ...]
    quantize: tuple[ir.Node, ...]

    @property
    def name(self) -> str:
        """The node's name, else the name of its first output."""
        return self.node.name or str(self.node.outputs[0].name)

    @property
    def op(self) -> str:
        """The operator."""
        return self.node.op_type

    @property
    def absorbed(self) -> tuple[ir.Node, ...]:
        """The clamps and QuantizeLinear nodes that the unit executes besides its own node."""
        return (*(node for chain in self.clamps for node in chain), *self.quantize)


def is_standard(node: ir.Node, op_type: str) -> bool:
    """True when `node` is the operator `op_type` of the standard domain."""
    return node.op_type == op_type and node.domain in {"", "ai.onnx"}


def find_units(graph: ir.Graph) -> tuple[IntegerUnit, ...]:
    """Returns the graph's integer units in execution order; no node belongs to two of them."""
    taken: set[ir.Node] = set()
    units = []
    for node in graph:
        spec = OPERATORS.get(node.op_type) if node.domain in {"", "ai.onnx"} else None
        if spec is None or spec.integer is None or node in taken or not _reads_integers(node, spec):
            continue
        unit = _trace_outputs(node)
        if unit is not None:
            units.append(unit)
            taken.update(unit.absorbed)
    return tuple(units)


def _reads_integers(node: ir.Node, spec: Operator) -> bool:
    first = node.inputs[0] if node.inputs else None
    if first is None or not _is_per_tensor(first):
        return False
    return all(_is_fit(value, spec) for value in node.inputs[1:] if value is not None)


def _is_per_tensor(value: ir.Value) -> bool:
    node = dequantizer_of(value)
    return node is not None and _size(node.inputs[1]) == 1


def _is_fit(value: ir.Value, spec: Operator) -> bool:
    """True when an input is quantized, or an index, or a float constant of an operator that only moves or clamps."""
    if dequantizer_of(value) is not None:
        return spec.quantization is QuantRule.COMPUTE or _is_per_tensor(value)
    constant = value.const_value
    if constant is None:
        return value.dtype is not None and value.dtype not in _FLOATS
    return constant.dtype not in _FLOATS or spec.quantization in {QuantRule.SHARED, QuantRule.CLAMP}


def dequantizer_of(value: ir.Value) -> ir.Node | None:
    """Returns the DequantizeLinear node that makes `value`, where its parameters are constants."""
    node = value.producer()
    if node is None or not is_standard(node, "DequantizeLinear"):
        return None
    return node if has_static_params(node) else None


def has_static_params(node: ir.Node) -> bool:
    """True when every input after the first is a constant."""
    return all(v is None or v.const_value is not None for v in node.inputs[1:])


def constant_inputs(node: ir.Node) -> list[Array | None]:
    """Returns inputs 1 and up, which are constants."""
    return [None if v is None or v.const_value is None else np.asarray(v.const_value.numpy()) for v in node.inputs[1:]]


def static_params(node: ir.Node, rank: int = 0) -> QuantParams:
    """Returns the constant parameters of a QuantizeLinear or DequantizeLinear node of a tensor with `rank` axes.

    Raises:
        ModelError: there is no constant scale, or the parameters break an invariant.
    """
    scale, zero_point = (*constant_inputs(node), None, None)[:2]
    attributes = {name: convert_attribute(node, attribute) for name, attribute in node.attributes.items()}
    spec = Node(node.op_type, node.name or "", attributes, (), (), {}, read_opset(node))
    if scale is None:
        raise ModelError(f"{node.op_type} has no constant scale", node=spec.name)
    source = node.inputs[0]
    dtype = source.dtype if source is not None and node.op_type == "DequantizeLinear" else None
    return read_params(spec, rank, scale, zero_point, None if dtype is None else dtype.numpy())


def _trace_outputs(node: ir.Node) -> IntegerUnit | None:
    chains, quantizers = [], []
    for value in node.outputs:
        if not value.name:
            continue
        found = _trace_output(value)
        if found is None:
            return None
        chains.append(found[0])
        quantizers.append(found[1])
    return IntegerUnit(node, tuple(chains), tuple(quantizers)) if quantizers else None


def _trace_output(value: ir.Value) -> tuple[tuple[ir.Node, ...], ir.Node] | None:
    """Returns the clamps and the QuantizeLinear that alone read `value`, or None."""
    chain: list[ir.Node] = []
    while True:
        uses = tuple(value.uses())
        if value.is_graph_output() or len(uses) != 1 or uses[0].idx != 0 or uses[0].node.graph is not value.graph:
            return None
        reader = uses[0].node
        if is_standard(reader, "QuantizeLinear"):
            return (tuple(chain), reader) if has_static_params(reader) and _size(reader.inputs[1]) == 1 else None
        if not _is_constant_clamp(reader) or len(chain) == _MOST_CLAMPS:
            return None
        chain.append(reader)
        value = reader.outputs[0]


def _size(value: ir.Value | None) -> int:
    return 0 if value is None or value.const_value is None else value.const_value.size


def _is_constant_clamp(node: ir.Node) -> bool:
    spec: Mapping[str, Operator] = OPERATORS
    known = node.domain in {"", "ai.onnx"} and node.op_type in spec
    if not known or spec[node.op_type].quantization is not QuantRule.CLAMP:
        return False
    return has_static_params(node)
