"""The integer interpreter: executes a QDQ model in numpy by the numerics contract (docs/numerics.md).

Integer units (units.find_units) run in the operator table's integer rules; every other node runs in float between real
DequantizeLinear and QuantizeLinear. It is the judge that engines are compared with, so it is exact before it is fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from edgert.errors import DataError, ModelError, did_you_mean
from edgert.quant import QuantParams
from edgert_converters.control_flow import captured_values, is_control_flow
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.clamp import clamp_integers
from edgert_converters.ops.nodes import build_attributes, read_opset
from edgert_converters.ops.spec import Array, AttributeValue, IntegerRule, Node, Operator, QTensor
from edgert_converters.requantize import Requantize, read_requantize
from edgert_converters.subgraphs import load_control_flow
from edgert_converters.units import (
    IntegerUnit,
    constant_inputs,
    dequantizer_of,
    find_units,
    has_static_params,
    is_standard,
    static_params,
)

__all__ = ["Interpretation", "Interpreter"]

Environment = dict[str, Array]
_BODY_IR_VERSION = 10
"""A model must state one; nothing reads it."""


@dataclass(frozen=True, slots=True)
class Interpretation:
    """What one run gave.

    `quantized` holds every QuantizeLinear output by value name when the run kept them. `units` names the integer units
    in execution order.
    """

    outputs: dict[str, Array]
    quantized: dict[str, QTensor]
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Step:
    """One thing to execute, the values it reads and the values it leaves."""

    execute: Callable[[Environment], None]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    dies: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Template:
    """What is known about a node before it runs."""

    node: ir.Node
    attributes: Mapping[str, AttributeValue]
    opset: int

    def bind(self, inputs: Sequence[Array | QTensor | None]) -> Node:
        """Returns the table's node for these inputs; one empty output shape per output up to the last used."""
        plain = [v.values if isinstance(v, QTensor) else v for v in inputs]
        shapes = tuple(None if v is None else v.shape for v in plain)
        used = max((i + 1 for i, v in enumerate(self.node.outputs) if v.name), default=0)
        return Node(self.node.op_type, _name(self.node), self.attributes, shapes, ((),) * used, {}, self.opset)


