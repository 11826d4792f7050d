"""Judges variants on the samples that decide: finished ones in their own engine, graphs on the way to one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import onnx_ir as ir

from edgert.errors import UsageError
from edgert.plugins import ProgressReporter
from edgert.recipe import Recipe
from edgert.runtime.postprocess import Postprocess, build_postprocess
from edgert_converters.accuracy import VariantResult, Verification, verify
from edgert_converters.built import Built
from edgert_converters.data import Dataset, DataSplit
from edgert_converters.engine import Runner, load_runner
from edgert_converters.importers import ImportedModel
from edgert_converters.metrics import Metric, choose_metric, load_metric
from edgert_converters.variant_runner import load_variant, why_not_here

__all__ = ["AGREEMENT", "GraphJudge", "judge_variants", "load_runners", "make_graph_judge"]

AGREEMENT = "agreement"
"""As a metric: ignore the labels and compare answers with the float model's."""

_CANDIDATE = "candidate"

GraphJudge = Callable[[ir.Model], VariantResult]


def load_runners(built: Sequence[Built], imported: ImportedModel) -> dict[str, Runner]:
    """Returns what an engine here can run, by variant id; the reference always."""
    return {
        variant.id: load_variant(variant, imported.inputs, imported.outputs)
        for variant in built
        if variant is built[0] or why_not_here(variant) is None
    }


def judge_variants(
    recipe: Recipe, data: DataSplit, imported: ImportedModel, built: Sequence[Built], progress: ProgressReporter
) -> Verification | None:
    """Returns how every variant compares with the reference; None without samples that decide."""
    if data.evaluation is None:
        return None
    runners = load_runners(built, imported)
    reference = runners.pop(built[0].id)
    twins = _twins(built)
    for twin in twins:
        del runners[twin]
    postprocess = build_postprocess(recipe.postprocess)
    metric = _metric(recipe, data.evaluation, postprocess)
    found = verify(
        reference,
        runners,
        data.evaluation,
        metric,
        postprocess,
        recipe.max_drop_points,
        metric_output=recipe.metric_output,
        seed=recipe.seed,
        progress=progress,
    )
    results = {result.id: result for result in found.variants}
    copies = (replace(results[judged], id=twin) for twin, judged in twins.items())
    return replace(found, variants=(*found.variants, *copies))


def _twins(built: Sequence[Built]) -> dict[str, str]:
    """C of the same graph for several boards gives the same integers: its id -> the id of the one that is judged."""
    first: dict[int, str] = {}
    for variant in built:
        if variant.format == "c":
            first.setdefault(id(variant.model), variant.id)
    return {v.id: first[id(v.model)] for v in built if v.format == "c" and first[id(v.model)] != v.id}


def make_graph_judge(recipe: Recipe, data: DataSplit, reference: ir.Model) -> GraphJudge:
    """Returns what judges a graph with the model's own inputs and outputs, as `judge_variants` will judge the variant.

    Without samples that decide, calibration samples do, by agreement with the reference.

    Raises:
        UsageError: there is no data at all.
    """
    dataset = data.evaluation or data.calib
    if dataset is None:
        raise UsageError(
            "--precision auto repairs what data shows; give --calib CAL.npz, and --eval EVAL.npz to decide"
        )
    run = load_runner(reference)
    postprocess = build_postprocess(recipe.postprocess)
    metric = _metric(recipe, dataset, postprocess) if data.evaluation is not None else None

    def judge(graph: ir.Model) -> VariantResult:
        return verify(
            run,
            {_CANDIDATE: load_runner(graph)},
            dataset,
            metric,
            postprocess,
            recipe.max_drop_points,
            metric_output=recipe.metric_output,
            seed=recipe.seed,
        ).variant(_CANDIDATE)

    return judge


def _metric(recipe: Recipe, evaluation: Dataset, postprocess: Postprocess) -> Metric | None:
    if recipe.metric == AGREEMENT:
        return None
    return load_metric(recipe.metric) if recipe.metric else choose_metric(evaluation, postprocess)
