"""The TFLite variants of a conversion: written from the same graphs as the ONNX ones, so the integers are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import onnx_ir as ir

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.recipe import Recipe
from edgert.target import get_target
from edgert_converters.built import Built
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.narrow_weights import with_int4_weights
from edgert_converters.quantize.precisions import PRECISIONS
from edgert_converters.quantize.weight_only import quantize_weights_only
from edgert_converters.tflite.description import describe_file, with_label_file

__all__ = ["with_tflite"]


def with_tflite(built: Sequence[Built], recipe: Recipe, *, required: bool) -> list[Built]:
    """Returns the ONNX variants, each followed by its TFLite twin where it has one, and what exists as TFLite only.

    Args:
        built: the reference first, which is float unless the model came quantized.
        recipe: precisions, float or integer inputs and outputs, labels and pre-processing.
        required: TFLite was asked for by name, so a model without a TFLite form is an error, not a note.

    Raises:
        ModelError: required, and an operator has no TFLite form; the node is named.
    """
    writer = _Writer(recipe, required)
    result: list[Built] = []
    done: set[str] = set()
    for source in built:
        result.append(source)
        if source.precision not in done and _has_twin(source):
            done.add(source.precision)
            result[-1:] = writer.add(source, source.precision, partial(signed_graph, source))
    if built[0].precision == "fp32" and "dynamic" in recipe.precisions:
        result[-1:] = writer.add(result[-1], "dynamic", lambda: quantize_weights_only(built[0].model)[0])
    return result


def _has_twin(source: Built) -> bool:
    return source.precision == "fp32" or PRECISIONS[source.precision].is_held_by("tflite")


def signed_graph(source: Built) -> ir.Model:
    """Returns the graph that a TFLite file is written from.

    Its integer kernels are signed: a plan made for uint8 activations is carried out again with int8. Weights of 4 bits
    are stored as such.
    """
    if source.draft is None or source.draft.plan is None:
        return source.model
    model = source.model
    if source.encoding is DType.UINT8:
        model = apply_plan(source.draft.model, source.draft.plan, DType.INT8)
    return with_int4_weights(model) if source.draft.plan.scheme.weight_bits == 4 else model


@dataclass(frozen=True, slots=True)
class _Writer:
    recipe: Recipe
    required: bool

    def add(self, before: Built, precision: str, make_graph: Callable[[], ir.Model]) -> list[Built]:
        """Returns `before` and the new variant, or `before` with a note that says why there is none."""
        try:
            return [before, self._write(before, precision, make_graph())]
        except ModelError as error:
            if self.required:
                raise
            return [replace(before, notes=(*before.notes, f"no tflite-{precision}: {error}"))]

    def _write(self, source: Built, precision: str, model: ir.Model) -> Built:
        recipe = self.recipe
        describe = partial(describe_file, recipe.model.stem, preprocess=recipe.preprocess, labels=recipe.labels)
        file = export_tflite(model, float_io=recipe.float_io, for_xnnpack=self._for_xnnpack(), describe=describe)
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
            encoding=_encoding(source.encoding) if shares else None,
            draft=source.draft if shares else None,
        )

    def _for_xnnpack(self) -> bool:
        """True where LiteRT runs the file on every target; compilers for NPUs and TFLM want depthwise operators."""
        return all(any(e.name == "litert" for e in get_target(name).engines) for name in self.recipe.targets)


def _encoding(source: DType | None) -> DType | None:
    return DType.INT8 if source is DType.UINT8 else source
