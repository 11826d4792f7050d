"""Makes the state of a streaming model explicit: a resource variable becomes an input NAME_in and an output NAME_out.

A file keeps such state itself, in variables that CALL_ONCE fills before the first run (VAR_HANDLE, READ_VARIABLE,
ASSIGN_VARIABLE). A graph without hidden state computes the same when each step is fed the NAME_out of the step before,
and the first step the initial value. `state_bindings` reads back from a model which output feeds which input.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgert.errors import ModelError
from edgert.quant import dequantize
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.model import TfModel, TfOperator, TfSignature, TfSubgraph, TfTensor

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["STARTS_AFRESH", "StateBinding", "explicit_state", "set_state_bindings", "state_bindings"]

_KEY = "edgert.state"
_RESOURCES = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"})


STARTS_AFRESH = frozenset({"UNIDIRECTIONAL_SEQUENCE_LSTM"})
"""Operators whose whole sequence is one run: their hidden state is read as zero at its start, and a note says so."""


@dataclass(frozen=True, slots=True)
class StateBinding:
    """`input` of a step takes `output` of the step before; `initial` is the real value of every element at first."""

    input: str
    output: str
    initial: float


@dataclass(frozen=True, slots=True)
class _Variable:
    """A resource variable that is read and written: the tensors that hold it before and after a run."""

    name: str
    before: int
    after: int


def explicit_state(file: TfModel, graph: int = 0) -> tuple[TfModel, tuple[StateBinding, ...]]:
    """Returns the file with the state of one subgraph as inputs and outputs, and how they belong together.

    State inputs and outputs follow the graph's own. A file without resource variables is returned as it is.

    Raises:
        ModelError: the variables are used or initialised in a way that has no such form; names the variable.
    """
    source = file.subgraphs[graph]
    stateful = [o for o in source.operators if o.name in _RESOURCES and not o.is_custom]
    if not stateful:
        _refuse_variable_tensors(source)
        return file, ()
    initial: dict[str, TfTensor] = {}
    for operator in stateful:
        if operator.name == "CALL_ONCE":
            initial |= _initial_values(file, operator)
    rewriter = _Rewriter(source, initial)
    changed = rewriter.rewrite()
    _refuse_variable_tensors(changed)
    bindings = tuple(rewriter.binding(variable) for variable in rewriter.variables)
    subgraphs = (*file.subgraphs[:graph], changed, *file.subgraphs[graph + 1 :])
    signatures = tuple(_extended(entry, graph, rewriter.variables) for entry in file.signatures)
    return replace(file, subgraphs=subgraphs, signatures=signatures), bindings


def set_state_bindings(model: ir.Model, bindings: tuple[StateBinding, ...]) -> None:
    """Writes the bindings into the model, as a metadata property that other tools ignore."""
    if bindings:
        plain = [{"input": b.input, "output": b.output, "initial": b.initial} for b in bindings]
        model.metadata_props[_KEY] = json.dumps(plain)


def state_bindings(model: ir.Model) -> tuple[StateBinding, ...]:
    """Returns which outputs feed which inputs of the next step; nothing for a model without state.

    Raises:
        ModelError: the property is damaged.
    """
    text = model.metadata_props.get(_KEY, "[]")
    try:
        return tuple(StateBinding(str(b["input"]), str(b["output"]), float(b["initial"])) for b in json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"the model's list of states is damaged ({error})") from error


def _refuse_variable_tensors(graph: TfSubgraph) -> None:
    for operator in graph.operators:
        if operator.name in STARTS_AFRESH:
            continue
        for index in operator.inputs:
            if index >= 0 and graph.tensors[index].is_variable:
                raise ModelError(
                    f"{operator.name} keeps its state in the hidden variable tensor {graph.tensors[index].name!r}, "
                    "which edgert does not read; export the model with its state as inputs and outputs",
                    node=operator.name,
                )


def _initial_values(file: TfModel, call: TfOperator) -> dict[str, TfTensor]:
    """Returns the constant that the initial subgraph assigns to each variable."""
    index = call.options.get("init_subgraph_index", -1)
    if not isinstance(index, int) or not 0 <= index < len(file.subgraphs):
        raise ModelError(f"CALL_ONCE names graph {index}, which does not exist; the file is damaged")
    graph = file.subgraphs[index]
    handles: dict[int, str] = {}
    values: dict[str, TfTensor] = {}
    for operator in graph.operators:
        if operator.name == "VAR_HANDLE" and operator.outputs:
            handles[operator.outputs[0]] = _shared_name(operator)
        elif operator.name == "ASSIGN_VARIABLE" and len(operator.inputs) == 2 and operator.inputs[0] in handles:
            tensor = graph.tensors[operator.inputs[1]]
            if tensor.data is None:
                raise ModelError(f"state {handles[operator.inputs[0]]!r} starts from a computed value")
            values[handles[operator.inputs[0]]] = tensor
        else:
            raise ModelError(f"the graph that initialises the state holds {operator.name}; edgert reads constants only")
    return values


def _shared_name(operator: TfOperator) -> str:
    name = operator.options.get("shared_name", "")
    return name if isinstance(name, str) and name else "state"


class _Rewriter:
    """Follows every variable through one run of a graph, in order."""

    def __init__(self, source: TfSubgraph, initial: Mapping[str, TfTensor]) -> None:
        self._source, self._initial = source, initial
        self._tensors = list(source.tensors)
        self._handles: dict[int, str] = {}
        self._first: dict[str, int] = {}
        self._now: dict[str, int] = {}
        self._renamed: dict[int, int] = {}
        self.variables: tuple[_Variable, ...] = ()

    def rewrite(self) -> TfSubgraph:
        kept: list[TfOperator] = []
        for operator in self._source.operators:
            if operator.name == "VAR_HANDLE" and operator.outputs:
                self._handles[operator.outputs[0]] = _shared_name(operator)
            elif operator.name == "READ_VARIABLE" and len(operator.inputs) == 1 and len(operator.outputs) == 1:
                self._read(self._variable(operator), operator.outputs[0])
            elif operator.name == "ASSIGN_VARIABLE" and len(operator.inputs) == 2:
                self._now[self._variable(operator)] = self._tensor(operator.inputs[1])
            elif operator.name != "CALL_ONCE":
                inputs = tuple(self._tensor(index) for index in operator.inputs)
                kept.append(replace(operator, inputs=inputs))
        outputs = tuple(self._tensor(index) for index in self._source.outputs)
        self.variables = self._find_variables()
        return replace(
            self._source,
            tensors=tuple(self._tensors),
            operators=tuple(kept),
            inputs=(*self._source.inputs, *(variable.before for variable in self.variables)),
            outputs=(*outputs, *(variable.after for variable in self.variables)),
        )

    def binding(self, variable: _Variable) -> StateBinding:
        """Returns the names of one variable and its initial value."""
        tensor = self._initial.get(variable.name)
        value = 0.0
        if tensor is not None and tensor.data is not None:
            real = _real(tensor, self._tensors[variable.before])
            if real.size and not (real == real.flat[0]).all():
                raise ModelError(f"state {variable.name!r} starts from several different values; edgert carries one")
            value = float(real.flat[0]) if real.size else 0.0
        return StateBinding(f"{variable.name}_in", f"{variable.name}_out", value)

    def _variable(self, operator: TfOperator) -> str:
        handle = operator.inputs[0]
        if handle not in self._handles:
            raise ModelError(f"{operator.name} reads a handle that no VAR_HANDLE made; the file is damaged")
        return self._handles[handle]

    def _tensor(self, index: int) -> int:
        return self._renamed.get(index, index)

    def _read(self, name: str, output: int) -> None:
        if name not in self._now:
            self._first[name] = self._now[name] = output
            self._tensors[output] = replace(self._tensors[output], name=f"{name}_in")
            return
        held, read = self._tensors[self._now[name]], self._tensors[output]
        if (held.dtype, held.shape, held.quant) != (read.dtype, read.shape, read.quant):
            raise ModelError(f"state {name!r} is read in another type than it is written")
        self._renamed[output] = self._now[name]

    def _find_variables(self) -> tuple[_Variable, ...]:
        found = []
        for name, before in self._first.items():
            after = self._now[name]
            if after == before:
                self._freeze(name, before)
                continue
            held, read = self._tensors[after], self._tensors[before]
            if (held.dtype, held.shape, held.quant) != (read.dtype, read.shape, read.quant):
                raise ModelError(f"state {name!r} is written in another type than it is read")
            found.append(_Variable(name, before, after))
        return tuple(found)

    def _freeze(self, name: str, index: int) -> None:
        """A state that no run changes is a constant."""
        tensor, initial = self._tensors[index], self._initial.get(name)
        if (
            initial is None
            or initial.data is None
            or initial.shape != tensor.shape
            or initial.dtype is not tensor.dtype
        ):
            raise ModelError(f"state {name!r} is read and never written")
        self._tensors[index] = replace(tensor, data=initial.data)


def _real(tensor: TfTensor, like: TfTensor) -> Array:
    """Returns the initial value in real numbers; an initial constant may lack the scale of the state it fills."""
    data, params = np.asarray(tensor.data), tensor.quant or like.quant
    return dequantize(data, params) if params is not None and data.dtype == params.dtype.numpy else data


def _extended(entry: TfSignature, graph: int, variables: tuple[_Variable, ...]) -> TfSignature:
    if entry.subgraph != graph:
        return entry
    inputs = {**entry.inputs, **{f"{variable.name}_in": variable.before for variable in variables}}
    outputs = {**entry.outputs, **{f"{variable.name}_out": variable.after for variable in variables}}
    return replace(entry, inputs=inputs, outputs=outputs)
