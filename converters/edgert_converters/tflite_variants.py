"""The TFLite variants of a conversion: written from the same graphs as the ONNX ones, so the integers are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import onnx_ir as ir

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.recipe import Recipe
from edgert_converters.built import Built
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.quantize.chain import chain_settings, plan_draft
from edgert_converters.quantize.draft import Calibration
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.scheme import INT16X8
from edgert_converters.quantize.weight_only import quantize_weights_only
from edgert_converters.tflite.description import describe_file, with_label_file

__all__ = ["with_tflite"]


def with_tflite(built: Sequence[Built], recipe: Recipe, calibration: Calibration, *, required: bool) -> list[Built]:
    """Returns the ONNX variants, each followed by its TFLite twin where it has one, and what exists as TFLite only.

    Args:
        built: the reference first, which is float unless the model came quantized.
        recipe: precisions, float or integer inputs and outputs, labels and pre-processing.
        calibration: data that chooses ranges.
        required: TFLite was asked for by name, so a model without a TFLite form is an error, not a note.

    Raises:
        ModelError: required, and an operator has no TFLite form; the node is named.
    """
    writer = _Writer(recipe, built[0], calibration, required)
    result: list[Built] = []
    done: set[str] = set()
    for source in built:
        result.append(source)
        if source.precision in {"fp32", "int8"} and source.precision not in done:
            done.add(source.precision)
            result[-1:] = writer.add(source, source.precision, partial(writer.signed_graph, source))
    if built[0].precision == "fp32" and "int16x8" in recipe.precisions:
        result[-1:] = writer.add(result[-1], "int16x8", writer.wide_graph)
    if built[0].precision == "fp32" and "dynamic" in recipe.precisions:
        result[-1:] = writer.add(result[-1], "dynamic", lambda: quantize_weights_only(built[0].model)[0])
    return result


@dataclass(frozen=True, slots=True)
class _Writer:
    recipe: Recipe
    reference: Built
    calibration: Calibration
    required: bool

    def add(self, before: Built, precision: str, make_graph: Callable[[], ir.Model]) -> list[Built]:
        """Returns `before` and the new variant, or `before` with a note that says why there is none."""
        try:
            return [before, self._write(before, precision, make_graph())]
        except ModelError as error:
            if self.required:
                raise
            return [replace(before, notes=(*before.notes, f"no tflite-{precision}: {error}"))]

    def signed_graph(self, source: Built) -> ir.Model:
        """TFLite's integer kernels are signed: a plan made for uint8 activations is carried out again with int8."""
        if source.draft is None or source.draft.plan is None or source.encoding is DType.INT8:
            return source.model
        return apply_plan(source.draft.model, source.draft.plan, DType.INT8)

    def wide_graph(self) -> ir.Model:
        """Activations of 16 bits, weights of 8."""
        if self.reference.draft is None:
            raise AssertionError("int16x8 was asked for without calibration")
        draft = plan_draft(self.reference.draft, INT16X8, self.calibration, chain_settings(self.recipe))
        return apply_plan(draft.model, draft.final, DType.INT16)

    def _write(self, source: Built, precision: str, model: ir.Model) -> Built:
        recipe = self.recipe
        describe = partial(describe_file, recipe.model.stem, preprocess=recipe.preprocess, labels=recipe.labels)
        file = export_tflite(model, float_io=recipe.float_io, describe=describe)
        shares = precision == source.precision
        return Built(
            id=f"tflite-{precision}",
            precision=precision,
            model=model,
            data=with_label_file(file.data, recipe.labels),
            targets=source.targets,
            inputs=file.inputs,
            outputs=file.outputs,
            format="tflite",
            encoding=_ENCODINGS.get(precision),
            draft=source.draft if shares else None,
        )


_ENCODINGS = {"int8": DType.INT8, "int16x8": DType.INT16}
