"""The TFLite form of what is compared: the whole file, with more outputs, and single integer units.

A model that came as ONNX is exported; of a model that came as .tflite the file itself is cut, operator by operator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import onnx_ir as ir

from edgert.errors import ModelError
from edgert_converters.comparison.cut import cut_unit
from edgert_converters.comparison.encoding import with_real_ends
from edgert_converters.comparison.parts import Port, TflitePart
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.layout import identity, invert
from edgert_converters.tflite.model import TfModel, TfOperator, TfSubgraph
from edgert_converters.tflite.read import parse_tflite
from edgert_converters.tflite.write import serialize_tflite
from edgert_converters.units import IntegerUnit, dequantizer_of

__all__ = ["ExportedForm", "OwnForm", "TfliteForm"]

_NO_FORM = "no TFLite form"
_STATEFUL = {"READ_VARIABLE", "ASSIGN_VARIABLE"}


class TfliteForm(Protocol):
    """Gives a graph's parts as TFLite files."""

    def unit(self, unit: IntegerUnit, known: Mapping[str, Array]) -> TflitePart:
        """Returns one unit with integers at both ends; `known` holds an example of every value, for the shapes.

        Raises:
            ModelError: it has no TFLite form; says why.
        """
        ...

    def whole(self) -> TflitePart:
        """Returns the file as it would be deployed.

        Raises:
            ModelError: it has no TFLite form; says why.
        """
        ...

    def extended(self, values: Sequence[str]) -> TflitePart:
        """Returns the file with the named values of the graph as further outputs, those that it holds.

        Raises:
            ModelError: as `whole`.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Placed:
    """A whole file with the ports of all of its tensors that hold a value of the graph, by tensor index."""

    file: TfModel
    data: bytes
    ports: Mapping[int, Port]

    def part(self, extra: Sequence[int] = ()) -> TflitePart:
        """Returns the file, with the tensors `extra` as further outputs."""
        graph = self.file.subgraphs[0]
        missing = [index for index in graph.inputs if index not in self.ports]
        if missing:
            name = graph.tensors[missing[0]].name
            raise ModelError(f"input {name!r} of the TFLite file holds no value of the graph")
        outputs = (*graph.outputs, *extra)
        ports = tuple(self.ports.get(index, Port("", identity(len(graph.tensors[index].shape)))) for index in outputs)
        data = self.data
        if extra:
            longer = replace(graph, outputs=outputs)
            # a signature would have to name the new outputs; without one they are taken by position
            data = serialize_tflite(replace(self.file, subgraphs=(longer, *self.file.subgraphs[1:]), signatures=()))
        operators = tuple(operator.name for operator in graph.operators)
        return TflitePart(data, tuple(self.ports[index] for index in graph.inputs), ports, operators)

    def extended(self, values: Sequence[str]) -> TflitePart:
        """Returns the file with those of the named values that it holds as further outputs."""
        graph = self.file.subgraphs[0]
        present = {*graph.inputs, *graph.outputs}
        by_value = {port.value: index for index, port in self.ports.items() if index not in present}
        return self.part([by_value[value] for value in values if value in by_value])


class ExportedForm:
    """The TFLite form of an ONNX graph with int8 activations, made by the exporter."""

    def __init__(self, model: ir.Model, data: bytes | None = None) -> None:
        """Takes the QDQ graph, and the bytes of the TFLite file that was made from it, where there is one."""
        self._model, self._data = model, data
        self._whole: _Placed | None = None

    def unit(self, unit: IntegerUnit, known: Mapping[str, Array]) -> TflitePart:
        """Returns one unit, exported; see TfliteForm.unit."""
        return _export(with_real_ends(cut_unit(self._model, unit, known))).part()

    def whole(self) -> TflitePart:
        """Returns the whole model: the bytes given, else exported; see TfliteForm.whole."""
        part = self._placed().part()
        return part if self._data is None else replace(part, data=self._data)

    def extended(self, values: Sequence[str]) -> TflitePart:
        """Returns the exported model with further outputs; see TfliteForm.extended."""
        return self._placed().extended(values)

    def _placed(self) -> _Placed:
        if self._whole is None:
            self._whole = _export(self._model)
        return self._whole


class OwnForm:
    """A .tflite file that was given, and where the values of its imported graph lie."""

    def __init__(self, file: TfModel, data: bytes, homes: Mapping[str, tuple[int, tuple[int, ...]]]) -> None:
        """Takes the parsed file, its bytes, and `ImportGraph.homes`."""
        self._file = file
        self._homes = {name: (index, invert(order)) for name, (index, order) in homes.items()}
        self._placed = _Placed(file, data, {index: Port(name, order) for name, (index, order) in self._homes.items()})
        self._maker = {index: operator for operator in file.subgraphs[0].operators for index in operator.outputs}

    def unit(self, unit: IntegerUnit, known: Mapping[str, Array]) -> TflitePart:
        """Returns the operator of the file that makes the unit's output; see TfliteForm.unit."""
        name = str(unit.quantize[0].outputs[0].name)
        if name not in self._homes:
            raise ModelError(f"{_NO_FORM}: it is a step inside an operator of the file", node=unit.name)
        operator = self._maker.get(self._homes[name][0])
        if operator is None:
            raise ModelError(f"{_NO_FORM}: no operator of the file makes it", node=unit.name)
        tensors = self._file.subgraphs[0].tensors
        if any(tensors[index].is_variable for index in operator.inputs if index >= 0):
            raise ModelError(f"{_NO_FORM}: {operator.name} keeps a state between runs", node=unit.name)
        return self._cut(operator, unit, known)

    def whole(self) -> TflitePart:
        """Returns the file as it is; see TfliteForm.whole."""
        if any(operator.name in _STATEFUL for operator in self._file.subgraphs[0].operators):
            raise ModelError("it keeps a state between runs, the interpreter takes that as an input: only isolated")
        return self._placed.part()

    def extended(self, values: Sequence[str]) -> TflitePart:
        """Returns the file with further outputs; see TfliteForm.extended."""
        return self._placed.extended(values)

    def _cut(self, operator: TfOperator, unit: IntegerUnit, known: Mapping[str, Array]) -> TflitePart:
        graph = self._file.subgraphs[0]
        used = [index for index in operator.inputs if index >= 0 and graph.tensors[index].data is None]
        inputs = tuple(dict.fromkeys(used))
        for index in inputs:
            port = self._placed.ports.get(index)
            if port is None or port.value not in known:
                name = graph.tensors[index].name
                raise ModelError(f"{_NO_FORM}: {operator.name} reads {name!r}, which is no integer value of the graph")
        kept = sorted({*(index for index in operator.inputs if index >= 0), *operator.outputs})
        place = {-1: -1} | {index: position for position, index in enumerate(kept)}
        moved = replace(
            operator,
            inputs=tuple(place[index] for index in operator.inputs),
            outputs=tuple(place[index] for index in operator.outputs),
        )
        alone = TfSubgraph(
            tuple(graph.tensors[index] for index in kept),
            (moved,),
            tuple(place[index] for index in inputs),
            moved.outputs,
            unit.name,
        )
        file = TfModel((alone,), description=self._file.description)
        ports = {place[index]: port for index, port in self._placed.ports.items() if index in place}
        return _Placed(file, serialize_tflite(file), ports).part()


def _export(model: ir.Model) -> _Placed:
    try:
        exported = export_tflite(model)
    except ModelError as error:
        raise ModelError(f"{_NO_FORM}: {error}") from error
    file = parse_tflite(exported.data)
    graph = file.subgraphs[0]
    ports: dict[int, Port] = {}
    for name, stored in exported.homes.items():
        if graph.tensors[stored.index].data is None:
            ports.setdefault(stored.index, Port(name, stored.order))
    for value, stored in zip(model.graph.outputs, exported.ends, strict=True):
        source = dequantizer_of(value)
        integers = source.inputs[0] if source is not None else None
        name = str((value if integers is None else integers).name)
        ports[stored.index] = Port(name, stored.order)
    return _Placed(file, exported.data, ports)
