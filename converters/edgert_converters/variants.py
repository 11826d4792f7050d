"""Builds the variants of one imported model: float, int8 in each encoding that the targets want, others on request.

Every format is written from the same graphs, so an int8 variant holds the same integers as ONNX and as TFLite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from edgert.bundle import Gate, TensorSpec, Variant
from edgert.dtypes import DType
from edgert.errors import UsageError
from edgert.quant import QuantParams
from edgert.recipe import Recipe
from edgert.target import Target
from edgert_converters.built import Built
from edgert_converters.c_variants import runs_c, with_c
from edgert_converters.engine_notes import opset_notes, release_notes
from edgert_converters.ethos_u_variants import has_npu, with_ethos_u
from edgert_converters.exporters.onnx import serialize
from edgert_converters.half_variant import build_half
from edgert_converters.importers import ImportedModel
from edgert_converters.layers import build_layers, peak_activation_bytes
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.block_graph import quantize_matrices
from edgert_converters.quantize.chain import chain_settings, plan_draft, prepare
from edgert_converters.quantize.draft import Calibration, Draft
from edgert_converters.quantize.existing import is_quantized, strip_quantization
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.matrix import BLOCKS, STATIC, Activation
from edgert_converters.quantize.precisions import AUTO, FORMATS, PRECISIONS, Precision, check_forms
from edgert_converters.quantize.tensorrt_form import apply_for_tensorrt, notes_for_tensorrt
from edgert_converters.repair.steps import Repair
from edgert_converters.requantize import read_requantize
from edgert_converters.tflite_variants import with_tflite
from edgert_converters.units import dequantizer_of, is_standard, static_params

__all__ = [
    "RANDOM_SAMPLES",
    "REFERENCE_ID",
    "build_variants",
    "describe_variant",
    "random_samples",
]

REFERENCE_ID = "onnx-fp32"
RANDOM_SAMPLES = 32


def build_variants(
    imported: ImportedModel,
    recipe: Recipe,
    targets: Sequence[Target],
    calibration: Calibration,
    repaired: Repair | None = None,
) -> tuple[Built, ...]:
    """Returns the variants, the reference first.

    Args:
        imported: the clean model.
        recipe: precisions and the ways to choose ranges.
        targets: what they are for.
        calibration: data that chooses ranges.
        repaired: outcome of the repair loop, where `auto` is one of the precisions.

    Raises:
        DataError: the calibration data does not fit.
    """
    formats = _formats(recipe, targets)
    check_forms(recipe.precisions, formats)
    built = _onnx_variants(imported, recipe, targets, formats, calibration, repaired)
    if "tflite" in formats:
        required = "tflite" in recipe.formats or _suffix(recipe) == "tflite" or has_npu(targets)
        built = with_ethos_u(with_tflite(built, recipe, required=required), recipe.precisions, targets)
    if "c" in formats:
        built = with_c(built, recipe, targets)
    return tuple(variant for variant in built if variant is built[0] or _is_read(variant, recipe, targets, formats))


def _is_read(variant: Built, recipe: Recipe, targets: Sequence[Target], formats: Sequence[str]) -> bool:
    """False for what C was made from and nobody else reads, and for formats that nobody wants."""
    boards = {target.name for target in targets if runs_c(target)} if "c" in formats else set()
    is_source = variant.format == "onnx" and "onnx" not in recipe.formats and boards.issuperset(variant.targets)
    return variant.format in formats and not is_source


def _suffix(recipe: Recipe) -> str:
    return "" if recipe.output is None else recipe.output.suffix.lower().removeprefix(".")


def _formats(recipe: Recipe, targets: Sequence[Target]) -> tuple[str, ...]:
    """The kinds of files to make: what was asked for, what the output file is, else what the targets' engines read.

    Raises:
        UsageError: the output file is of a kind that was not asked for.
    """
    suffix = _suffix(recipe)
    if suffix in FORMATS:
        if recipe.formats and suffix not in recipe.formats:
            raise UsageError(f"--output {recipe.output} is a .{suffix} file, but --format says {recipe.formats[0]}")
        return (suffix,)
    if recipe.formats:
        return recipe.formats
    read = {engine.format for target in targets for engine in target.engines if not engine.optional}
    return tuple(name for name in FORMATS if name in read)


def _onnx_variants(
    imported: ImportedModel,
    recipe: Recipe,
    targets: Sequence[Target],
    formats: Sequence[str],
    calibration: Calibration,
    repaired: Repair | None,
) -> list[Built]:
    """The variants whose graphs every format is written from, the reference first."""
    names = tuple(target.name for target in targets)
    model = imported.model
    symmetric = tuple(t for t in targets if any(e.symmetric_int8 and not e.optional for e in t.engines))
    if is_quantized(model) and not recipe.requantize:
        note = "already quantized: every scale and integer is kept; --requantize starts again from float"
        notes = (note, *(notes_for_tensorrt(model) if symmetric else ()))
        return [_onnx(imported, "onnx-int8", "int8", model, names, notes=notes)]
    model = strip_quantization(model)
    wanted = _wanted(recipe, formats, symmetric)
    draft = None
    if any(precision.quantizer.calibrates and precision.name != AUTO for precision in wanted):
        draft = prepare(model, calibration, chain_settings(recipe))
    built = [_onnx(imported, REFERENCE_ID, "fp32", model, names, draft=draft)]
    for precision in wanted:
        if precision.name == AUTO:
            if repaired is not None and repaired.ships:
                built += _static_variants(imported, precision, repaired.draft, targets, formats)
        elif precision.quantizer is STATIC and draft is not None:
            planned = plan_draft(draft, precision.cell.scheme, calibration, chain_settings(recipe))
            readers = targets if precision.name in recipe.precisions else symmetric
            built += _static_variants(imported, precision, planned, readers, formats)
        elif precision.quantizer is BLOCKS:
            built.append(_block_variant(imported, precision, model, targets))
    fast = tuple(target.name for target in targets if any(engine.computes_fp16 for engine in target.engines))
    if fast or "fp16" in recipe.precisions:
        built.append(build_half(built[0], fast, calibration.samples))
    return built


def _wanted(recipe: Recipe, formats: Sequence[str], symmetric: Sequence[Target]) -> list[Precision]:
    """What was asked for; where int8 was, also the form of it that a target's engine takes instead."""
    names = set(recipe.precisions)
    if symmetric and "onnx" in formats and names & {AUTO, "int8"}:
        names.add("int8-symmetric")
    return [precision for precision in PRECISIONS.values() if precision.name in names]


