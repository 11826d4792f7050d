"""Runs the float model and its variants over the same samples and says what each variant costs."""

from __future__ import annotations

import base64
import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from edgert.bundle import Gate
from edgert.codec import JsonValue, to_plain
from edgert.errors import DataError, EdgertError
from edgert.plugins import ProgressReporter
from edgert.runtime.postprocess import Classification, Detections, Postprocess, Raw, Result, as_classification
from edgert_converters.agreement import AgreementMeter, AgreementValue, decide_by_agreement, decide_by_sqnr
from edgert_converters.data.sample import Array, Dataset, Sample
from edgert_converters.gate import GateDecision, decide
from edgert_converters.metrics.metric import Metric, Record
from edgert_converters.png import encode_png
from edgert_converters.sample_views import InputView, view_input
from edgert_converters.sqnr import OutputError, OutputErrorMeter, differ_in_rows_only

__all__ = ["Runner", "VariantResult", "Verification", "WorstSample", "verify"]

Runner: TypeAlias = Callable[[dict[str, Array]], dict[str, Array]]
"""Runs one sample: inputs by name with leading batch axis 1, outputs by name."""

_WORST_SAMPLES = 8
_SHOWN_INPUTS = 4


@dataclass(frozen=True, slots=True)
class WorstSample:
    """A sample whose answers differ most; `agree` is its share of same answers, None where nothing is comparable.

    It is shown by `preview_png` where it was an image, and by what the model got of it where it was not.
    """

    variant: str
    id: str
    agree: float | None
    sqnr_db: float
    reference: str
    answer: str
    preview_png: bytes | None = None
    inputs: tuple[InputView, ...] = ()


@dataclass(frozen=True, slots=True)
class VariantResult:
    """What was measured of one variant. `value` is the metric's; None without labels."""

    id: str
    value: float | None
    agreement: AgreementValue | None
    decision: GateDecision
    outputs: tuple[OutputError, ...]


@dataclass(frozen=True, slots=True)
class Verification:
    """The whole comparison. `metric` None: no labels, agreement decides; `higher_is_better` is False for errors."""

    metric: str | None
    unit: str
    reference_value: float | None
    n: int
    variants: tuple[VariantResult, ...]
    worst_samples: tuple[WorstSample, ...]
    higher_is_better: bool = True

    def variant(self, variant_id: str) -> VariantResult:
        """Returns the result of one variant.

        Raises:
            KeyError: it was not verified.
        """
        for variant in self.variants:
            if variant.id == variant_id:
                return variant
        raise KeyError(variant_id)

    def gate(self) -> Gate:
        """The worst gate of all variants: failed, then undecided, then passed; none where there are no variants."""
        gates = {variant.decision.gate for variant in self.variants}
        return next((gate for gate in (Gate.FAILED, Gate.UNDECIDED, Gate.PASSED) if gate in gates), Gate.NONE)

    def to_json(self) -> dict[str, JsonValue]:
        """Returns the document for report.json and `--json`."""
        return {
            "reference": {
                "metric": self.metric or "agreement",
                "unit": self.unit,
                "value": self.reference_value,
                "n": self.n,
                "higher_is_better": self.higher_is_better,
            },
            "variants": [_variant_json(variant) for variant in self.variants],
            "worst_samples": [_worst_json(sample) for sample in self.worst_samples],
        }


