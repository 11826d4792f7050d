"""What a recipe with `--precision auto` asks of the repair loop."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from edgert.errors import UsageError
from edgert.recipe import Recipe
from edgert.target import Target
from edgert_converters.data import DataSplit
from edgert_converters.importers import ImportedModel
from edgert_converters.judging import make_graph_judge
from edgert_converters.quantize.chain import chain_settings
from edgert_converters.quantize.draft import Calibration
from edgert_converters.quantize.existing import is_quantized, strip_quantization
from edgert_converters.quantize.precisions import AUTO
from edgert_converters.repair.cost import choose_meter
from edgert_converters.repair.loop import Situation, repair
from edgert_converters.repair.steps import Repair

__all__ = ["repair_for_targets"]

_FEEDS = 16
"""Calibration samples that candidates are compared on: SQNR of the outputs varies little between samples."""


def repair_for_targets(
    imported: ImportedModel, recipe: Recipe, targets: Sequence[Target], data: DataSplit, calibration: Calibration
) -> Repair | None:
    """Returns the outcome of the loop, for the first target's encoding; None where it was not asked for.

    Args:
        imported: the clean model.
        recipe: `precisions` may hold `auto`.
        targets: whose cost counts: this computer's is measured where it is one of them.
        data: `evaluation` decides; without it `calib` does, by agreement.
        calibration: the same calibration samples.

    Raises:
        UsageError: there is no data, or the model is quantized already.
        DataError: the calibration data does not fit.
    """
    if AUTO not in recipe.precisions:
        return None
    if is_quantized(imported.model) and not recipe.requantize:
        name = recipe.model.name
        raise UsageError(f"{name} is quantized already and --precision auto starts from float; add --requantize")
    model = strip_quantization(imported.model)
    judge = make_graph_judge(recipe, data, model)
    situation = Situation(
        model,
        calibration,
        chain_settings(recipe),
        list(itertools.islice(calibration.samples(), _FEEDS)),
        judge,
        choose_meter(targets, model, imported.inputs, imported.outputs),
        targets[0].activation_encoding,
        recipe.max_drop_points,
        recipe.strict,
        all(target.microcontroller is None or target.microcontroller.fpu is not None for target in targets),
    )
    return repair(situation)
