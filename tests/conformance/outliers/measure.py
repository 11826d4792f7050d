"""Runs one block through the quantizer's chain and measures each branch against the float model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgert.dtypes import DType
from edgert.recipe import DEFAULT_ALGORITHMS, RangeMethod
from edgert_converters.engine import Runner, load_runner
from edgert_converters.interpreter import Interpreter
from edgert_converters.layers import build_layers
from edgert_converters.quantize.chain import plan_draft, prepare
from edgert_converters.quantize.draft import Calibration, Draft, Settings
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.plan import FloatLayer
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.scheme import INT8, Scheme
from edgert_converters.sqnr import sqnr_db
from tests.conformance.outliers.block import Fixture, Inputs
from tests.conformance.outliers.fixtures import clean_model

CALIBRATION_SEEDS, HELD_OUT_SEEDS = range(100, 132), range(900, 904)
BASELINE = Settings(RangeRule(RangeMethod.MIN_MAX), coarse_stays_float=False)
DEFAULT = Settings(algorithms=frozenset(DEFAULT_ALGORITHMS))

Outputs = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one block keeps: decibels of its worst branch in both executors, and the share of MACs on integers."""

    interpreter_db: float
    engine_db: float
    integer_macs: float
    float_layers: tuple[FloatLayer, ...]
    interpreter: tuple[Outputs, ...] = field(repr=False)
    reference: tuple[Outputs, ...] = field(repr=False)

    @property
    def worst_db(self) -> float:
        """The lower of both."""
        return min(self.interpreter_db, self.engine_db)


def prepare_fixture(fixture: Fixture, settings: Settings, *, outlier: bool) -> tuple[Draft, Calibration]:
    """The first half of the chain, which all schemes share."""

    def samples() -> Iterable[Inputs]:
        return (fixture.inputs(seed, outlier=outlier) for seed in CALIBRATION_SEEDS)

    calibration = Calibration(samples, len(CALIBRATION_SEEDS), lambda *_: None)
    return prepare(clean_model(fixture), calibration, settings), calibration


def quantize_draft(
    draft: Draft, calibration: Calibration, scheme: Scheme, settings: Settings
) -> tuple[ir.Model, Draft]:
    """The quantized graph, in the encoding that x86 is fast with, and the draft with its plan."""
    planned = plan_draft(draft, scheme, calibration, settings)
    encoding = DType.UINT8 if scheme.activation is DType.INT8 else DType.INT16
    return apply_plan(planned.model, planned.final, encoding), planned


def measure(
    fixture: Fixture, scheme: Scheme = INT8, settings: Settings = DEFAULT, *, outlier: bool = False
) -> Measured:
    """Quantizes one block on 32 samples and measures it on 4 others."""
    draft, calibration = prepare_fixture(fixture, settings, outlier=outlier)
    return measure_draft(fixture, draft, calibration, scheme, settings, outlier=outlier)


def measure_draft(
    fixture: Fixture, draft: Draft, calibration: Calibration, scheme: Scheme, settings: Settings, *, outlier: bool
) -> Measured:
    """As `measure`, from a prepared draft."""
    model, planned = quantize_draft(draft, calibration, scheme, settings)
    held_out = [fixture.inputs(seed, outlier=outlier) for seed in HELD_OUT_SEEDS]
    reference = _run(load_runner(clean_model(fixture)), held_out)
    interpreter = Interpreter(model)
    judged = tuple(interpreter.run(inputs).outputs for inputs in held_out)
    engine = _run(load_runner(model), held_out)
    return Measured(
        worst_branch_db(fixture.branches, reference, judged),
        worst_branch_db(fixture.branches, reference, engine),
        integer_share(model),
        planned.final.float_layers,
        judged,
        reference,
    )


def worst_branch_db(branches: Sequence[str], reference: Sequence[Outputs], found: Sequence[Outputs]) -> float:
    """SQNR over all samples of the branch that keeps least."""
    return min(_branch_db(name, reference, found) for name in branches)


def _branch_db(name: str, reference: Sequence[Outputs], found: Sequence[Outputs]) -> float:
    pairs = [(a[name].astype(np.float64), b[name].astype(np.float64)) for a, b in zip(reference, found, strict=True)]
    return sqnr_db(
        sum(float(np.square(a).sum()) for a, _ in pairs), sum(float(np.square(a - b).sum()) for a, b in pairs)
    )


def integer_share(model: ir.Model) -> float:
    """Share of the multiply-accumulates that integer units of a quantized graph do."""
    units = {unit.name for unit in Interpreter(model).units}
    layers = build_layers(model)
    total = sum(layer.macs for layer in layers)
    return sum(layer.macs for layer in layers if layer.name in units) / total if total else 0.0


def kept_scores(measured: Measured, threshold: float = 0.25) -> float:
    """Share of a detector head's scores of at least the threshold that are still there; 0.25 is a level of 8 bits."""
    before = np.stack([outputs["branch"][..., 4:] for outputs in measured.reference]) >= threshold
    after = np.stack([outputs["branch"][..., 4:] for outputs in measured.interpreter]) >= threshold
    return float((before & after).sum() / before.sum())


def cosine_loss(measured: Measured, branch: str) -> float:
    """1 - cosine between the float and the quantized branch, the largest over samples."""
    pairs = zip(measured.reference, measured.interpreter, strict=True)
    return max(one_minus_cosine(float_[branch], quantized[branch]) for float_, quantized in pairs)


def one_minus_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of two arrays of one shape, in double precision."""
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return 1.0 - float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))


def _run(runner: Runner, samples: Sequence[Inputs]) -> tuple[Outputs, ...]:
    return tuple(runner(inputs) for inputs in samples)