class Interpreter:
    """Executes one model; a plan is made once, runs are independent of each other."""

    def __init__(self, model: ir.Model) -> None:
        """Plans the execution of `model`, whose graph is sorted; the model is not changed.

        Raises:
            ModelError: an operator is not in the table (the node is named), or an attribute cannot be read.
        """
        graph = model.graph
        self.requantize: Requantize = read_requantize(model)
        self.units: tuple[IntegerUnit, ...] = find_units(graph)
        self._inputs = tuple(_name_of(v) for v in graph.inputs if v.name not in graph.initializers)
        self._outputs = tuple(_name_of(v) for v in graph.outputs)
        self._constants = {n: v.const_value for n, v in graph.initializers.items() if v.const_value is not None}
        self._params: dict[str, QuantParams] = {}
        self._steps = self._plan(graph)
        _mark_deaths(self._steps, self._outputs)

    def run(self, inputs: Mapping[str, Array], *, keep_quantized: bool = False) -> Interpretation:
        """Runs the model on arrays by input name.

        Values are freed when nothing reads them any more, unless `keep_quantized` asks for every QuantizeLinear output.

        Raises:
            DataError: an input is missing or unknown.
            ModelError: a node cannot be executed with the shapes or parameters it got.
        """
        self._check_inputs(inputs)
        environment: Environment = {name: np.asarray(inputs[name]) for name in self._inputs}
        for name, tensor in self._constants.items():
            environment[name] = np.asarray(tensor.numpy())
        kept: dict[str, QTensor] = {}
        outputs = self._execute(environment, kept if keep_quantized else None)
        return Interpretation(outputs, kept, tuple(unit.name for unit in self.units))

    def run_body(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """Runs a graph inside another: `given` holds its inputs and what it reads from outside, by name."""
        constants = {name: np.asarray(tensor.numpy()) for name, tensor in self._constants.items()}
        return self._execute({**constants, **given}, None)

    def _execute(self, environment: Environment, kept: dict[str, QTensor] | None) -> dict[str, Array]:
        for step in self._steps:
            with np.errstate(all="ignore"):  # masks of minus infinity give NaN in engines too, without a word
                step.execute(environment)
            if kept is not None:
                kept.update({n: QTensor(environment[n], self._params[n]) for n in step.writes if n in self._params})
            for name in step.dies:
                environment.pop(name, None)
        return {name: environment[name] for name in self._outputs}

    def _check_inputs(self, inputs: Mapping[str, Array]) -> None:
        for name in inputs:
            if name not in self._inputs:
                raise DataError(f"the model has no input {name!r}{did_you_mean(name, self._inputs)}")
        missing = [name for name in self._inputs if name not in inputs]
        if missing:
            raise DataError(f"input {missing[0]!r} is missing; the model reads: {', '.join(self._inputs)}")

    def _plan(self, graph: ir.Graph) -> list[_Step]:
        by_node = {unit.node: unit for unit in self.units}
        absorbed = {node for unit in self.units for node in unit.absorbed}
        steps = []
        for node in graph:
            _require_known(node)
            if node in absorbed or _is_unread_dequantizer(node, by_node):
                continue
            if is_control_flow(node):
                steps.append(_plan_control_flow(node))
            else:
                steps.append(self._plan_unit(by_node[node]) if node in by_node else self._plan_float(node))
        return steps

    def _plan_float(self, node: ir.Node) -> _Step:
        template = _make_template(node)
        reads = [v.name if v is not None else None for v in node.inputs]
        targets = [v.name or None for v in node.outputs]
        writes = [name for name in targets if name is not None]
        reference = OPERATORS[node.op_type].reference
        if is_standard(node, "QuantizeLinear") and has_static_params(node):
            self._params[writes[0]] = static_params(node)

        def execute(environment: Environment) -> None:
            arrays = [None if name is None else environment[name] for name in reads]
            results = _guarded(node, lambda: reference(template.bind(arrays), arrays))
            # an output without a name is computed and dropped
            environment.update((n, y) for n, y in zip(targets, results, strict=False) if n is not None)

        return _Step(execute, tuple(n for n in reads if n is not None), tuple(writes))

    def _plan_unit(self, unit: IntegerUnit) -> _Step:
        template = _make_template(unit.node)
        sources = [_source_of(value) for value in unit.node.inputs]
        params = [static_params(node) for node in unit.quantize]
        writes = [_name_of(node.outputs[0]) for node in unit.quantize]
        clamps = [[_make_template(node) for node in chain] for chain in unit.clamps]
        limits = [[constant_inputs(node) for node in chain] for chain in unit.clamps]
        self._params.update(zip(writes, params, strict=True))
        rule = _integer_rule(OPERATORS[unit.op], self.requantize)

        def execute(environment: Environment) -> None:
            inputs = [None if source is None else source.read(environment) for source in sources]
            results = _guarded(unit.node, lambda: rule(template.bind(inputs), inputs, params))
            for name, result, chain, given in zip(writes, results, clamps, limits, strict=True):
                for clamp, values in zip(chain, given, strict=True):
                    result = clamp_integers(clamp.bind([result, *values]), values, result, self.requantize)  # noqa: PLW2901  # a fold
                environment[name] = result.values

        reads = tuple(source.name for source in sources if source is not None)
        return _Step(execute, reads, tuple(writes))


def _integer_rule(spec: Operator, mode: Requantize) -> IntegerRule:
    rule = spec.integer_q31 if mode is Requantize.Q31 and spec.integer_q31 is not None else spec.integer
    if rule is None:
        raise AssertionError(f"{spec.op_type} was taken for an integer unit without an integer rule")
    return rule


def _plan_control_flow(node: ir.Node) -> _Step:
    reads = [v.name if v is not None else None for v in node.inputs]
    captured = tuple(_name_of(v) for v in captured_values(node))
    targets = [v.name or None for v in node.outputs]
    run = load_control_flow(node, lambda body: Interpreter(ir.Model(body, ir_version=_BODY_IR_VERSION)).run_body)

    def execute(environment: Environment) -> None:
        arrays = [None if name is None else environment[name] for name in reads]
        outside = {name: environment[name] for name in captured}
        results = _guarded(node, lambda: run(arrays, outside))
        environment.update((n, y) for n, y in zip(targets, results, strict=True) if n is not None)

    return _Step(execute, tuple(n for n in (*reads, *captured) if n), tuple(n for n in targets if n is not None))


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a unit's input comes from: integers behind DequantizeLinear, or a plain value."""

    name: str
    node: ir.Node | None

    def read(self, environment: Environment) -> QTensor | Array:
        values = environment[self.name]
        if self.node is None:
            return values
        return QTensor(values, static_params(self.node, values.ndim))


def _source_of(value: ir.Value | None) -> _Source | None:
    if value is None:
        return None
    node = dequantizer_of(value)
    if node is None or node.inputs[0] is None:
        return _Source(_name_of(value), None)
    return _Source(_name_of(node.inputs[0]), node)


def _make_template(node: ir.Node) -> _Template:
    return _Template(node, build_attributes(node), read_opset(node))


def _require_known(node: ir.Node) -> None:
    spec, domain = OPERATORS.get(node.op_type), "" if node.domain == "ai.onnx" else node.domain
    if spec is not None and spec.domain == domain:
        return
    if domain:
        raise ModelError(f"operator {node.domain}::{node.op_type} is not supported", node=_name(node))
    if not is_control_flow(node):
        near = did_you_mean(node.op_type, OPERATORS)
        raise ModelError(f"operator {node.op_type!r} is not supported{near}", node=_name(node))


def _is_unread_dequantizer(node: ir.Node, units: Mapping[ir.Node, IntegerUnit]) -> bool:
    """True for a DequantizeLinear that only integer units read: they take its integers."""
    if not is_standard(node, "DequantizeLinear") or dequantizer_of(node.outputs[0]) is None:
        return False
    value = node.outputs[0]
    return not value.is_graph_output() and all(use.node in units for use in value.uses())


def _mark_deaths(steps: list[_Step], keep: Iterable[str]) -> None:
    alive = set(keep)
    for step in reversed(steps):
        for name in {*step.reads, *step.writes}:
            if name not in alive:
                alive.add(name)
                step.dies.append(name)


def _guarded(node: ir.Node, compute: Callable[[], Any]) -> Any:  # Any: list[Array] or list[QTensor]
    """Runs one rule; what numpy cannot compute (shapes that do not fit) becomes a ModelError with the node's name."""
    try:
        return compute()
    except (ValueError, IndexError, TypeError) as e:
        raise ModelError(f"{node.op_type} cannot be executed: {e}", node=_name(node)) from e


def _name(node: ir.Node) -> str:
    return node.name or (node.outputs[0].name if node.outputs else "") or node.op_type


def _name_of(value: ir.Value) -> str:
    if value.name is None:
        raise ModelError("a value has no name")
    return value.name