def verify(  # noqa: PLR0913  # the keyword-only ones all have a sensible default
    reference: Runner,
    variants: Mapping[str, Runner],
    dataset: Dataset,
    metric: Metric | None,
    postprocess: Postprocess,
    max_drop_points: float = 1.0,
    *,
    metric_output: str | None = None,
    agreement_score: float = 0.3,
    seed: int = 0,
    progress: ProgressReporter | None = None,
) -> Verification:
    """Returns how every variant compares with the reference on all samples of a data set, one sample at a time.

    Args:
        reference: the float model.
        variants: what is judged, by variant id.
        dataset: samples that did not choose ranges or repairs.
        metric: its labels decide; None: agreement with the reference decides.
        postprocess: from outputs to classes or boxes.
        max_drop_points: largest drop that passes.
        metric_output: the only output that metric and agreement look at, where there are several.
        agreement_score: boxes below it do not count for the agreement.
        seed: of the bootstrap.
        progress: told the number of samples done.

    Raises:
        DataError: the data set is empty, a sample does not fit, or a variant's outputs do not match the reference's.
    """
    if len(dataset) == 0:
        raise DataError(f"{dataset.name}: no samples to verify with")
    reader = _Reader(postprocess, metric, metric_output)
    meters: dict[str, _VariantMeter] = {}
    reference_records: list[Record] = []
    for index in range(len(dataset)):
        sample = dataset.sample(index)
        expected = _Answer(reference(sample.inputs), reader, sample)
        if not meters:
            has_classes = _gives_classes(postprocess, sample, expected)
            meters = {
                name: _VariantMeter(name, AgreementMeter(agreement_score, has_classes=has_classes)) for name in variants
            }
        if expected.record is not None:
            reference_records.append(expected.record)
        for name, runner in variants.items():
            meters[name].add(sample, expected, _Answer(runner(sample.inputs), reader, sample))
        if progress is not None:
            progress("verify", index + 1, len(dataset))
    results = tuple(meter.result(metric, reference_records, max_drop_points, seed) for meter in meters.values())
    worst = tuple(sample for meter in meters.values() for sample in meter.worst())
    value = _value(metric, reference_records)
    return Verification(
        metric.name if metric else None,
        metric.unit if metric else "",
        value,
        len(dataset),
        results,
        worst,
        metric.higher_is_better if metric else True,
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """How outputs are read: post-processing, then the metric's record."""

    postprocess: Postprocess
    metric: Metric | None
    metric_output: str | None

    def result(self, outputs: dict[str, Array], sample: Sample) -> Result:
        chosen = outputs
        if self.metric_output is not None and not self.postprocess.steps:
            if self.metric_output not in outputs:
                raise DataError(f"metric_output {self.metric_output!r} is no output of the model: {', '.join(outputs)}")
            chosen = {self.metric_output: outputs[self.metric_output]}
        return self.postprocess(chosen, sample.geometry)


class _Answer:
    """The outputs of one model for one sample, and what they mean."""

    def __init__(self, outputs: dict[str, Array], reader: _Reader, sample: Sample) -> None:
        self.outputs = outputs
        self.result = reader.result(outputs, sample)
        self.record: Record | None = None
        if reader.metric is not None:
            try:
                self.record = reader.metric.record(self.result, sample.label)
            except EdgertError as error:
                raise DataError(f"sample {sample.id}: {error}") from error


@dataclass(slots=True)
class _VariantMeter:
    """Everything that is collected about one variant while samples stream by."""

    name: str
    _agreement: AgreementMeter
    records: list[Record] = field(default_factory=list)
    _outputs: dict[str, OutputErrorMeter] = field(default_factory=dict)
    _worst: list[tuple[float, int, WorstSample]] = field(default_factory=list)
    _count: int = 0

    def add(self, sample: Sample, expected: _Answer, got: _Answer) -> None:
        """Takes the two answers to one sample."""
        self._count += 1
        errors_db = [self._compare(name, values, got.outputs) for name, values in expected.outputs.items()]
        agree = self._agreement.add(expected.result, got.result)
        if got.record is not None:
            self.records.append(got.record)
        worst_db = min(errors_db, default=0.0)
        badness = 1000.0 * (1.0 - (1.0 if agree is None else agree)) - worst_db
        if len(self._worst) == _WORST_SAMPLES and badness <= self._worst[0][0]:
            return
        preview = encode_png(sample.preview) if sample.preview is not None else None
        texts = describe(expected.result), describe(got.result)
        shown = [] if preview else list(sample.inputs.items())[:_SHOWN_INPUTS]
        views = tuple(view_input(name, values) for name, values in shown)
        entry = (badness, -self._count, WorstSample(self.name, sample.id, agree, worst_db, *texts, preview, views))
        (heapq.heappush if len(self._worst) < _WORST_SAMPLES else heapq.heappushpop)(self._worst, entry)

    def worst(self) -> list[WorstSample]:
        """The samples with the largest disagreement, largest first."""
        return [sample for _, _, sample in sorted(self._worst, key=lambda entry: (-entry[0], -entry[1]))]

    def result(
        self, metric: Metric | None, reference: Sequence[Record], max_drop_points: float, seed: int
    ) -> VariantResult:
        """Closes the account."""
        outputs = tuple(meter.result() for meter in self._outputs.values())
        agreement = self._agreement.value()
        if metric is not None:
            decision = decide(metric, reference, self.records, max_drop_points, seed=seed)
        elif agreement is not None:
            decision = decide_by_agreement(agreement, max_drop_points)
        else:
            decision = decide_by_sqnr(outputs, self._count, max_drop_points)
        return VariantResult(self.name, _value(metric, self.records), agreement, decision, outputs)

    def _compare(self, name: str, values: Array, outputs: Mapping[str, Array]) -> float:
        if name not in outputs or not differ_in_rows_only(outputs[name].shape, values.shape):
            got = f"of shape {list(outputs[name].shape)}" if name in outputs else "missing"
            raise DataError(f"variant {self.name!r}: output {name!r} is {got}, the reference has {list(values.shape)}")
        return self._outputs.setdefault(name, OutputErrorMeter(name)).add(values, outputs[name])


def _gives_classes(postprocess: Postprocess, sample: Sample, answer: _Answer) -> bool:
    """Whether a lone vector is class scores: the recipe or the label says so, or it is no copy of an input's shape."""
    if postprocess.is_classifier or isinstance(sample.label, int):
        return True
    if sample.label is not None:
        return False
    shapes = {values.shape for values in sample.inputs.values()}
    return not any(values.shape in shapes for values in answer.outputs.values())


def describe(result: Result) -> str:
    """Returns a result in a few words, for lists of worst samples."""
    if isinstance(result, Detections):
        best = ", ".join(f"{c} {s:.2f}" for c, s in zip(result.class_ids[:3], result.scores[:3], strict=True))
        return f"{int((result.scores >= 0.3).sum())} boxes ({best})" if best else "0 boxes"
    classification = (
        as_classification(result) if isinstance(result, Classification) or len(result.outputs) == 1 else None
    )
    if classification is not None:
        class_id = int(classification.top[0])
        return f"class {class_id} ({classification.scores[class_id]:.3g})"
    names = result.outputs if isinstance(result, Raw) else {}
    return ", ".join(f"{name} {list(np.shape(values))}" for name, values in names.items())


def _value(metric: Metric | None, records: Sequence[Record]) -> float | None:
    return metric.estimator(records)(np.ones(len(records))) if metric is not None else None


def _variant_json(variant: VariantResult) -> dict[str, JsonValue]:
    decision, agreement = variant.decision, variant.agreement
    return {
        "id": variant.id,
        "value": variant.value,
        "agree": agreement.value if agreement else None,
        "agree_ci95": list(agreement.ci95) if agreement else None,
        "agree_n": agreement.n if agreement else 0,
        "agree_kind": agreement.kind.value if agreement else None,
        "drop": decision.drop_points,
        "ci95": list(decision.ci95),
        "upper95": decision.upper95,
        "lower95": decision.lower95,
        "gate": decision.gate.value,
        "n": decision.n,
        "samples_needed": decision.samples_needed,
        "sentence": decision.sentence,
        "outputs": [to_plain(output) for output in variant.outputs],
    }


def _worst_json(sample: WorstSample) -> dict[str, JsonValue]:
    preview = base64.b64encode(sample.preview_png).decode() if sample.preview_png else None
    return {
        "variant": sample.variant,
        "id": sample.id,
        "agree": sample.agree,
        "sqnr_db": sample.sqnr_db,
        "reference": sample.reference,
        "answer": sample.answer,
        "preview_png": preview,
        "inputs": [view.to_json() for view in sample.inputs],
    }
