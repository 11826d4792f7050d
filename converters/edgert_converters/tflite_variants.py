"""The TFLite variants of a conversion: written from the same graphs as the ONNX ones, so the integers are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx_ir as ir

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert_converters.built import Built
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.quantize.insert import apply_plan

__all__ = ["with_tflite"]


def with_tflite(built: Sequence[Built], *, float_io: bool, required: bool) -> list[Built]:
    """Returns the ONNX variants, each followed by its TFLite twin where it has one.

    Args:
        built: the reference first, which is float unless the model came quantized.
        float_io: keep float inputs and outputs of integer files.
        required: TFLite was asked for by name, so a model without a TFLite form is an error, not a note.

    Raises:
        ModelError: required, and an operator has no TFLite form; the node is named.
    """
    result: list[Built] = []
    done: set[str] = set()
    for source in built:
        result.append(source)
        if source.precision not in {"fp32", "int8"} or source.precision in done:
            continue
        done.add(source.precision)
        try:
            result.append(_twin(source, built[0].model, float_io=float_io))
        except ModelError as error:
            if required:
                raise
            result[-1] = replace(source, notes=(*source.notes, f"no TFLite variant: {error}"))
    return result


def _twin(source: Built, reference: ir.Model, *, float_io: bool) -> Built:
    """TFLite's integer kernels are signed: a plan carried out with uint8 activations is carried out again with int8."""
    shifted = source.plan is not None and source.encoding is not DType.INT8
    model = apply_plan(reference, source.plan, DType.INT8) if shifted and source.plan is not None else source.model
    file = export_tflite(model, float_io=float_io)
    return replace(
        source,
        id=f"tflite-{source.precision}",
        model=model,
        data=file.data,
        inputs=file.inputs,
        outputs=file.outputs,
        format="tflite",
        encoding=None if source.precision == "fp32" else DType.INT8,
        notes=(),
    )
