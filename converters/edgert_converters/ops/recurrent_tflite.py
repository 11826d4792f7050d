"""UNIDIRECTIONAL_SEQUENCE_LSTM as an LSTM, and LSTM, GRU and RNN as one group of TFLite operators per step.

TFLite's own operator keeps its state from one run to the next, ONNX's starts afresh, so nothing is written as it; read,
its state starts at zero in every run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from edgert.dtypes import DType
from edgert_converters.ops.attributes import get_int, get_str
from edgert_converters.ops.spec import Array, TfliteReader, TfliteWriter
from edgert_converters.tflite.formula import Formula
from edgert_converters.tflite.schema import ACTIVATIONS

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["RECURRENT_READERS", "RECURRENT_WRITERS"]

# positions of TFLite's inputs for the gates input, output, forget and cell, which is ONNX's order
_WEIGHTS, _RECURRENT, _PEEPHOLES, _BIASES = (1, 4, 2, 3), (5, 8, 6, 7), (9, 11, 10), (12, 15, 13, 14)
_PROJECTION, _LAYER_NORM = (16, 17), (20, 21, 22, 23)
_MOST_STEPS: Final = 128
"""Beyond, the file would hold thousands of operators."""


def read_lstm(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds an LSTM; without an input gate its weights are those of the forget gate negated: 1 - f(x) = f(-x)."""
    for position in (*_PROJECTION, *_LAYER_NORM):
        if _index(operator, position) != -1:
            raise graph.error(operator, "projection and layer normalization have no place in ONNX's LSTM")
    if operator.options.get("cell_clip") or operator.options.get("proj_clip"):
        raise graph.error(operator, "ONNX clips other values than TFLite; files with cell_clip are not supported")
    if graph.tensor(operator.inputs[0]).dtype is not DType.FLOAT:
        raise graph.error(operator, "only its float form is supported; its integer form has a state of 16 bits")
    function = _function(operator, graph)
    w, r = (_stacked(operator, graph, positions) for positions in (_WEIGHTS, _RECURRENT))
    hidden = r.shape[1]
    bias = np.concatenate([_stacked(operator, graph, _BIASES), np.zeros(4 * hidden, np.float32)])
    inputs = [graph.initializer(name, value[None]) for name, value in (("w", w), ("r", r), ("b", bias))]
    arguments: list[ir.Value | None] = [_steps(operator, graph), *inputs]
    if _index(operator, _PEEPHOLES[1]) != -1:
        peepholes = _stacked(operator, graph, _PEEPHOLES)
        arguments += [None, None, None, graph.initializer("p", peepholes[None])]
    y = graph.add("LSTM", arguments, {"hidden_size": hidden, "activations": ["Sigmoid", function, function]})
    steps = graph.add("Squeeze", [y, graph.ints([1])])
    graph.finish(operator, steps, (0, 1, 2) if operator.options.get("time_major") else (1, 0, 2), activation="NONE")


def _steps(operator: TfOperator, graph: ImportGraph) -> ir.Value:
    """Returns the input as [steps, batch, features]."""
    return graph.ordered(operator.inputs[0], (0, 1, 2) if operator.options.get("time_major") else (1, 0, 2))


def _index(operator: TfOperator, position: int) -> int:
    return operator.inputs[position] if position < len(operator.inputs) else -1


def _function(operator: TfOperator, graph: ImportGraph) -> str:
    number = operator.options.get("fused_activation_function", 0)
    name = ACTIVATIONS[number] if isinstance(number, int) and number < len(ACTIVATIONS) else str(number)
    if name not in {"TANH", "RELU"}:
        raise graph.error(operator, f"its activation is {name}; supported: TANH, RELU")
    return name.capitalize()


