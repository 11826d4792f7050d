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
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import QuantRule
from edgert_converters.quantize.crossings import needless_integers
from edgert_converters.quantize.ranges import RangeRule, choose_params
from edgert_converters.quantize.refusals import branch_refusal, is_activation, label_of, name_of, refusal
from edgert_converters.quantize.resolution import coarse_nodes
from edgert_converters.quantize.scheme import INT8, Scheme
from edgert_converters.quantize.statistics import TensorStatistics
from edgert_converters.quantize.weighted import WEIGHTED
from edgert_converters.quantize.weights import QuantizedWeights

__all__ = [
    "FloatLayer",
    "Plan",
    "integer_nodes",
    "make_plan",
    "restrict_plan",
    "values_to_watch",
]


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
        if refusal(node) is None:
            for value in (*node.inputs, *node.outputs):
                if value is not None and is_activation(value):
                    names[name_of(value)] = None
    return tuple(names)


def integer_nodes(model: ir.Model) -> frozenset[str]:
    """Returns the names of the nodes that run in integers as long as no range forbids it."""
    refused = {label_of(node): reason for node in model.graph if (reason := refusal(node)) is not None}
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
        coarse_stays_float: what 8 bits hold too coarsely stays float (resolution.py), and what only makes values cross
            between integers and float (crossings.py).
    """
    refused = {label_of(node): reason for node in model.graph if (reason := refusal(node)) is not None}
    refused |= dict.fromkeys(keep_float, "kept float on request")
    if scheme.activation is not DType.INT16:
        for node in model.graph:
            reason = None if label_of(node) in refused else branch_refusal(node, statistics)
            if reason is not None:
                refused[label_of(node)] = reason
    answers = _answers(model)

    def choose(name: str) -> QuantParams:
        rule = RangeRule(RangeMethod.MIN_MAX) if name in answers else ranges
        return choose_params(statistics[name].histogram, rule, scheme)

    if coarse_stays_float and scheme.activation is DType.INT8:
        refused |= coarse_nodes(model, statistics, scheme, refused.keys(), answers)
    integer = _integer_nodes(model, refused)
    if coarse_stays_float:
        while needless := needless_integers(model, integer):
            refused |= needless
            integer = _integer_nodes(model, refused)
    fused = _fused_clamps(model, integer)
    params = _choose_all(model, integer, fused, scheme, choose)
    named = tuple(
        FloatLayer(label_of(node), node.op_type, refused.get(label_of(node), "no integer neighbour"))
        for node in model.graph
        if label_of(node) not in integer and _is_float_work(node)
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
    refused = {label_of(node): "" for node in model.graph if label_of(node) not in plan.integer_nodes} | dict(
        keep_float
    )
    integer = _integer_nodes(model, refused)
    fused = _fused_clamps(model, integer)

    def choose(name: str) -> QuantParams:
        return plan.params.get(name) or choose_params(statistics[name].histogram, RangeRule(), plan.scheme)

    params = _choose_all(model, integer, fused, plan.scheme, choose)
    named = tuple(
        FloatLayer(label_of(node), node.op_type, keep_float.get(label_of(node), "no integer neighbour"))
        for node in model.graph
        if label_of(node) in plan.integer_nodes - integer
    )
    return replace(
        plan,
        integer_nodes=frozenset(integer),
        fused_clamps=fused,
        params=params,
        float_layers=(*plan.float_layers, *named),
        weights={name: rounded for name, rounded in plan.weights.items() if name in integer},
    )


def _integer_nodes(model: ir.Model, refused: Mapping[str, str]) -> set[str]:
    """Weighted operators; then those that an integer operator stands before, and movers that one follows."""
    integer: set[str] = set()
    for node in model.graph:
        if label_of(node) in refused:
            continue
        rule = OPERATORS[node.op_type].quantization
        if rule is QuantRule.COMPUTE or any(label_of(p) in integer for p in node.predecessors()):
            integer.add(label_of(node))
    for node in reversed(list(model.graph)):
        if label_of(node) in refused or OPERATORS[node.op_type].quantization is not QuantRule.SHARED:
            continue
        if any(label_of(follower) in integer for follower in node.successors()):
            integer.add(label_of(node))
    return integer


def _fused_clamps(model: ir.Model, integer: Set[str]) -> dict[str, str]:
    """Clamps whose producer runs in integers and feeds nothing else: its output range does their work."""
    fused: dict[str, str] = {}
    for node in model.graph:
        if label_of(node) not in integer or OPERATORS[node.op_type].quantization is not QuantRule.CLAMP:
            continue
        value = node.inputs[0]
        producer = value.producer() if value is not None else None
        if producer is None or label_of(producer) not in integer or producer.op_type not in {*WEIGHTED, "Add"}:
            continue
        if value is not None and len(value.uses()) == 1 and not value.is_graph_output():
            fused[label_of(node)] = label_of(producer)
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
        if value is not None and is_activation(value) and name_of(value) not in params:
            params[name_of(value)] = choose(name_of(value))

    for node in model.graph:
        if label_of(node) not in integer:
            continue
        operator = OPERATORS[node.op_type]
        shared = operator.quantization is QuantRule.SHARED
        for value in node.inputs[:1] if shared or label_of(node) in fused else node.inputs:
            if label_of(node) not in fused:
                need(value)
        for value in node.outputs:
            if operator.fixed_output is not None:
                params[name_of(value)] = _fixed_params(operator.fixed_output, scheme)
            elif shared and node.inputs[0] is not None:
                params[name_of(value)] = params[name_of(node.inputs[0])]
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
    answers = {name_of(value) for value in model.graph.outputs}
    for node in reversed(list(model.graph)):
        if node.op_type not in WEIGHTED and any(name_of(value) in answers for value in node.outputs):
            answers |= {name_of(value) for value in node.inputs if value is not None}
    read = {name_of(v) for node in model.graph if node.op_type in WEIGHTED for v in node.inputs if v is not None}
    return answers - read


def _feeds_fused_clamp(value: ir.Value, fused: Mapping[str, str]) -> bool:
    return any(label_of(user) in fused for user in value.consumers())


def _is_float_work(node: ir.Node) -> bool:
    """True when the node makes float values or looks at some; Shape and Size look at none."""
    read = () if node.op_type in {"Shape", "Size"} else node.inputs
    return any(value is not None and value.dtype is ir.DataType.FLOAT for value in (*read, *node.outputs))