def _onnx(
    imported: ImportedModel, variant_id: str, precision: str, model: ir.Model, names: tuple[str, ...], **facts: Any
) -> Built:
    # Any: the optional fields of Built
    inputs, outputs = _with_quant(imported.inputs, model), _with_quant(imported.outputs, model)
    return Built(variant_id, precision, model, serialize(model), names, inputs, outputs, **facts)


def _static_variants(
    imported: ImportedModel, precision: Precision, draft: Draft, targets: Sequence[Target], formats: Sequence[str]
) -> list[Built]:
    """One variant per encoding that a target's engines are fast with; TFLite is written from the int8 one."""
    by_encoding: dict[DType, list[Target]] = {}
    for target in targets:
        by_encoding.setdefault(_encoding(precision, target, formats), []).append(target)
    built: list[Built] = []
    for encoding, group in by_encoding.items():
        if precision.cell.activation is Activation.SYMMETRIC:
            quantized = apply_for_tensorrt(draft.model, draft.final)
        else:
            quantized = apply_plan(draft.model, draft.final, encoding)
        suffix = "" if not built else {DType.INT8: "-s8", DType.UINT8: "-u8"}[encoding]
        names = tuple(target.name for target in group)
        notes = (*_own_note(precision), *opset_notes(quantized, group))
        facts = {"encoding": encoding, "draft": draft, "notes": notes}
        built.append(_onnx(imported, f"{precision.onnx_id}{suffix}", precision.name, quantized, names, **facts))
    return built


def _encoding(precision: Precision, target: Target, formats: Sequence[str]) -> DType:
    if precision.cell.activation is Activation.INT16:
        return DType.INT16
    is_free = precision.cell.activation is Activation.INT8 and "onnx" in formats
    return target.activation_encoding if is_free else DType.INT8


def _block_variant(imported: ImportedModel, precision: Precision, model: ir.Model, targets: Sequence[Target]) -> Built:
    made = quantize_matrices(model, precision.cell.scheme)
    names = tuple(target.name for target in targets)
    notes = (made.note, *release_notes(made.onnxruntime, targets))
    return _onnx(imported, precision.onnx_id, precision.name, made.model, names, notes=notes)


def _own_note(precision: Precision) -> tuple[str, ...]:
    return () if precision.note is None else (precision.note,)


def describe_variant(built: Built, gate: Gate, notes: Sequence[str]) -> Variant:
    """Returns the manifest's row for a variant."""
    precision = PRECISIONS.get(built.precision)
    quantized = precision is not None and precision.by_contract
    return Variant(
        id=built.id,
        format=built.format,
        precision=built.precision,
        path=built.file_name,
        inputs=built.inputs,
        outputs=built.outputs,
        layers=build_layers(built.model),
        peak_activation_bytes=peak_activation_bytes(built.model),
        gate=gate,
        requantize=read_requantize(built.model).value if quantized else None,
        encoding=built.encoding,
        targets=built.targets,
        notes=(*built.notes, *notes),
    )


def random_samples(inputs: Sequence[TensorSpec], count: int, seed: int) -> list[dict[str, Array]]:
    """Returns seeded stand-ins for missing data: standard normal values, or zeros for integer inputs; batch 1."""
    rng = np.random.default_rng(seed)
    return [{spec.name: _random_input(spec, rng) for spec in inputs} for _ in range(count)]


def _random_input(spec: TensorSpec, rng: np.random.Generator) -> Array:
    shape = tuple(size or 1 for size in spec.shape)
    if spec.dtype in {DType.FLOAT, DType.FLOAT16, DType.DOUBLE}:
        return rng.standard_normal(shape).astype(spec.dtype.numpy)
    return np.zeros(shape, spec.dtype.numpy)


def _with_quant(specs: Sequence[TensorSpec], model: ir.Model) -> tuple[TensorSpec, ...]:
    """Returns the ports with the parameters of the integers that stand right behind or before them."""
    found: dict[str, QuantParams] = {}
    for value in model.graph.inputs:
        readers = [use.node for use in value.uses() if is_standard(use.node, "QuantizeLinear")]
        if readers:
            found[str(value.name)] = static_params(readers[0])
    for value in model.graph.outputs:
        node = dequantizer_of(value)
        if node is not None:
            found[str(value.name)] = static_params(node)
    return tuple(
        TensorSpec(spec.name, spec.shape, spec.dtype, spec.layout, params)
        if (params := found.get(spec.name)) is not None and params.axis is None
        else spec
        for spec in specs
    )