def _stacked(operator: TfOperator, graph: ImportGraph, positions: tuple[int, ...]) -> Array:
    parts: list[Array] = []
    for position in positions:
        index = _index(operator, position)
        negated = index == -1 and position == positions[0]
        array = graph.real_constant(_index(operator, positions[2]) if negated else index)
        if array is None:
            raise graph.error(operator, f"input {position} must be a constant; the model computes it")
        numbers = np.asarray(array, np.float32)
        parts.append(-numbers if negated else numbers)
    return np.concatenate(parts)


def write_recurrent(node: ir.Node, graph: ExportGraph) -> None:
    """Writes the steps of an LSTM, GRU or RNN with its default activations, one after another."""
    formula = Formula(node, graph)
    _check(formula)
    _Unrolled(formula).write()


def _check(formula: Formula) -> None:
    node, graph, spec = formula.node, formula.graph, formula.spec
    if any(index not in spec.constants for index in (1, 2)):
        raise graph.unsupported(node, "its weights are computed; a file needs constant ones")
    for index, name in ((4, "sequence lengths"), (7, "peepholes")):
        if index < len(node.inputs) and node.inputs[index] is not None:
            raise graph.unsupported(node, f"{name} are not written")
    for name in ("activations", "clip", "layout", "input_forget"):
        if spec.attributes.get(name):
            raise graph.unsupported(node, f"attribute {name!r} is not written")
    if graph.batched_shape((1,)) != (1,):
        raise graph.unsupported(
            node, "it is written for one batch size, the model's batch may vary; fix the batch first"
        )
    steps = graph.shape(node.inputs[0])[0]
    if steps > _MOST_STEPS:
        raise graph.unsupported(node, f"it has {steps} steps, which become as many groups; at most {_MOST_STEPS}")


