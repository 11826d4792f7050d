"""The chain: every algorithm of the quantizer in its order, each with the reason for its place.

    float graph --FLOAT steps--> float graph --statistics--> ranges, plan --INTEGER steps--> plan

FLOAT steps change the float graph and leave what it computes as it was; INTEGER steps change the integers of a plan.
All quantized variants of a conversion share the first half.
"""

from __future__ import annotations

import enum
from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Protocol

import onnx_ir as ir

from edgert.recipe import Algorithm, Recipe
from edgert_converters.quantize.absorb_bias import absorb_biases
from edgert_converters.quantize.analytic_bias import correct_biases_analytically
from edgert_converters.quantize.bias_correction import correct_biases
from edgert_converters.quantize.changed_values import rename_changed
from edgert_converters.quantize.channel_reconstruction import reconstruct_channels
from edgert_converters.quantize.draft import Calibration, Draft, Settings
from edgert_converters.quantize.equalize import equalize
from edgert_converters.quantize.float_layers import named_layers
from edgert_converters.quantize.plan import make_plan, values_to_watch
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.reconstruct import adaround, reconstruct
from edgert_converters.quantize.rounding import round_weights
from edgert_converters.quantize.scheme import Scheme
from edgert_converters.quantize.smooth import smooth
from edgert_converters.quantize.transforms.step import hadamard, klt, kronecker

__all__ = ["CHAIN", "ChainStep", "Stage", "chain_settings", "plan_draft", "prepare", "refine"]


class Stage(enum.Enum):
    """What a step works on."""

    FLOAT = "float graph"
    INTEGER = "plan"


class StepRule(Protocol):
    """One algorithm."""

    def __call__(self, draft: Draft, calibration: Calibration, settings: Settings) -> Draft:
        """Returns the draft after the step; the graph and plan given are not changed."""
        ...


@dataclass(frozen=True, slots=True)
class ChainStep:
    """One step and why it stands where it stands."""

    algorithm: Algorithm
    stage: Stage
    apply: StepRule
    reason: str


def _correct_biases(draft: Draft, calibration: Calibration, settings: Settings) -> Draft:
    return draft.changed(plan=correct_biases(draft.model, draft.final, draft.statistics))


CHAIN: tuple[ChainStep, ...] = (
    ChainStep(
        Algorithm.EQUALIZE,
        Stage.FLOAT,
        equalize,
        "first: it costs nothing at run time and leaves every activation function in its place",
    ),
    ChainStep(
        Algorithm.ABSORB_BIAS,
        Stage.FLOAT,
        absorb_biases,
        "after equalization, which can make the constant part of a channel large",
    ),
    ChainStep(
        Algorithm.SMOOTH, Stage.FLOAT, smooth, "before dense transforms: mostly free, so they see what it leaves"
    ),
    ChainStep(
        Algorithm.KRONECKER,
        Stage.FLOAT,
        kronecker,
        "the first dense transform: it gains most at the least cost, and a place gets only one",
    ),
    ChainStep(Algorithm.HADAMARD, Stage.FLOAT, hadamard, "for what is left, before KLT, which costs as much or more"),
    ChainStep(Algorithm.KLT, Stage.FLOAT, klt, "last of the float steps: the dearest"),
    ChainStep(
        Algorithm.ANALYTIC_BIAS,
        Stage.INTEGER,
        correct_biases_analytically,
        "before bias correction, which replaces derived means by measured ones where both are asked for",
    ),
    ChainStep(
        Algorithm.BIAS_CORRECTION,
        Stage.INTEGER,
        _correct_biases,
        "after rounding to nearest, whose mean error it takes back",
    ),
    ChainStep(
        Algorithm.CHANNEL_RECONSTRUCTION,
        Stage.INTEGER,
        reconstruct_channels,
        "on the plan, because it answers integers that are there; after bias correction, which would round the float "
        "weights again, and keeps the means that it set",
    ),
    ChainStep(
        Algorithm.ADAROUND,
        Stage.INTEGER,
        adaround,
        "after bias correction, whose integers it keeps where its own are no better",
    ),
    ChainStep(
        Algorithm.RECONSTRUCTION,
        Stage.INTEGER,
        reconstruct,
        "last: it starts from the integers there are, and no step after it may undo what it learned together",
    ),
)


def chain_settings(recipe: Recipe) -> Settings:
    """Returns what a recipe says about the chain."""
    return Settings(
        RangeRule(recipe.ranges, recipe.percentile),
        frozenset(recipe.algorithms),
        recipe.time_limit_s,
        recipe.seed,
        float_layers=recipe.float_layers,
    )


def prepare(model: ir.Model, calibration: Calibration, settings: Settings) -> Draft:
    """Returns the draft of every quantized variant: the float graph after the FLOAT steps, with its statistics.

    Args:
        model: the clean float graph; not changed.
        calibration: data that chooses ranges.
        settings: which steps are taken.

    Raises:
        DataError: the calibration data does not fit.
    """
    draft = _take(Stage.FLOAT, Draft(model), calibration, settings)
    sample = next(iter(calibration.samples()), None)
    if draft.model is not model and sample is not None:
        rename_changed(model, draft.model, sample)
    return replace(draft, statistics=calibration.collect(draft.model, values_to_watch(draft.model)))


def plan_draft(
    prepared: Draft,
    scheme: Scheme,
    calibration: Calibration,
    settings: Settings,
    keep_float: Set[str] = frozenset(),
) -> Draft:
    """Returns the draft with a plan for one scheme.

    Args:
        prepared: from `prepare`.
        scheme: what weights and activations become.
        calibration: the same data.
        settings: which steps are taken, and what stays float.
        keep_float: names of further nodes that must stay float.
    """
    plan = make_plan(
        prepared.model,
        prepared.statistics,
        settings.ranges,
        scheme,
        keep_float | named_layers(prepared.model, settings.float_layers),
        coarse_stays_float=settings.coarse_stays_float,
    )
    return refine(replace(prepared, plan=round_weights(prepared.model, plan)), calibration, settings)


def refine(draft: Draft, calibration: Calibration, settings: Settings) -> Draft:
    """Returns a draft that has a plan already after the INTEGER steps of `settings`."""
    return _take(Stage.INTEGER, draft, calibration, settings)


def _take(stage: Stage, draft: Draft, calibration: Calibration, settings: Settings) -> Draft:
    for step in CHAIN:
        if step.stage is stage and step.algorithm in settings.algorithms:
            draft = step.apply(draft, calibration, settings)
    return draft
