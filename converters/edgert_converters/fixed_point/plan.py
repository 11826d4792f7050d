"""From a float graph and calibration data to a network in integers: formats first, then one step per node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert.errors import ModelError
from edgert_converters.control_flow import is_control_flow
from edgert_converters.fixed_point.exponents import best_formats
from edgert_converters.fixed_point.formats import FixedTensor, Format, Ints, quantize_tensor
from edgert_converters.fixed_point.magnitudes import Magnitudes, block_format, collect_magnitudes
from edgert_converters.fixed_point.network import PLAIN, FixedPointNetwork
from edgert_converters.fixed_point.step import Step, Value
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.nodes import build_attributes, read_opset
from edgert_converters.ops.spec import Array, AttributeValue, Node
from edgert_converters.quantize.calibrate import Samples

__all__ = ["PARAMETER_BITS", "Family", "Plan", "build_network", "describe"]

PARAMETER_BITS = 16
"""Of element-wise constants (factors, normalization scales) in every family: they are few and used everywhere."""


@dataclass(frozen=True, slots=True)
class Family:
    """A way to write tensors: `block` neighbours share an exponent along the channels, 0 for one per tensor.

    `headroom`: bits left free above the largest magnitude that calibration showed. `searches_exponents`: take those of
    least squared error instead of those that just hold the largest magnitude.
    """

    name: str
    bits: int
    block: int = 0
    headroom: int = 0
    searches_exponents: bool = False


@dataclass(slots=True)
class Plan:
    """What planning knows so far; steps are added in graph order."""

    family: Family
    magnitudes: Mapping[str, Magnitudes]
    arrays: dict[str, Array]
    formats: dict[str, Format] = field(default_factory=dict)
    constants: dict[str, Value] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def constant(self, value: ir.Value | None) -> Array | None:
        """Returns a node's input where it is a constant."""
        return None if value is None else self.arrays.get(value.name or "")

    def is_fixed(self, value: ir.Value) -> bool:
        """True for a value that holds numbers in fixed point, False for plain integers."""
        array = self.constant(value)
        return (value.name in self.formats) if array is None else np.issubdtype(array.dtype, np.floating)

    def add_constant(self, name: str, array: Array, form: Format) -> str:
        """Adds a constant in fixed point; returns its name."""
        self.constants[name] = quantize_tensor(array, form)
        self.formats[name] = form
        return name

    def add_parameter(self, name: str, array: Array, bits: int = PARAMETER_BITS) -> str:
        """Adds a constant operand in blocks along its last axis (or the longest, where the last is 1)."""
        array = np.asarray(array, np.float64)
        axis = _block_axis(array.shape) if self.family.block else None
        over = tuple(a for a in range(array.ndim) if a != axis)
        largest = np.abs(array).max(axis=over, keepdims=True, initial=0.0)
        return self.add_constant(name, array, block_format(np.asarray(largest), self.family.block, bits))

    def read(self, node: ir.Node, index: int) -> str | None:
        """Returns the name of input `index`; a constant is added the first time it is read."""
        value = node.inputs[index] if index < len(node.inputs) else None
        if value is None or not value.name:
            return None
        array = self.arrays.get(value.name)
        if array is not None and value.name not in self.constants:
            if np.issubdtype(array.dtype, np.floating):
                bits = self.family.bits if node.op_type == "Gather" else PARAMETER_BITS
                return self.add_parameter(value.name, array, bits)
            self.constants[value.name] = array
        return value.name

    def tensor(self, node: ir.Node, index: int) -> FixedTensor | Format:
        """Returns input `index`: a constant as a tensor, an activation by its format."""
        name = self.read(node, index)
        if name is None or name not in self.formats:
            raise ModelError(f"{node.op_type} needs numbers as input {index}", node=describe(node))
        constant = self.constants.get(name)
        return constant if isinstance(constant, FixedTensor) else self.formats[name]

    def format_of(self, node: ir.Node, index: int) -> Format:
        """Returns the format of input `index`."""
        found = self.tensor(node, index)
        return found.format if isinstance(found, FixedTensor) else found

    def shape_of(self, value: ir.Value | None) -> tuple[int, ...]:
        """Returns the shape of a value in the first calibration sample."""
        name = "" if value is None else value.name or ""
        return self.arrays[name].shape if name in self.arrays else self.magnitudes[name].shape

    def add_step(
        self,
        node: ir.Node,
        kernel: str,
        inputs: Iterable[str | None],
        data: Mapping[str, Array] | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        """Adds a step for `node`; its attributes are the node's own where none are given."""
        kept = build_attributes(node) if attributes is None else attributes
        used = max((i + 1 for i, v in enumerate(node.outputs) if v.name), default=0)
        outputs = tuple(v.name or "" for v in node.outputs[:used])
        integers = {key: _narrow(np.asarray(array, np.int64)) for key, array in (data or {}).items()}
        opset = read_opset(node)
        self.steps.append(Step(kernel, node.op_type, describe(node), tuple(inputs), outputs, kept, opset, integers))


def build_network(model: ir.Model, family: Family, samples: Samples) -> FixedPointNetwork:
    """Returns the network of `family` for a clean float graph.

    Args:
        model: the float graph, sorted; not changed.
        family: how tensors are written.
        samples: calibration inputs by name, batch 1; run through once, twice where exponents are searched.

    Raises:
        ModelError: the graph is quantized already, or a node is outside of what integers can do here (it is named).
        DataError: there are no samples, or a tensor holds NaN or an infinity.
    """
    from edgert_converters.fixed_point.rules import plan_node

    magnitudes = collect_magnitudes(model, samples(), per_channel=family.block > 0)
    plan = Plan(family, magnitudes, _constant_arrays(model))
    plan.formats.update(_activation_formats(model, plan, samples))
    for node in model.graph:
        if all(v.name in plan.arrays for v in node.outputs):
            continue
        _check_node(node)
        if any(v.name in plan.formats for v in node.outputs):
            plan_node(plan, node)
        else:
            _plan_plain(plan, node)
    return _finish(model, plan)


def _activation_formats(model: ir.Model, plan: Plan, samples: Samples) -> dict[str, Format]:
    family, magnitudes = plan.family, plan.magnitudes
    values = [*model.graph.inputs, *(v for node in model.graph for v in node.outputs)]
    numbers = {v.name: v for v in values if v.name and v.name in magnitudes and v.name not in plan.arrays}
    formats = {n: block_format(magnitudes[n].largest, family.block, family.bits, family.headroom) for n in numbers}
    if family.searches_exponents:
        searched = {name: form for name, form in formats.items() if not _is_compared(numbers[name])}
        formats.update(best_formats(model, searched, samples()))
    return {name: formats[_range_source(value, magnitudes)] for name, value in numbers.items()}


def _is_compared(value: ir.Value) -> bool:
    """True where the largest elements matter most: saturated scores would be equal."""
    return value.is_graph_output() or any(node.op_type == "Softmax" for node in value.consumers())


def describe(node: ir.Node) -> str:
    """Returns the node's name for messages: its own, or that of its first output."""
    return node.name or (node.outputs[0].name if node.outputs else "") or node.op_type


def _check_node(node: ir.Node) -> None:
    if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
        raise ModelError("fixed point starts from the float model; this one is quantized already", node=describe(node))
    if is_control_flow(node):
        raise ModelError(f"control flow ({node.op_type}) is not supported in fixed point", node=describe(node))


def _constant_arrays(model: ir.Model) -> dict[str, Array]:
    """Returns initializers and what nodes compute of constants alone, such as weights behind DequantizeLinear."""
    arrays = {n: _numpy(v.const_value) for n, v in model.graph.initializers.items() if v.const_value is not None}
    for node in model.graph:
        tensor = ir.convenience.get_const_tensor(node.outputs[0]) if node.outputs else None
        reads = [None if v is None else v.name or "" for v in node.inputs]
        if tensor is not None:
            arrays[node.outputs[0].name or ""] = _numpy(tensor)
        elif reads and all(name is None or name in arrays for name in reads) and node.op_type in OPERATORS:
            inputs = [None if name is None else arrays[name] for name in reads]
            results = OPERATORS[node.op_type].reference(_constant_view(node, inputs), inputs)
            arrays.update((v.name or "", y) for v, y in zip(node.outputs, results, strict=False))
    return arrays


def _numpy(tensor: ir.TensorProtocol) -> Array:
    return np.asarray(tensor.numpy())


def _constant_view(node: ir.Node, inputs: Sequence[Array | None]) -> Node:
    shapes = tuple(None if a is None else a.shape for a in inputs)
    outputs = ((),) * len(node.outputs)
    return Node(node.op_type, describe(node), build_attributes(node), shapes, outputs, {}, read_opset(node))


def _range_source(value: ir.Value, magnitudes: Mapping[str, Magnitudes]) -> str:
    """Returns whose magnitudes a value's format holds: those behind a Relu (or Clip from 0 on) that alone reads it.

    What saturates below is cut off there anyhow, and clamping keeps the order, so the output is the same.
    """
    name = value.name or ""
    uses = list(value.consumers())
    if len(uses) != 1 or value.is_graph_output() or not _cuts_negative(uses[0]):
        return name
    behind = uses[0].outputs[0].name or ""
    same = behind in magnitudes and magnitudes[behind].largest.shape == magnitudes[name].largest.shape
    return behind if same else name


def _cuts_negative(node: ir.Node) -> bool:
    if node.op_type != "Clip":
        return node.op_type == "Relu"
    low = node.inputs[1] if len(node.inputs) > 1 else None
    tensor = None if low is None else ir.convenience.get_const_tensor(low)
    return tensor is not None and float(tensor.numpy().reshape(-1)[0]) >= 0


def _plan_plain(plan: Plan, node: ir.Node) -> None:
    """Adds a step on shapes or indices."""
    reads_numbers = any(plan.is_fixed(v) for v in node.inputs if v is not None and v.name)
    if reads_numbers and node.op_type not in {"Shape", "Size"}:
        raise ModelError(
            f"{node.op_type} makes indices or truth values of numbers, which fixed point does not support; "
            "cut the graph before it",
            node=describe(node),
        )
    plan.add_step(node, PLAIN, [plan.read(node, i) for i in range(len(node.inputs))])


def _finish(model: ir.Model, plan: Plan) -> FixedPointNetwork:
    used = {name for step in plan.steps for name in (*step.inputs, *step.outputs)}
    inputs = tuple(v.name or "" for v in model.graph.inputs if v.name not in model.graph.initializers)
    outputs = tuple(v.name or "" for v in model.graph.outputs)
    keep = {*used, *inputs, *outputs}
    return FixedPointNetwork(
        plan.family.name,
        inputs,
        outputs,
        {name: form for name, form in plan.formats.items() if name in keep},
        {name: value for name, value in plan.constants.items() if name in keep},
        tuple(plan.steps),
    )


def _block_axis(shape: tuple[int, ...]) -> int | None:
    if not shape:
        return None
    return len(shape) - 1 if shape[-1] > 1 else int(np.argmax(shape))


def _narrow(array: NDArray[np.int64]) -> Ints:
    """Returns the array in the smallest of int16 and int32 that holds it."""
    fits = np.iinfo(np.int16).min <= array.min(initial=0) and array.max(initial=0) <= np.iinfo(np.int16).max
    return array.astype(np.int16 if fits else np.int32)
