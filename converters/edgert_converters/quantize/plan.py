"""Decides which values become integers, which operators run in integers, and what stays float, with the reason.

The plan is made of names only; `insert.py` carries it out. A value is quantized when an integer operator makes it or
reads it. An integer operator is one whose row in the operator table has an integer rule and whose operands allow it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert.recipe import RangeMethod
from edgert_converters.control_flow import is_control_flow
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import QuantRule
from edgert_converters.quantize.ranges import RangeRule, choose_params
from edgert_converters.quantize.resolution import coarse_nodes
from edgert_converters.quantize.scheme import INT8, Scheme
from edgert_converters.quantize.statistics import TensorStatistics
from edgert_converters.quantize.weighted import WEIGHTED
from edgert_converters.quantize.weights import QuantizedWeights

__all__ = [
    "KEEP_FLOAT",
    "MAX_BRANCH_RATIO",
    "FloatLayer",
    "Plan",
    "integer_nodes",
    "make_plan",
    "restrict_plan",
    "values_to_watch",
]

MAX_BRANCH_RATIO = 8.0
"""Branches whose ranges differ by more lose 3 of 8 bits or more in a shared scale, so they do not share one.

16 bits lose nothing that counts: there the rule does not apply.
"""

KEEP_FLOAT = "edgert.keep_float"
"""Metadata of a node that a step of the chain put in and that must stay float; its text says why."""

_BRANCHING = frozenset({"Add", "Sub", "Concat"})


@dataclass(frozen=True, slots=True)
class FloatLayer:
    """An operator that stays float, and why."""

    name: str
    op: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to quantize.

    `integer_nodes` are names of nodes that run in integers; `fused_clamps` maps a clamp to be removed to its producer;
    `params` holds the parameters of every quantized activation by value name, `weights` the integers of every weighted
    integer operator by node name (rounding.py fills them in).
    """

    scheme: Scheme

    integer_nodes: frozenset[str]
    fused_clamps: Mapping[str, str]
    params: Mapping[str, QuantParams]
    float_layers: tuple[FloatLayer, ...]
    weights: Mapping[str, QuantizedWeights] = field(default_factory=dict)

    def x_scale(self, node: ir.Node) -> float:
        """Scale of the activation that a weighted integer node reads."""
        x = node.inputs[0]
        if x is None or x.name is None:
            raise AssertionError(f"{node.name!r} was planned as integer without an input")
        return self.params[x.name].scale[0]


def values_to_watch(model: ir.Model) -> tuple[str, ...]:
    """Returns the float activations that may need statistics, in graph order."""
    names: dict[str, None] = {}
    for node in model.graph:
        if _refusal(node) is None:
            for value in (*node.inputs, *node.outputs):
                if value is not None and _is_activation(value):
                    names[_name(value)] = None
    return tuple(names)


def integer_nodes(model: ir.Model) -> frozenset[str]:
    """Returns the names of the nodes that run in integers as long as no range forbids it."""
    refused = {_label(node): reason for node in model.graph if (reason := _refusal(node)) is not None}
    return frozenset(_integer_nodes(model, refused))


def make_plan(
    model: ir.Model,
    statistics: Mapping[str, TensorStatistics],
    ranges: RangeRule,
    scheme: Scheme = INT8,
    keep_float: Set[str] = frozenset(),
    *,
    coarse_stays_float: bool = True,
) -> Plan:
    """Returns the plan for a clean float graph, its weights not yet rounded.

    Args:
        model: float graph; node names are unique.
        statistics: of every value in `values_to_watch(model)`.
        ranges: how ranges are chosen.
        scheme: what weights and activations become.
        keep_float: names of nodes that must stay float.
        coarse_stays_float: what 8 bits hold too coarsely stays float (resolution.py).
    """
    refused = {_label(node): reason for node in model.graph if (reason := _refusal(node)) is not None}
    refused |= dict.fromkeys(keep_float, "kept float on request")
    if scheme.activation is not DType.INT16:
        for node in model.graph:
            reason = None if _label(node) in refused else _branch_refusal(node, statistics)
            if reason is not None:
                refused[_label(node)] = reason
    answers = _answers(model)

    def choose(name: str) -> QuantParams:
        rule = RangeRule(RangeMethod.MIN_MAX) if name in answers else ranges
        return choose_params(statistics[name].histogram, rule, scheme)

    if coarse_stays_float and scheme.activation is DType.INT8:
        refused |= coarse_nodes(model, statistics, scheme, refused.keys(), answers)
    integer = _integer_nodes(model, refused)
    fused = _fused_clamps(model, integer)
    params = _choose_all(model, integer, fused, scheme, choose)
    named = tuple(
        FloatLayer(_label(node), node.op_type, refused.get(_label(node), "no integer neighbour"))
        for node in model.graph
        if _label(node) not in integer and _is_float_work(node)
    )
    return Plan(scheme, frozenset(integer), fused, params, named)


