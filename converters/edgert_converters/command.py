"""The converter behind `edgert convert` and `edgert inspect`: import, clean up, quantize, verify, write."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

import edgert
from edgert.bundle import SCHEMA, Gate, Manifest
from edgert.codec import JsonValue
from edgert.plugins import ConvertResult, Judgement, ModelSummary, ProgressReporter, SampleRunner
from edgert.recipe import Recipe
from edgert.target import get_target
from edgert.verification import VerifyReport, VerifyRequest
from edgert_converters.c_variants import runs_c
from edgert_converters.calibration import choose_calibration, load_data
from edgert_converters.comparison.verify import verify as compare_engines
from edgert_converters.conversion import Conversion
from edgert_converters.ethos_u_variants import need_compiler
from edgert_converters.golden import GOLDEN, golden_file
from edgert_converters.importers import ImportedModel, import_model, import_torch
from edgert_converters.inspect import inspect_model
from edgert_converters.judge import judge as judge_candidate
from edgert_converters.judging import AGREEMENT, judge_variants
from edgert_converters.layer_errors import Gain, LayerError, measure_gains, measure_layer_errors, nodes_of_float_output
from edgert_converters.metrics import load_metric
from edgert_converters.output import REPORT, check_output, to_json_bytes, write_output
from edgert_converters.payoff.answer import describe_known
from edgert_converters.quantize.calibrate import Samples
from edgert_converters.quantize.draft import Calibration
from edgert_converters.quantize.float_layers import check_float_layers
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.precisions import check_precisions
from edgert_converters.repair.request import repair_for_targets
from edgert_converters.repair.windows import keep_float
from edgert_converters.summary import build_messages, build_report, build_summary
from edgert_converters.variants import (
    build_variants,
    describe_variant,
)

__all__ = ["CONVERTER"]

_ERROR_SAMPLES = 16
_WORST_LAYERS = 5


class _DefaultConverter:
    """Implements edgert.plugins.Converter for ONNX, TFLite and PyTorch models."""

    def convert(self, recipe: Recipe, progress: ProgressReporter) -> ConvertResult:
        """Converts `recipe.model` and writes `recipe.output` (default: NAME.edge in the working directory)."""
        _check_request(recipe)
        progress("import", 0, 0)
        imported = import_model(recipe.model, recipe.shapes, layout=recipe.layout, trust_pickle=recipe.trust_pickle)
        return _convert(imported, recipe, progress)

    def convert_program(
        self,
        program: Any,  # Any: torch.nn.Module or torch.export.ExportedProgram; torch may be absent
        example_inputs: Sequence[Any],  # Any: torch tensors
        recipe: Recipe,
        progress: ProgressReporter,
    ) -> ConvertResult:
        """Converts a PyTorch program in memory; `recipe.model` only names it."""
        _check_request(recipe)
        progress("import", 0, 0)
        return _convert(import_torch(program, example_inputs, recipe.shapes), recipe, progress)

    def inspect(
        self,
        path: Path,
        shapes: Mapping[str, tuple[int, ...]],
        targets: Sequence[str],
        *,
        measure: bool = False,
        progress: ProgressReporter | None = None,
    ) -> ModelSummary:
        """Describes a model file."""
        return inspect_model(path, shapes, targets, measure=measure, progress=progress)

    def verify(self, request: VerifyRequest, progress: ProgressReporter) -> VerifyReport:
        """Compares engines with the integer interpreter."""
        return compare_engines(request, progress)

    def judge(
        self,
        manifest: Manifest,
        report: JsonValue,
        data: str,
        reference: SampleRunner,
        candidate: SampleRunner,
        progress: ProgressReporter,
    ) -> Judgement:
        """Compares a candidate, as it runs, with the float reference on labelled data."""
        return judge_candidate(manifest, report, data, reference, candidate, progress)


CONVERTER = _DefaultConverter()


def _output(recipe: Recipe) -> Path:
    return recipe.output or Path(f"{recipe.model.stem}.edge")


def _check_request(recipe: Recipe) -> None:
    """Refuses before any work what would be refused after it."""
    need_compiler([get_target(name) for name in recipe.targets])
    check_precisions(recipe.precisions)
    if recipe.metric not in {None, AGREEMENT}:
        load_metric(str(recipe.metric))
    check_output(_output(recipe))


def _convert(imported: ImportedModel, recipe: Recipe, progress: ProgressReporter) -> ConvertResult:
    targets = [get_target(name) for name in recipe.targets]
    check_float_layers(imported.model, recipe.float_layers, recipe.model, requantize=recipe.requantize)
    recipe = replace(recipe, labels=recipe.labels or imported.labels)
    known = describe_known(imported, targets) if "int8" in recipe.precisions else None
    data = load_data(recipe, imported)
    calibration, synthetic = choose_calibration(data, imported, recipe, progress)
    samples = calibration.samples
    repaired = repair_for_targets(imported, recipe, targets, data, calibration)
    built = build_variants(imported, recipe, targets, calibration, repaired)
    verification = judge_variants(recipe, data, imported, built, progress)
    conversion = Conversion(recipe, imported, data, built, verification, (), (), (), repaired)
    errors = _layer_errors(conversion, samples, progress)
    gains = _gains(conversion, errors, calibration)
    conversion = replace(conversion, errors=errors, gains=gains)
    conversion = replace(conversion, messages=(*filter(None, (known, synthetic)), *build_messages(conversion)))
    manifest, files = _pack(conversion, samples)
    written = write_output(_output(recipe), manifest, files, conversion.chosen.id)
    gate = conversion.final_gate
    return ConvertResult(written, gate, build_summary(conversion, written, gate), conversion.messages)


def _layer_errors(conversion: Conversion, samples: Samples, progress: ProgressReporter) -> tuple[LayerError, ...]:
    chosen = conversion.chosen
    if chosen.draft is None or chosen.draft.plan is None:
        return ()
    few = list(itertools.islice(samples(), _ERROR_SAMPLES))
    return measure_layer_errors(chosen.draft.model, chosen.model, chosen.draft.plan, few, progress)


def _gains(conversion: Conversion, errors: Sequence[LayerError], calibration: Calibration) -> tuple[Gain, ...]:
    """Only after a failed gate: that is when somebody looks for the layers to repair."""
    chosen = conversion.chosen
    draft, encoding = chosen.draft, chosen.encoding
    if conversion.gate(chosen.id) is not Gate.FAILED or draft is None or draft.plan is None or encoding is None:
        return ()

    def rebuild(layers: frozenset[str]) -> ir.Model:
        kept = {name for layer in layers for name in nodes_of_float_output(draft.model, draft.final, layer)}
        restricted = keep_float(draft, kept)
        return apply_plan(restricted.model, restricted.final, encoding)

    few = list(itertools.islice(calibration.samples(), _ERROR_SAMPLES))
    return measure_gains(errors, draft.model, rebuild, few, _WORST_LAYERS, calibration.progress)


def _is_for_few(conversion: Conversion) -> bool:
    """True where the chosen variant is C, and some of the targets run no C."""
    is_c = conversion.chosen.format == "c"
    return is_c and not all(runs_c(get_target(name)) for name in conversion.recipe.targets)


def _pack(conversion: Conversion, samples: Samples) -> tuple[Manifest, dict[str, bytes]]:
    recipe, imported = conversion.recipe, conversion.imported
    variants = tuple(
        describe_variant(
            variant,
            conversion.gate(variant.id),
            ("unverified",) if variant is not conversion.built[0] and conversion.result(variant.id) is None else (),
        )
        for variant in conversion.built
    )
    passed = conversion.gate(conversion.chosen.id) is Gate.PASSED
    manifest = Manifest(
        schema=SCHEMA,
        name=recipe.model.stem,
        edgert_version=edgert.__version__,
        source=imported.source,
        inputs=imported.inputs,
        outputs=imported.outputs,
        variants=variants,
        default_variant=conversion.chosen.id if passed and not _is_for_few(conversion) else conversion.built[0].id,
        preprocess=recipe.preprocess,
        postprocess=recipe.postprocess,
        labels=recipe.labels,
    )
    files = {name: data for variant in conversion.built for name, data in variant.files.items()}
    files[GOLDEN] = golden_file(conversion, samples)
    files[REPORT] = to_json_bytes(build_report(conversion))
    return manifest, files
