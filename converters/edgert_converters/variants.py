"""Builds the variants of one imported model: float, int8 in each encoding that the targets want, float16 on request."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgert.bundle import Gate, TensorSpec, Variant
from edgert.dtypes import DType
from edgert.errors import UsageError
from edgert.plugins import ProgressReporter
from edgert.quant import QuantParams
from edgert.recipe import Recipe
from edgert.target import Target
from edgert_converters.engine import load_runner
from edgert_converters.exporters.onnx import serialize
from edgert_converters.importers import ImportedModel
from edgert_converters.layers import build_layers, peak_activation_bytes
from edgert_converters.ops.spec import Array
from edgert_converters.passes.output_check import relative_error
from edgert_converters.quantize.calibrate import collect_statistics
from edgert_converters.quantize.existing import is_quantized, strip_quantization
from edgert_converters.quantize.fp16 import FLOAT16_TOLERANCE, first_layer_beyond, to_float16
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.plan import Plan, make_plan, values_to_watch
from edgert_converters.quantize.statistics import TensorStatistics

__all__ = [
    "PRECISIONS",
    "REFERENCE_ID",
    "Built",
    "Samples",
    "build_variants",
    "check_precisions",
    "describe_variant",
    "random_samples",
]

PRECISIONS = ("int8", "fp16")
REFERENCE_ID = "onnx-fp32"
RANDOM_SAMPLES = 32
_HALF_SAMPLES = 4

Samples = Callable[[], Iterable[Mapping[str, Array]]]
"""Gives the calibration inputs, from the start, each time it is called."""


@dataclass(frozen=True, slots=True)
class Built:
    """A variant in memory. `plan` and `statistics` are there where edgert quantized it itself."""

    id: str
    precision: str
    model: ir.Model
    data: bytes
    targets: tuple[str, ...]
    encoding: DType | None = None
    plan: Plan | None = None
    statistics: Mapping[str, TensorStatistics] | None = None
    notes: tuple[str, ...] = ()


def check_precisions(precisions: Sequence[str]) -> None:
    """Refuses precisions that edgert does not make.

    Raises:
        UsageError: an unknown precision.
    """
    unknown = [precision for precision in precisions if precision not in PRECISIONS]
    if unknown:
        raise UsageError(f"unknown precision {unknown[0]!r}; allowed: {', '.join(PRECISIONS)}")


def build_variants(
    imported: ImportedModel,
    recipe: Recipe,
    targets: Sequence[Target],
    samples: Samples,
    sample_count: int,
    progress: ProgressReporter,
) -> tuple[Built, ...]:
    """Returns the variants, the reference first.

    Args:
        imported: the clean model.
        recipe: precisions and the ways to choose ranges.
        targets: what they are for.
        samples: calibration inputs.
        sample_count: how many there are, for the progress report.
        progress: told while calibrating.

    Raises:
        DataError: the calibration data does not fit.
    """
    names = tuple(target.name for target in targets)
    model = imported.model
    if is_quantized(model):
        if not recipe.requantize:
            note = "already quantized: every scale and integer is kept; --requantize starts again from float"
            return (Built("onnx-int8", "int8", model, serialize(model), names, notes=(note,)),)
        model = strip_quantization(model)
    built = [Built(REFERENCE_ID, "fp32", model, serialize(model), names)]
    if "int8" in recipe.precisions:
        statistics = collect_statistics(model, values_to_watch(model), samples(), progress, sample_count)
        built += _int8_variants(model, statistics, recipe, targets)
    fast = tuple(target.name for target in targets if any(engine.computes_fp16 for engine in target.engines))
    if fast or "fp16" in recipe.precisions:
        built.append(_half_variant(model, fast, names, samples))
    return tuple(built)


def _half_variant(model: ir.Model, fast: tuple[str, ...], names: tuple[str, ...], samples: Samples) -> Built:
    """`fast` are the targets with an engine that computes in float16; without any it was asked for, and says so."""
    half = to_float16(model)
    slow = () if fast else ("half the size, not faster: no engine of the targets computes in float16",)
    notes = (*slow, *_half_notes(model, half, samples))
    return Built("onnx-fp16", "fp16", half, serialize(half), fast or names, notes=notes)


def _half_notes(model: ir.Model, half: ir.Model, samples: Samples) -> tuple[str, ...]:
    """Names the layer where float16 breaks, when one of a few samples shows that it does."""
    reference, variant = load_runner(model), load_runner(half)
    for feed in itertools.islice(samples(), _HALF_SAMPLES):
        expected, found = reference(feed), variant(feed)
        error = relative_error(list(expected.values()), [found[name] for name in expected])
        if error <= FLOAT16_TOLERANCE:
            continue
        layer = first_layer_beyond(model, half, feed, FLOAT16_TOLERANCE)
        where = f"; the first layer that does is {layer.op} {layer.layer!r}" if layer is not None else ""
        how_far = (
            "is NaN or infinite"
            if math.isinf(error)
            else f"differs by {error:.2g} of its largest magnitude, above {FLOAT16_TOLERANCE:g}"
        )
        return (f"an output {how_far}{where}",)
    return ()


def _int8_variants(
    model: ir.Model, statistics: Mapping[str, TensorStatistics], recipe: Recipe, targets: Sequence[Target]
) -> list[Built]:
    plan = make_plan(model, statistics, recipe.ranges, recipe.percentile)
    by_encoding: dict[DType, list[str]] = {}
    for target in targets:
        by_encoding.setdefault(target.activation_encoding, []).append(target.name)
    built: list[Built] = []
    for encoding, names in by_encoding.items():
        quantized = apply_plan(model, plan, encoding)
        suffix = "" if not built else {DType.INT8: "-s8", DType.UINT8: "-u8"}[encoding]
        built.append(
            Built(
                f"onnx-int8{suffix}", "int8", quantized, serialize(quantized), tuple(names), encoding, plan, statistics
            )
        )
    return built


def describe_variant(built: Built, imported: ImportedModel, path: str, gate: Gate, notes: Sequence[str]) -> Variant:
    """Returns the manifest's row for a variant whose file will lie at `path` in the bundle."""
    return Variant(
        id=built.id,
        format="onnx",
        precision=built.precision,
        path=path,
        inputs=tuple(_with_quant(spec, built) for spec in imported.inputs),
        outputs=tuple(_with_quant(spec, built) for spec in imported.outputs),
        layers=build_layers(built.model),
        peak_activation_bytes=peak_activation_bytes(built.model),
        gate=gate,
        requantize="fp32" if built.plan is not None else None,
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


def _with_quant(spec: TensorSpec, built: Built) -> TensorSpec:
    params: QuantParams | None = built.plan.params.get(spec.name) if built.plan is not None else None
    if params is None or built.encoding is None:
        return spec
    return TensorSpec(spec.name, spec.shape, spec.dtype, spec.layout, params.shifted(built.encoding))