def restrict_plan(
    model: ir.Model, plan: Plan, keep_float: Mapping[str, str], statistics: Mapping[str, TensorStatistics]
) -> Plan:
    """Returns the plan with some of its integer nodes put back to float; the others keep their integers.

    Args:
        model: the float graph the plan was made for.
        plan: see Plan.
        keep_float: node names, each with the reason.
        statistics: as for `make_plan`: a value that was inside of a fused pair may get parameters of its own.
    """
    refused = {_label(node): "" for node in model.graph if _label(node) not in plan.integer_nodes} | dict(keep_float)
    integer = _integer_nodes(model, refused)
    fused = _fused_clamps(model, integer)

    def choose(name: str) -> QuantParams:
        return plan.params.get(name) or choose_params(statistics[name].histogram, RangeRule(), plan.scheme)

    params = _choose_all(model, integer, fused, plan.scheme, choose)
    named = tuple(
        FloatLayer(_label(node), node.op_type, keep_float.get(_label(node), "no integer neighbour"))
        for node in model.graph
        if _label(node) in plan.integer_nodes - integer
    )
    return replace(
        plan,
        integer_nodes=frozenset(integer),
        fused_clamps=fused,
        params=params,
        float_layers=(*plan.float_layers, *named),
        weights={name: rounded for name, rounded in plan.weights.items() if name in integer},
    )


def _refusal(node: ir.Node) -> str | None:
    """Why an operator cannot run in integers whatever its ranges, or None."""
    operator = OPERATORS.get(node.op_type) if node.domain in {"", "ai.onnx"} else None
    kept = node.metadata_props.get(KEEP_FLOAT)
    if kept or is_control_flow(node):
        return kept or "what is inside of control flow is never quantized"
    if operator is None:
        return "operator is not in the operator table"
    if operator.quantization is QuantRule.FLOAT or operator.integer is None:
        return "operator has no integer rule"
    if node.op_type == "AveragePool" and any(d != 1 for d in node.attributes.get_ints("dilations", ())):
        return "ONNX Runtime cannot load dilated average pooling in integers"
    if any(value.name and value.dtype not in {ir.DataType.FLOAT, None} for value in node.outputs):
        return "one of its outputs is not float"
    if not node.inputs or node.inputs[0] is None or not _is_activation(node.inputs[0]):
        return "its input is not a float activation"
    if node.op_type in WEIGHTED:
        return _weight_refusal(node)
    return None


def _weight_refusal(node: ir.Node) -> str | None:
    weight = node.inputs[1]
    if weight is None or weight.const_value is None:
        return "its weights are not constant"
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and (bias.const_value is None or len(bias.const_value.shape) != 1):
        return "its bias is not a constant vector"
    return None


def _branch_refusal(node: ir.Node, statistics: Mapping[str, TensorStatistics]) -> str | None:
    if node.op_type in _BRANCHING:
        branches = [value for value in node.inputs if value is not None and _is_activation(value)]
    elif node.op_type == "Split":
        branches = list(node.outputs)
    else:
        return None
    spans = [span for value in branches if (span := _span(statistics.get(_name(value)))) > 0.0]
    if len(spans) < 2 or max(spans) <= MAX_BRANCH_RATIO * min(spans):
        return None
    return f"its branches' ranges differ by {max(spans) / min(spans):.3g}x (limit {MAX_BRANCH_RATIO:g}x)"


def _span(statistics: TensorStatistics | None) -> float:
    if statistics is None or statistics.histogram.count == 0:
        return 0.0
    return max(statistics.histogram.maximum, 0.0) - min(statistics.histogram.minimum, 0.0)


