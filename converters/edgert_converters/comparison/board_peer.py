"""A microcontroller as a peer: the C of the variant, stopped behind every layer, its integers read from the arena."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgert.dtypes import DType
from edgert.errors import DeviceError, EngineError, ModelError
from edgert.verification import LayerBoard
from edgert_converters.comparison.parts import Port
from edgert_converters.comparison.peer import Known, Ran, Subject
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.read import parse_tflite
from edgert_converters.units import IntegerUnit

__all__ = ["BoardPeer"]

Json = Mapping[str, Any]  # Any: plan.json


class BoardPeer:
    """The C on a board; its buffers carry the names of the tensors of the TFLite form."""

    is_signed = True

    def __init__(self, board: LayerBoard) -> None:
        """Takes a board that runs the variant that is compared."""
        self.name, self._board = board.name, board

    def version(self) -> str | None:
        """See Peer.version."""
        return self._board.version

    def hint(self) -> str:
        """See Peer.hint."""
        return ""

    def run_unit(self, subject: Subject, unit: IntegerUnit, samples: Sequence[Known]) -> Ran:
        """Raises ModelError: boards run whole models."""
        raise ModelError("a board runs whole models; compare it end to end")

    def run_whole(self, subject: Subject, samples: Sequence[Known], values: Sequence[str]) -> Ran:
        """See Peer.run_whole.

        Raises:
            DeviceError: the board does not answer, or its processor faulted.
        """
        part = subject.tflite.extended(values)
        graph = parse_tflite(part.data).subgraphs[0]
        names = [graph.tensors[index].name for index in graph.inputs]
        inputs = dict(zip(names, part.inputs, strict=True))
        places = _places(self._board.plan, [graph.tensors[index].name for index in graph.outputs], part.outputs)
        results = tuple(self._run(known, inputs, places) for known in samples)
        kernels = sorted({layer["kernel"] for layer in self._board.plan["layers"]})
        return Ran(results, tuple(f"edgert_{name}" for name in kernels))

    def _run(self, known: Known, inputs: Mapping[str, Port], places: Mapping[int, list[tuple[Port, Json]]]) -> Known:
        plan = self._board.plan
        fed = [plan["buffers"][index]["name"] for index in plan["inputs"]]
        if set(fed) != set(inputs):
            raise ModelError("the model keeps a state between runs; a board cannot be given one")
        data = b"".join(inputs[name].store(known[inputs[name].value]).tobytes() for name in fed)
        found: dict[str, Array] = {}
        try:
            for layer in sorted(places):
                self._board.run_to(data, layer)
                for port, buffer in places[layer]:
                    found[port.value] = _restore(port, buffer, self._board.read(buffer["offset"], buffer["bytes"]))
        except EngineError as error:
            raise DeviceError(str(error)) from error
        return found


def _places(plan: Json, names: Sequence[str], ports: Sequence[Port]) -> dict[int, list[tuple[Port, Json]]]:
    """Which layer to stop behind for which values: the last that writes the buffer of that name.

    The first names are the model's outputs, whose buffers may bear another name. A buffer that is read before all of it
    is written is computed in strips: what was read may be gone by then, so it is left out.
    """
    by_name = {buffer["name"]: index for index, buffer in enumerate(plan["buffers"])}
    by_name |= dict(zip(names, plan["outputs"], strict=False))
    found: dict[int, list[tuple[Port, Json]]] = {}
    for name, port in zip(names, ports, strict=True):
        index = by_name.get(name)
        layer = None if index is None or not port.value else _whole_after(plan, index)
        if layer is not None:
            found.setdefault(layer, []).append((port, plan["buffers"][index]))
    return found


def _whole_after(plan: Json, buffer: int) -> int | None:
    """The layer after which a buffer is there as a whole, or None where it never is."""
    writers = [index for index, layer in enumerate(plan["layers"]) if buffer in layer["writes"]]
    readers = [index for index, layer in enumerate(plan["layers"]) if buffer in layer["reads"]]
    facts = plan["buffers"][buffer]
    is_full = facts["bytes"] == math.prod(facts["shape"]) * DType(facts["dtype"]).itemsize_bytes
    return writers[-1] if writers and is_full and all(index > writers[-1] for index in readers) else None


def _restore(port: Port, buffer: Json, data: bytes) -> Array:
    """The graph's array for the bytes of a buffer, which has no leading axis of 1."""
    shape = tuple(buffer["shape"])
    padded = (1,) * (len(port.order) - len(shape)) + shape
    return port.restore(np.frombuffer(data, DType(buffer["dtype"]).numpy).reshape(padded))
