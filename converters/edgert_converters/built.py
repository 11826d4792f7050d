"""A variant in memory, between the step that builds it and the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from edgert.bundle import TensorSpec, Variant
from edgert.dtypes import DType
from edgert_converters.ethos_u import Placement
from edgert_converters.exporters.c.fit import Fit
from edgert_converters.quantize.draft import Draft
from edgert_converters.quantize.plan import Plan

__all__ = ["Built"]


@dataclass(frozen=True, slots=True)
class Built:
    """A variant in memory: `data` is its file, `model` the graph that the file holds.

    `draft` is there where edgert quantized it itself (the reference's holds what all of them start from); `inputs` and
    `outputs` are what the file takes and gives in its own layout and types. `beside` holds other files of the variant,
    by name; `fit` says how C fits its board, `npu` what NPUs take of it.
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
    beside: Mapping[str, bytes] = field(default_factory=dict)
    fit: Fit | None = None
    npu: tuple[Placement, ...] = ()

    @property
    def plan(self) -> Plan | None:
        """What was quantized, where edgert did it."""
        return None if self.draft is None else self.draft.plan

    @property
    def file_name(self) -> str:
        """The variant's file inside the bundle."""
        return f"variants/{self.id}/model.{self.format}"

    @property
    def files(self) -> dict[str, bytes]:
        """All of its files by their names inside the bundle."""
        others = {f"variants/{self.id}/{name}": data for name, data in self.beside.items()}
        return {self.file_name: self.data} | others

    @property
    def bare(self) -> Variant:
        """The variant as an engine needs it: without the layers table."""
        return Variant(self.id, self.format, self.precision, self.file_name, self.inputs, self.outputs, (), 0)
