"""The accuracy gate for one way of running a finished model: the same paired test as in a conversion."""

from __future__ import annotations

from edgert.bundle import Manifest
from edgert.codec import JsonValue
from edgert.plugins import Judgement, ProgressReporter, SampleRunner
from edgert.recipe import Recipe
from edgert.runtime.postprocess import Postprocess, build_postprocess
from edgert_converters.accuracy import verify
from edgert_converters.data import Dataset, load_dataset
from edgert_converters.data.function import is_function_spec
from edgert_converters.metrics import METRICS, Metric, choose_metric, load_metric

__all__ = ["judge"]

_CANDIDATE = "candidate"


def judge(
    manifest: Manifest,
    report: JsonValue,
    data: str,
    reference: SampleRunner,
    candidate: SampleRunner,
    progress: ProgressReporter,
) -> Judgement:
    """Returns what the gate says; see edgert.plugins.Converter.judge."""
    dataset = load_dataset(data, manifest.inputs, manifest.preprocess, manifest.labels)
    postprocess = build_postprocess(manifest.postprocess)
    facts = report if isinstance(report, dict) else {}
    verification = verify(
        reference,
        {_CANDIDATE: candidate},
        dataset,
        _metric(facts, dataset, postprocess),
        postprocess,
        float(facts.get("max_drop_points", Recipe.__dataclass_fields__["max_drop_points"].default)),
        metric_output=facts.get("metric_output"),
        progress=progress,
    )
    decision = verification.variant(_CANDIDATE).decision
    return Judgement(decision.gate, decision.drop_points, decision.n, decision.sentence)


def _metric(facts: dict[str, JsonValue], dataset: Dataset, postprocess: Postprocess) -> Metric | None:
    """The metric of the conversion where it was one with labels, else the usual one for the data."""
    named = (facts.get("reference") or {}).get("metric")
    if dataset.has_labels and isinstance(named, str) and (named in METRICS or is_function_spec(named)):
        return load_metric(named)
    return choose_metric(dataset, postprocess)