def _integer_nodes(model: ir.Model, refused: Mapping[str, str]) -> set[str]:
    """Weighted operators; then those that an integer operator stands before, and movers that one follows."""
    integer: set[str] = set()
    for node in model.graph:
        if _label(node) in refused:
            continue
        rule = OPERATORS[node.op_type].quantization
        if rule is QuantRule.COMPUTE or any(_label(p) in integer for p in node.predecessors()):
            integer.add(_label(node))
    for node in reversed(list(model.graph)):
        if _label(node) in refused or OPERATORS[node.op_type].quantization is not QuantRule.SHARED:
            continue
        if any(_label(follower) in integer for follower in node.successors()):
            integer.add(_label(node))
    return integer


def _fused_clamps(model: ir.Model, integer: Set[str]) -> dict[str, str]:
    """Clamps whose producer runs in integers and feeds nothing else: its output range does their work."""
    fused: dict[str, str] = {}
    for node in model.graph:
        if _label(node) not in integer or OPERATORS[node.op_type].quantization is not QuantRule.CLAMP:
            continue
        value = node.inputs[0]
        producer = value.producer() if value is not None else None
        if producer is None or _label(producer) not in integer or producer.op_type not in {*WEIGHTED, "Add"}:
            continue
        if value is not None and len(value.uses()) == 1 and not value.is_graph_output():
            fused[_label(node)] = _label(producer)
    return fused


def _choose_all(
    model: ir.Model,
    integer: Set[str],
    fused: Mapping[str, str],
    scheme: Scheme,
    choose: Callable[[str], QuantParams],
) -> dict[str, QuantParams]:
    params: dict[str, QuantParams] = {}

    def need(value: ir.Value | None) -> None:
        if value is not None and _is_activation(value) and _name(value) not in params:
            params[_name(value)] = choose(_name(value))

    for node in model.graph:
        if _label(node) not in integer:
            continue
        operator = OPERATORS[node.op_type]
        shared = operator.quantization is QuantRule.SHARED
        for value in node.inputs[:1] if shared or _label(node) in fused else node.inputs:
            if _label(node) not in fused:
                need(value)
        for value in node.outputs:
            if operator.fixed_output is not None:
                params[_name(value)] = _fixed_params(operator.fixed_output, scheme)
            elif shared and node.inputs[0] is not None:
                params[_name(value)] = params[_name(node.inputs[0])]
            elif not _feeds_fused_clamp(value, fused):
                need(value)
    return params


def _fixed_params(int8: tuple[float, int], scheme: Scheme) -> QuantParams:
    """A fixed output lies in [0, 1]: in 16 bits its scale is 2^-15, in symmetric 8 bits 2^-7."""
    if scheme.activation is DType.INT16:
        return QuantParams((2.0**-15,), (0,), DType.INT16)
    if scheme.symmetric:
        return QuantParams((2.0**-7,), (0,), DType.INT8)
    return QuantParams((int8[0],), (int8[1],), DType.INT8)


def _answers(model: ir.Model) -> set[str]:
    """Values that reach an output without passing a weighted operator.

    Their rare peaks are the model's answer (a detector's few high scores among thousands of low ones), so a range that
    trades peaks for a smaller mean error is wrong for them.
    """
    answers = {_name(value) for value in model.graph.outputs}
    for node in reversed(list(model.graph)):
        if node.op_type not in WEIGHTED and any(_name(value) in answers for value in node.outputs):
            answers |= {_name(value) for value in node.inputs if value is not None}
    read = {_name(v) for node in model.graph if node.op_type in WEIGHTED for v in node.inputs if v is not None}
    return answers - read


def _feeds_fused_clamp(value: ir.Value, fused: Mapping[str, str]) -> bool:
    return any(_label(user) in fused for user in value.consumers())


def _is_activation(value: ir.Value) -> bool:
    return value.const_value is None and value.dtype in {ir.DataType.FLOAT, None}


def _is_float_work(node: ir.Node) -> bool:
    """True when the node makes float values or looks at some; Shape and Size look at none."""
    read = () if node.op_type in {"Shape", "Size"} else node.inputs
    return any(value is not None and value.dtype is ir.DataType.FLOAT for value in (*read, *node.outputs))


def _label(node: ir.Node) -> str:
    if node.name is None:
        raise AssertionError(f"a {node.op_type} node has no name")
    return node.name


def _name(value: ir.Value) -> str:
    if value.name is None:
        raise AssertionError("a value has no name")
    return value.name
