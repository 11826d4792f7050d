"""What a loaded LiteRT interpreter says about its tensors and about the nodes that its delegate took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgert.bundle import TensorSpec
from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams

__all__ = ["DelegateShare", "Port", "delegate_share", "read_ports"]

_DELEGATE = "DELEGATE"
Details = Mapping[str, Any]  # Any: what the package returns, untyped


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output: what edgert knows about it, and its tensor index in the interpreter."""

    spec: TensorSpec
    index: int


@dataclass(frozen=True, slots=True)
class DelegateShare:
    """Nodes of the main graph, how many of them a delegate runs, and in how many pieces."""

    nodes: int
    taken: int
    pieces: int


def read_ports(interpreter: Any) -> tuple[tuple[Port, ...], tuple[Port, ...]]:  # Any: untyped package
    """Returns inputs and outputs in the interpreter's order.

    Names are those of the signature where the model has exactly one, else the tensors' own.

    Raises:
        ModelError: a tensor has a type or a quantization that edgert does not run.
    """
    inputs, outputs = _signature_names(interpreter)
    return (
        _ports(interpreter.get_input_details(), inputs),
        _ports(interpreter.get_output_details(), outputs),
    )


def delegate_share(nodes: Sequence[Details]) -> DelegateShare:
    """Returns how much of the graph stands in delegate nodes.

    `nodes` is `Interpreter._get_ops_details()`: the model's nodes, replaced or not, and one DELEGATE node for each
    piece. A piece holds the nodes between its inputs (constants are among them) and its outputs, so walking from the
    outputs back to the inputs finds them; LiteRT's Python interface tells the execution plan in no other way.
    """
    pieces = [node for node in nodes if node["op_name"] == _DELEGATE]
    own = [node for node in nodes if node["op_name"] != _DELEGATE]
    producer = {int(tensor): position for position, node in enumerate(own) for tensor in node["outputs"]}
    taken: set[int] = set()
    for piece in pieces:
        border = {int(tensor) for tensor in piece["inputs"]}
        waiting = [int(tensor) for tensor in piece["outputs"]]
        while waiting:
            tensor = waiting.pop()
            position = producer.get(tensor)
            if tensor in border or position is None or position in taken:
                continue
            taken.add(position)
            waiting += [int(source) for source in own[position]["inputs"]]
    return DelegateShare(len(own), len(taken), len(pieces))


def _signature_names(interpreter: Any) -> tuple[dict[int, list[str]], dict[int, list[str]]]:  # Any: untyped package
    """Names by tensor index, or nothing where the model has no signature or several."""
    if len(interpreter.get_signature_list()) != 1:
        return {}, {}
    runner = interpreter.get_signature_runner()
    return _by_index(runner.get_input_details()), _by_index(runner.get_output_details())


def _by_index(details: Mapping[str, Details]) -> dict[int, list[str]]:
    names: dict[int, list[str]] = {}
    for name, detail in details.items():
        names.setdefault(int(detail["index"]), []).append(name)
    return names


def _ports(details: Sequence[Details], names: Mapping[int, list[str]]) -> tuple[Port, ...]:
    left = {index: list(known) for index, known in names.items()}
    ports: list[Port] = []
    used: set[str] = set()
    for detail in details:
        index = int(detail["index"])
        name = left[index].pop(0) if left.get(index) else str(detail["name"])
        if name in used:  # tensor names need not differ, names to feed and fetch by must
            name = f"{name}:{len(ports)}"
        used.add(name)
        ports.append(Port(_spec(name, detail), index))
    return tuple(ports)


def _spec(name: str, detail: Details) -> TensorSpec:
    try:
        dtype = DType.from_numpy(detail["dtype"])
    except (ValueError, TypeError) as error:
        kind = getattr(detail["dtype"], "__name__", detail["dtype"])
        raise ModelError(f"tensor {name!r} has type {kind}, which edgert does not run") from error
    sizes = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
    shape = tuple(None if size < 0 else int(size) for size in sizes)
    return TensorSpec(name, shape, dtype, None, _quant(name, dtype, detail["quantization_parameters"]))


def _quant(name: str, dtype: DType, parameters: Details) -> QuantParams | None:
    scales = np.asarray(parameters["scales"], np.float64).ravel()
    if not dtype.is_quantized or not scales.size:
        return None
    zero_points = np.asarray(parameters["zero_points"], np.int64).ravel()
    axis = None if scales.size == 1 else int(parameters["quantized_dimension"])
    try:
        return QuantParams(tuple(scales.tolist()), tuple(zero_points.tolist()), dtype, axis)
    except ValueError as error:
        raise ModelError(f"tensor {name!r} has a damaged quantization: {error}") from error
