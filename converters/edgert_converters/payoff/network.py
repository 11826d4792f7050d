"""A float network with its quantized stand-in, and the pieces of both: made once, only as far as somebody asks."""

from __future__ import annotations

import functools

import onnx_ir as ir

from edgert.bundle import TensorSpec
from edgert.dtypes import DType
from edgert_converters.importers import ImportedModel
from edgert_converters.payoff.pieces import Piece, cut_pieces
from edgert_converters.payoff.stand_in import plan_stand_in, quantize_stand_in
from edgert_converters.payoff.structure import structure_of
from edgert_converters.quantize.existing import is_quantized, strip_quantization
from edgert_converters.quantize.plan import Plan

__all__ = ["Network"]


class Network:
    """One imported model, seen as what a conversion to int8 would make of it."""

    def __init__(self, imported: ImportedModel) -> None:
        self.inputs: tuple[TensorSpec, ...] = imported.inputs
        self.outputs: tuple[TensorSpec, ...] = imported.outputs
        self.is_quantized = is_quantized(imported.model)
        self.model: ir.Model = imported.model if self.is_quantized else strip_quantization(imported.model)
        self._quantized: dict[DType, ir.Model] = {}
        self._pieces: dict[DType, tuple[Piece, ...]] = {}

    @functools.cached_property
    def structure(self) -> str:
        """Key of the network in the cache."""
        return structure_of(self.model)

    @functools.cached_property
    def plan(self) -> Plan:
        """What would become integer."""
        return plan_stand_in(self.model)

    @functools.cached_property
    def float_pieces(self) -> tuple[Piece, ...]:
        """Layers of the float graph."""
        return cut_pieces(self.model)

    def quantized(self, encoding: DType) -> ir.Model:
        """The stand-in with int8 or uint8 activations."""
        if encoding not in self._quantized:
            self._quantized[encoding] = quantize_stand_in(self.model, self.plan, encoding)
        return self._quantized[encoding]

    def int8_pieces(self, encoding: DType) -> tuple[Piece, ...]:
        """Layers of the stand-in."""
        if encoding not in self._pieces:
            self._pieces[encoding] = cut_pieces(self.quantized(encoding))
        return self._pieces[encoding]
