"""A variant in memory, between the step that builds it and the bundle."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from edgert.bundle import TensorSpec, Variant
from edgert.dtypes import DType
from edgert_converters.quantize.draft import Draft
from edgert_converters.quantize.plan import Plan

__all__ = ["Built"]


@dataclass(frozen=True, slots=True)
class Built:
    """A variant in memory: `data` is its file, `model` the graph that the file holds.

    `draft` is there where edgert quantized it itself (the reference's holds what all of them start from); `inputs` and
    `outputs` are what the file takes and gives in its own layout and types.
    """

    id: str
    precision: str
    model: ir.Model
    data: bytes
    targets: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    format: str = "onnx"
    encoding: DType | None = None
    draft: Draft | None = None
    notes: tuple[str, ...] = ()

    @property
    def plan(self) -> Plan | None:
        """What was quantized, where edgert did it."""
        return None if self.draft is None else self.draft.plan

    @property
    def file_name(self) -> str:
        """The variant's file inside the bundle."""
        return f"variants/{self.id}/model.{self.format}"

    @property
    def bare(self) -> Variant:
        """The variant as an engine needs it: without the layers table."""
        return Variant(self.id, self.format, self.precision, self.file_name, self.inputs, self.outputs, (), 0)