class _Unrolled:
    """Writes the steps of one node; every int is a tensor."""

    def __init__(self, formula: Formula) -> None:
        self.f = formula
        spec = formula.spec
        self.steps, self.batch, _ = formula.graph.shape(formula.node.inputs[0])
        self.hidden = spec.constants[2].shape[2]
        self.reset_after = get_int(spec, "linear_before_reset", 0) != 0

    def write(self) -> None:
        f, node = self.f, self.f.node
        direction = get_str(f.spec, "direction", "forward")
        x = f.graph.plain(node, 0)
        runs = [self._run(x, index, index == 1 or direction == "reverse") for index in range(self._directions)]
        outputs = [self._stack([steps for steps, _ in runs])]
        outputs += [self._joined([states[k] for _, states in runs]) for k in range(len(runs[0][1]))]
        for position, value in enumerate(node.outputs):
            if value.name:
                f.finish(outputs[position], output=position)

    @property
    def _directions(self) -> int:
        return int(self.f.spec.constants[1].shape[0])

    def _stack(self, runs: list[list[int]]) -> int:
        """Returns [steps, directions, batch, hidden] of the steps of each direction."""
        shape = (1, 1, self.batch, self.hidden)
        rows = [self._concat([self.f.reshaped(run[t], shape) for run in runs], 1) for t in range(self.steps)]
        return self._concat(rows, 0)

    def _joined(self, states: list[int]) -> int:
        return self._concat([self.f.reshaped(state, (1, self.batch, self.hidden)) for state in states], 0)

    def _concat(self, parts: list[int], axis: int) -> int:
        if len(parts) == 1:
            return parts[0]
        shape = list(self.f.shape(parts[0]))
        shape[axis] = sum(self.f.shape(part)[axis] for part in parts)
        return self.f.apply("CONCATENATION", *parts, shape=shape, axis=axis)

    def _product(self, x: int, weights: Array, bias: Array) -> int:
        """Returns x [n, k] times the transpose of weights [m, k], plus bias."""
        shape = (self.f.shape(x)[0], weights.shape[0])
        operands = (x, self.f.numbers(weights), self.f.numbers(bias))
        return self.f.apply("FULLY_CONNECTED", *operands, shape=shape)

    def _slice(self, x: int, start: tuple[int, int], size: tuple[int, int]) -> int:
        if size == self.f.shape(x):
            return x
        return self.f.apply("SLICE", x, self.f.numbers(start), self.f.numbers(size), shape=size, dtype=DType.FLOAT)

    def _run(self, x: int, direction: int, backwards: bool) -> tuple[list[int], tuple[int, ...]]:
        """Returns the output of every step, in the order of the input, and the last states."""
        f, spec = self.f, self.f.spec
        w, r = spec.constants[1][direction], spec.constants[2][direction]
        rows = w.shape[0]
        bias = spec.constants[3][direction] if 3 in spec.constants else np.zeros(2 * rows, np.float32)
        flat = f.reshaped(x, (self.steps * self.batch, w.shape[1]))
        projected = self._product(flat, w, bias[:rows])
        states = self._initial(direction)
        outputs = [0] * self.steps
        for t in reversed(range(self.steps)) if backwards else range(self.steps):
            part = self._slice(projected, (t * self.batch, 0), (self.batch, rows))
            states = self._step(part, states, r, bias[rows:])
            outputs[t] = states[0]
        return outputs, states

    def _initial(self, direction: int) -> tuple[int, ...]:
        f, node = self.f, self.f.node
        found = []
        for position in (5, 6)[: 2 if node.op_type == "LSTM" else 1]:
            if position >= len(node.inputs) or node.inputs[position] is None:
                found.append(f.numbers(np.zeros((self.batch, self.hidden), np.float32)))
                continue
            shape = (self._directions * self.batch, self.hidden)
            flat = f.reshaped(f.graph.plain(node, position), shape)
            found.append(self._slice(flat, (direction * self.batch, 0), (self.batch, self.hidden)))
        return tuple(found)

    def _gate(self, x: int, number: int) -> int:
        return self._slice(x, (0, number * self.hidden), (self.batch, self.hidden))

    def _step(self, x: int, states: tuple[int, ...], r: Array, bias: Array) -> tuple[int, ...]:
        f = self.f
        if f.node.op_type == "GRU":
            return self._gru(x, states[0], r, bias)
        total = f.apply("ADD", x, self._product(states[0], r, bias))
        if f.node.op_type == "RNN":
            return (f.apply("TANH", total),)
        take, give, keep = (f.apply("LOGISTIC", self._gate(total, number)) for number in range(3))
        new = f.apply("TANH", self._gate(total, 3))
        memory = f.apply("ADD", f.apply("MUL", keep, states[1]), f.apply("MUL", take, new))
        return f.apply("MUL", give, f.apply("TANH", memory)), memory

    def _gru(self, x: int, hidden: int, r: Array, bias: Array) -> tuple[int, ...]:
        f, size = self.f, 2 * self.hidden
        gates = f.apply("ADD", self._slice(x, (0, 0), (self.batch, size)), self._product(hidden, r[:size], bias[:size]))
        update, reset = (f.apply("LOGISTIC", self._gate(gates, number)) for number in range(2))
        if self.reset_after:
            recurrent = f.apply("MUL", reset, self._product(hidden, r[size:], bias[size:]))
        else:
            recurrent = self._product(f.apply("MUL", reset, hidden), r[size:], bias[size:])
        candidate = f.apply("TANH", f.apply("ADD", self._gate(x, 2), recurrent))
        kept = f.apply("MUL", update, f.apply("SUB", hidden, candidate))
        return (f.apply("ADD", candidate, kept),)


RECURRENT_READERS: Final[Mapping[str, Mapping[str, TfliteReader]]] = {
    "LSTM": {"UNIDIRECTIONAL_SEQUENCE_LSTM": read_lstm},
}
"""By ONNX operator."""

RECURRENT_WRITERS: Final[Mapping[str, TfliteWriter]] = {
    "GRU": write_recurrent,
    "LSTM": write_recurrent,
    "RNN": write_recurrent,
}
"""By ONNX operator."""
