"""LSTM, GRU and RNN: every direction, sequence lengths, initial states, clip, peepholes, activations. Float only.

The operators stay float: their state is fed back through many steps, and ONNX has no quantized form of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgert.errors import ModelError
from edgert_converters.ops.attributes import get_float, get_int, get_str, require_input
from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.recurrent_activations import Activation, build_activations
from edgert_converters.ops.recurrent_tflite import RECURRENT_READERS, RECURRENT_WRITERS
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, AttributeValue, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPECS"]

Float64 = NDArray[np.float64]
States = tuple[Float64, ...]
_GATES: Final = {"RNN": 1, "GRU": 3, "LSTM": 4}
_DEFAULTS: Final = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}


@dataclass(frozen=True, slots=True)
class _Cell:
    """The weights of one direction, in float64, and what its step needs.

    w [gates * H, I], r [gates * H, H], b_w and b_r [gates * H], peepholes [3 * H] (LSTM).
    """

    w: Float64
    r: Float64
    b_w: Float64
    b_r: Float64
    peepholes: Float64
    functions: tuple[Activation, ...]
    linear_before_reset: bool
    input_forget: bool


Step = Callable[[_Cell, Float64, States], States]


def macs(node: Node) -> int:
    """Returns steps times batch times the elements of W and R of every direction."""
    x, w, r = node.input_shapes[:3]
    if x is None or w is None or r is None:
        return 0
    weights = int(np.prod(w, dtype=np.int64)) + int(np.prod(r, dtype=np.int64))
    return x[0] * x[1] * weights


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns Y, Y_h and (LSTM) Y_c, in float64 and rounded once to x's type.

    Steps beyond a sample's sequence length give zeros in Y and leave its state.
    """
    x, w = require_input(node, inputs, 0), require_input(node, inputs, 1)
    batch_first = get_int(node, "layout", 0) == 1
    steps = np.swapaxes(x, 0, 1) if batch_first else x
    count, batch = steps.shape[:2]
    given = inputs[4] if len(inputs) > 4 else None
    lengths = np.full(batch, count) if given is None else given.astype(np.int64)
    initial = _initial_states(node, inputs, batch, batch_first)
    direction = get_str(node, "direction", "forward")
    outputs: list[Float64] = []
    finals: list[States] = []
    for index in range(w.shape[0]):
        backwards = direction == "reverse" or index == 1
        order = _order(count, lengths, backwards)
        ordered = np.take_along_axis(steps.astype(np.float64), order[:, :, None], axis=0)
        states = tuple(state[index] for state in initial)
        y, last = _run(_STEPS[node.op_type], _build_cell(node, inputs, index), ordered, lengths, states)
        outputs.append(np.take_along_axis(y, order[:, :, None], axis=0))
        finals.append(last)
    results = [np.stack(outputs, axis=1), *(np.stack(state) for state in zip(*finals, strict=True))]
    if batch_first:
        results = [results[0].transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in results[1:])]
    return [y.astype(x.dtype) for y in results][: len(node.output_shapes)]


def _order(count: int, lengths: NDArray[np.int64], backwards: bool) -> NDArray[np.int64]:
    """Returns which step each sample takes when, [count, batch]; its own inverse."""
    forward = np.repeat(np.arange(count)[:, None], lengths.size, axis=1)
    return np.where(forward < lengths, lengths - 1 - forward, forward) if backwards else forward


def _run(step: Step, cell: _Cell, x: Float64, lengths: NDArray[np.int64], states: States) -> tuple[Float64, States]:
    # one product for all steps; only the recurrent part depends on the step before
    projected = x @ cell.w.T + cell.b_w
    y = np.zeros((*x.shape[:2], cell.r.shape[1]))
    for time in range(x.shape[0]):
        alive = (time < lengths)[:, None]
        new = step(cell, projected[time], states)
        states = tuple(np.where(alive, now, before) for now, before in zip(new, states, strict=True))
        y[time] = np.where(alive, states[0], 0.0)
    return y, states


def _rnn_step(cell: _Cell, x: Float64, states: States) -> States:
    return (cell.functions[0](x + states[0] @ cell.r.T + cell.b_r),)


def _gru_step(cell: _Cell, x: Float64, states: States) -> States:
    hidden = states[0]
    size = hidden.shape[1]
    f, g = cell.functions
    gates = f(x[:, : 2 * size] + hidden @ cell.r[: 2 * size].T + cell.b_r[: 2 * size])
    update, reset = gates[:, :size], gates[:, size:]
    r, b = cell.r[2 * size :], cell.b_r[2 * size :]
    recurrent = reset * (hidden @ r.T + b) if cell.linear_before_reset else (reset * hidden) @ r.T + b
    candidate = g(x[:, 2 * size :] + recurrent)
    return ((1 - update) * candidate + update * hidden,)


def _lstm_step(cell: _Cell, x: Float64, states: States) -> States:
    hidden, memory = states
    f, g, h = cell.functions
    take, give, keep, new = np.split(x + hidden @ cell.r.T + cell.b_r, 4, axis=1)
    p_take, p_give, p_keep = np.split(cell.peepholes, 3)
    taken = f(take + p_take * memory)
    kept = 1 - taken if cell.input_forget else f(keep + p_keep * memory)
    memory = kept * memory + taken * g(new)
    return f(give + p_give * memory) * h(memory), memory


