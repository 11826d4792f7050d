"""What is compared with the interpreter: an engine with one set of kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import onnx_ir as ir

from edgert.verification import EngineHost
from edgert_converters.comparison.tflite_form import TfliteForm
from edgert_converters.ops.spec import Array
from edgert_converters.units import IntegerUnit

__all__ = ["Known", "Peer", "Ran", "Subject", "name_at", "same_bytes"]

Known = Mapping[str, Array]
"""Values of the graph by name, of one sample: its inputs and every QuantizeLinear output."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is compared: the QDQ graph, and its TFLite form."""

    model: ir.Model
    tflite: TfliteForm


@dataclass(frozen=True, slots=True)
class Ran:
    """What a peer gave: values of the graph by name, one mapping per sample, and the kernels that ran.

    `same_kernels` is False where the intermediate values came from other kernels than those of the plain run.
    """

    values: tuple[Known, ...]
    kernels: tuple[str, ...]
    same_kernels: bool = True
    notes: tuple[str, ...] = ()


class Peer(Protocol):
    """An engine with one set of kernels."""

    name: str
    is_signed: bool
    """What is exported for it has int8 activations: then it is judged by the interpreter on such a graph."""

    def version(self) -> str | None:
        """The installed version, or None."""
        ...

    def hint(self) -> str:
        """What to do where it is not installed."""
        ...

    def run_unit(self, subject: Subject, unit: IntegerUnit, samples: Sequence[Known]) -> Ran:
        """Runs one unit alone on the integers in `samples`; returns its integers.

        Raises:
            ModelError: it has no form that this engine reads; says why.
            EngineError: the engine failed.
        """
        ...

    def run_whole(self, subject: Subject, samples: Sequence[Known], values: Sequence[str]) -> Ran:
        """Runs the whole model; returns its outputs and, of `values`, those that it can give.

        Raises:
            ModelError: it has no form that this engine reads; says why.
            EngineError: the engine failed.
        """
        ...


def name_at(engine: str, engines: EngineHost) -> str:
    """Returns what an engine is called in a report: with its board, where it runs on one."""
    return engine if engines.place is None else f"{engine} on {engines.place}"


def same_bytes(plain: Sequence[Known], extended: Sequence[Known]) -> bool:
    """True when every value of the plain run has the same bytes in the run that gives more of them."""
    pairs = zip(plain, extended, strict=True)
    return all(own[name].tobytes() == more[name].tobytes() for own, more in pairs for name in own)
