"""What is known of a conversion once its variants are built and judged; the report and the summary are made from it."""

from __future__ import annotations

from dataclasses import dataclass

from edgert.bundle import Gate
from edgert.recipe import Recipe
from edgert_converters.accuracy import VariantResult, Verification
from edgert_converters.built import Built
from edgert_converters.data import DataSplit
from edgert_converters.importers import ImportedModel
from edgert_converters.layer_errors import Gain, LayerError
from edgert_converters.quantize.precisions import AUTO
from edgert_converters.repair.steps import Repair

__all__ = ["Conversion"]


@dataclass(frozen=True, slots=True)
class Conversion:
    """Everything known when the variants are built and judged."""

    recipe: Recipe
    imported: ImportedModel
    data: DataSplit
    built: tuple[Built, ...]
    verification: Verification | None
    errors: tuple[LayerError, ...]
    gains: tuple[Gain, ...]
    messages: tuple[str, ...]
    repair: Repair | None = None

    @property
    def chosen(self) -> Built:
        """The variant that the gate is about: the repaired one, else the first int8, else the last one."""
        by_precision = {variant.precision: variant for variant in reversed(self.built[1:])}
        return by_precision.get(AUTO) or by_precision.get("int8") or self.built[-1]

    @property
    def final_gate(self) -> Gate:
        """The gate of the whole conversion: that of the chosen variant; failed where no repair sufficed."""
        if self.repair is not None and not self.repair.passed:
            return Gate.FAILED
        return self.gate(self.chosen.id)

    def gate(self, variant_id: str) -> Gate:
        """The gate of one variant; NONE where nothing was decided."""
        result = self.result(variant_id)
        return Gate.NONE if result is None else result.decision.gate

    def result(self, variant_id: str) -> VariantResult | None:
        """What was measured of one variant; None for the reference and for what could not run here."""
        variants = () if self.verification is None else self.verification.variants
        return next((result for result in variants if result.id == variant_id), None)