_STEPS: Final[dict[str, Step]] = {"RNN": _rnn_step, "GRU": _gru_step, "LSTM": _lstm_step}


def _build_cell(node: Node, inputs: Sequence[Array | None], index: int) -> _Cell:
    w, r = (require_input(node, inputs, i)[index].astype(np.float64) for i in (1, 2))
    rows, hidden = r.shape
    bias = inputs[3] if len(inputs) > 3 else None
    b = np.zeros(2 * rows) if bias is None else bias[index].astype(np.float64)
    given = inputs[7] if len(inputs) > 7 else None
    peepholes = np.zeros(3 * hidden) if given is None else given[index].astype(np.float64)
    functions = build_activations(node, _DEFAULTS[node.op_type], index, get_float(node, "clip", 0.0))
    return _Cell(
        w,
        r,
        b[:rows],
        b[rows:],
        peepholes,
        functions,
        linear_before_reset=get_int(node, "linear_before_reset", 0) != 0,
        input_forget=get_int(node, "input_forget", 0) != 0,
    )


def _initial_states(node: Node, inputs: Sequence[Array | None], batch: int, batch_first: bool) -> list[Float64]:
    """Returns the states before the first step, each [directions, batch, H]."""
    r = require_input(node, inputs, 2)
    if r.shape[1] != _GATES[node.op_type] * r.shape[2]:
        raise ModelError(f"{node.op_type} has recurrent weights of the shape {r.shape}", node=node.name)
    states = []
    for index in (5, 6)[: 2 if node.op_type == "LSTM" else 1]:
        given = inputs[index] if len(inputs) > index else None
        if given is None:
            states.append(np.zeros((r.shape[0], batch, r.shape[2])))
        else:
            states.append((given.swapaxes(0, 1) if batch_first else given).astype(np.float64))
    return states


def _weights(op: str, directions: int, seed: int) -> tuple[Array, Array, Array]:
    rows = _GATES[op] * 5
    return (
        normal(directions, rows, 3, seed=seed, spread=0.4),
        normal(directions, rows, 5, seed=seed + 1, spread=0.4),
        normal(directions, 2 * rows, seed=seed + 2, spread=0.4),
    )


def _cases(op: str) -> tuple[Case, ...]:
    """Cases that all three operators share; several only ONNX Runtime can evaluate."""
    outputs = 3 if op == "LSTM" else 2
    x = normal(6, 2, 3, seed=1)
    states = tuple(normal(2, 2, 5, seed=20 + i) for i in range(outputs - 1))
    lengths = np.asarray([6, 4], np.int32)
    both: dict[str, AttributeValue] = {"hidden_size": 5, "direction": "bidirectional"}
    return (
        Case("forward", (x, *_weights(op, 1, 2)), {"hidden_size": 5}, (1, 2, 3), outputs),
        Case("no_bias", (x, *_weights(op, 1, 5)[:2]), {"hidden_size": 5}, (1, 2)),
        Case("reverse", (x, *_weights(op, 1, 8)), {"hidden_size": 5, "direction": "reverse"}, (1, 2, 3), outputs),
        Case("bidirectional", (x, *_weights(op, 2, 11)), both, (1, 2, 3), outputs),
        Case("lengths_states", (x, *_weights(op, 2, 14), lengths, *states), both, (1, 2, 3), outputs),
        Case("clip", (x, *_weights(op, 1, 17)), {"hidden_size": 5, "clip": 0.3}, (1, 2, 3), outputs),
    )


_X = normal(6, 2, 3, seed=1)
_LSTM_CASES = (
    *_cases("LSTM"),
    Case(
        "peepholes",
        (_X, *_weights("LSTM", 1, 30), None, None, None, normal(1, 15, seed=33)),
        {"hidden_size": 5},
        (1, 2, 3, 7),
        3,
    ),
    Case(
        "activations",
        (_X, *_weights("LSTM", 1, 34)),
        {
            "hidden_size": 5,
            "activations": ("HardSigmoid", "LeakyRelu", "Softsign"),
            "activation_alpha": (0.3, 0.1),
            "activation_beta": (0.4,),
        },
        (1, 2, 3),
    ),
)
_GRU_CASES = (
    *_cases("GRU"),
    Case("linear_before_reset", (_X, *_weights("GRU", 1, 40)), {"hidden_size": 5, "linear_before_reset": 1}, (1, 2, 3)),
)
_RNN_CASES = (
    *_cases("RNN"),
    Case("relu", (_X, *_weights("RNN", 1, 50)), {"hidden_size": 5, "activations": ("Relu",)}, (1, 2, 3)),
)


def _operator(op_type: str, cases: tuple[Case, ...]) -> Operator:
    return Operator(
        op_type=op_type,
        macs=macs,
        reference=reference,
        quantization=QuantRule.FLOAT,
        channels=ChannelRule.BREAKS,
        cases=cases,
        note="the state stays float",
    )


SPECS: Final = with_hooks(
    (_operator("GRU", _GRU_CASES), _operator("LSTM", _LSTM_CASES), _operator("RNN", _RNN_CASES)),
    RECURRENT_READERS,
    RECURRENT_WRITERS,
)
