"""Which integer rule stands for each ONNX operator, and what is computed for it before it runs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert.errors import ModelError
from edgert_converters.fixed_point.network import KERNELS
from edgert_converters.fixed_point.plan import PARAMETER_BITS, Plan, describe
from edgert_converters.fixed_point.tables import build_lookup
from edgert_converters.fixed_point.weighted_plan import plan_conv, plan_gemm, plan_matmul
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.attributes import get_float
from edgert_converters.ops.nodes import build_attributes, read_opset
from edgert_converters.ops.spec import Node

__all__ = ["RULES", "TABLE_OPERATORS", "plan_node"]

TABLE_OPERATORS: Final = (
    "Abs",
    "Celu",
    "Cos",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Selu",
    "Sigmoid",
    "Sin",
    "Softplus",
    "Softsign",
    "Tanh",
)
_STANDARD_EPSILON = 1e-5


class Rule(Protocol):
    """Adds the step of one node to the plan."""

    def __call__(self, plan: Plan, node: ir.Node) -> None:
        """Raises ModelError where the node is outside of what the operator's integer rule does."""
        ...


def plan_node(plan: Plan, node: ir.Node) -> None:
    """Adds the step of a node that computes numbers.

    Raises:
        ModelError: the operator has no integer rule, or the node is outside of what the rule does.
    """
    rule = RULES.get(node.op_type)
    if rule is None or node.domain not in {"", "ai.onnx"}:
        raise ModelError(
            f"operator {node.op_type!r} has no integer rule in {plan.family.name}; supported are: "
            f"{', '.join(sorted(RULES))}",
            node=describe(node),
        )
    if node.op_type != "Split" and any(v.uses() or v.is_graph_output() for v in node.outputs[1:]):
        raise ModelError(f"only the first output of {node.op_type} is supported in fixed point", node=describe(node))
    rule(plan, node)


def _plan_plainly(plan: Plan, node: ir.Node) -> None:
    """The step takes the node's inputs and attributes as they are."""
    plan.add_step(node, node.op_type, [plan.read(node, i) for i in range(len(node.inputs))])


def _plan_division(plan: Plan, node: ir.Node) -> None:
    """A constant divisor becomes a factor."""
    divisor = plan.constant(node.inputs[1])
    if divisor is None:
        _plan_plainly(plan, node)
        return
    inverse = plan.add_parameter(f"{describe(node)}/reciprocal", 1.0 / divisor.astype(np.float64))
    plan.add_step(node, "Mul", [plan.read(node, 0), inverse])


def _plan_reciprocal(plan: Plan, node: ir.Node) -> None:
    """1 / x is a quotient: its table keeps the relative precision that one over the whole range would not."""
    one = plan.add_parameter(f"{describe(node)}/one", np.ones(1))
    plan.add_step(node, "Div", [one, plan.read(node, 0)])


def _plan_power(plan: Plan, node: ir.Node) -> None:
    """x^2 is a product, another constant exponent a table."""
    power = plan.constant(node.inputs[1])
    if power is None or power.size != 1:
        raise ModelError("Pow needs one constant exponent in fixed point", node=describe(node))
    exponent = float(power.reshape(-1)[0])
    if exponent == 2:
        x = plan.read(node, 0)
        plan.add_step(node, "Mul", [x, x])
        return

    def function(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.power(x, exponent), np.float64)

    _add_table(plan, node, function)


def _plan_table(plan: Plan, node: ir.Node) -> None:
    """The operator's float rule, in double precision, fills the table."""
    view = Node(node.op_type, describe(node), build_attributes(node), (None,), ((),), {}, read_opset(node))

    def function(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(OPERATORS[node.op_type].reference(view, [x])[0], np.float64)

    _add_table(plan, node, function)


class _Function(Protocol):
    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]: ...


def _add_table(plan: Plan, node: ir.Node, function: _Function) -> None:
    source, target = plan.format_of(node, 0), plan.formats[node.outputs[0].name or ""]
    exponent = int(target.exponents.max()) - (PARAMETER_BITS - target.bits)
    inputs = [int(e) for e in np.unique(source.exponents)]
    lookup = build_lookup(function, inputs, source.bits, exponent)
    data = {"rows": lookup.rows, "row_exponents": lookup.inputs, "exponent": np.asarray([exponent])}
    plan.add_step(node, "Table", [plan.read(node, 0)], data, {})


def _plan_layer_normalization(plan: Plan, node: ir.Node) -> None:
    """Epsilon becomes a 31-bit mantissa with an exponent."""
    view = Node(node.op_type, describe(node), build_attributes(node), (), ())
    mantissa, exponent = np.frexp(get_float(view, "epsilon", _STANDARD_EPSILON))
    data = {"epsilon": np.asarray([round(float(mantissa) * (1 << 30)), int(exponent) - 30])}
    plan.add_step(node, "LayerNormalization", [plan.read(node, i) for i in range(len(node.inputs))], data)


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        **{name: _plan_plainly for name in KERNELS if name not in {"Gemm", "Table"}},
        **dict.fromkeys(TABLE_OPERATORS, _plan_table),
        "Conv": plan_conv,
        "Div": _plan_division,
        "Gemm": plan_gemm,
        "LayerNormalization": _plan_layer_normalization,
        "MatMul": plan_matmul,
        "Pow": _plan_power,
        "Reciprocal": _plan_reciprocal,
    }
)
