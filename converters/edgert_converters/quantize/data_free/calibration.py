"""Calibration without data: which inputs are made up, and how their statistics become ranges."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgert.bundle import Step, TensorSpec
from edgert.plugins import ProgressReporter
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import collect_statistics
from edgert_converters.quantize.data_free.align import align_moments, nodes_with_moments
from edgert_converters.quantize.data_free.evolve import evolve_samples
from edgert_converters.quantize.data_free.inputs import InputForm, Range, input_forms
from edgert_converters.quantize.data_free.margin import widen
from edgert_converters.quantize.draft import Calibration
from edgert_converters.quantize.statistics import TensorStatistics

__all__ = ["SAMPLES", "DataFreeCalibration", "data_free_calibration"]

SAMPLES = 32


@dataclass(frozen=True, slots=True)
class DataFreeCalibration(Calibration):
    """Synthetic samples; `note` says in words what they are and what was assumed."""

    note: str = ""

    def collect(self, model: ir.Model, names: tuple[str, ...]) -> dict[str, TensorStatistics]:
        """Returns statistics as data might give them: with the noted moments where there are any, and with a margin.

        Raises:
            DataError: a tensor holds NaN or an infinity.
        """
        samples = list(self.samples())
        run = align_moments(model, samples) if nodes_with_moments(model) else model
        return widen(model, collect_statistics(run, names, samples, self.progress, self.count))


def data_free_calibration(
    model: ir.Model,
    inputs: Sequence[TensorSpec],
    steps: Sequence[Step],
    known: Range | None,
    seed: int,
    progress: ProgressReporter,
    count: int = SAMPLES,
) -> DataFreeCalibration:
    """Returns calibration for a model that nobody gave data for; the same for the same arguments.

    Args:
        model: clean float model; not changed.
        inputs: its inputs.
        steps: the recipe's pre-processing, () where there is none.
        known: smallest and largest number of its float inputs, None where nobody said.
        seed: of every draw.
        progress: told what is done.
        count: number of samples.

    Raises:
        RecipeError: a step is unknown or wrong.
    """
    forms = input_forms(inputs, steps, known)

    @functools.cache  # made when first asked for: a conversion that fails before that need not wait
    def samples() -> list[dict[str, Array]]:
        return evolve_samples(model, forms, count, np.random.default_rng(seed), progress)

    note = f"data-free: ranges come from {_inputs_in_words(forms, steps, known, count)}; {_moments_in_words(model)}"
    return DataFreeCalibration(samples, count, progress, is_made_up=True, note=note)


def _inputs_in_words(forms: Sequence[InputForm], steps: Sequence[Step], known: Range | None, count: int) -> str:
    if all(form.is_fixed for form in forms):
        return "zeros, for integer inputs cannot be made up; give --calib"
    what = "pictures" if any(form.is_picture for form in forms) else "signals"
    if steps:
        return f"{count} synthetic pictures, put through the recipe's pre-processing"
    if known is not None:
        return f"{count} synthetic {what} from {known[0]:g} to {known[1]:g} (--input-range)"
    form = next(form for form in forms if not form.is_fixed)
    return (
        f"{count} synthetic {what}, assumed to lie in {form.low:g} to {form.high:g} (say --input-range=LOW,HIGH or "
        "give the pre-processing in a recipe if that is wrong)"
    )


def _moments_in_words(model: ir.Model) -> str:
    count = len(nodes_with_moments(model))
    if count:
        return f"{count} folded normalisations say what mean and deviation their channels have"
    return "the file holds no BatchNormalization statistics, so weights and inputs are all there is to go by"
