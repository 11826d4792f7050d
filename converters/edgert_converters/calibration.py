"""Which data choose the ranges of a conversion and which decide: the user's, or synthetic inputs without any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgert.errors import RecipeError
from edgert.plugins import ProgressReporter
from edgert.recipe import Recipe
from edgert_converters.data import DataSplit, load_dataset, split
from edgert_converters.importers import ImportedModel
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.data_free import data_free_calibration
from edgert_converters.quantize.draft import Calibration
from edgert_converters.quantize.existing import is_quantized, strip_quantization
from edgert_converters.quantize.matrix import Activation
from edgert_converters.quantize.precisions import PRECISIONS
from edgert_converters.variants import RANDOM_SAMPLES, random_samples

__all__ = ["choose_calibration", "load_data"]

_WITHOUT_RANGES = frozenset({Activation.FLOAT, Activation.FLOAT16, Activation.DYNAMIC})


def load_data(recipe: Recipe, imported: ImportedModel) -> DataSplit:
    """Returns the data that choose and those that decide; in data-free mode all of them decide.

    Raises:
        RecipeError: data-free mode with calibration data.
        DataError: the data cannot be read or do not fit.
    """
    if recipe.data_free and recipe.calib is not None:
        raise RecipeError("--data-free takes no calibration data; leave out --calib (calib in [data]) or --data-free")
    loaded = [
        load_dataset(spec, imported.inputs, recipe.preprocess, recipe.labels) if spec is not None else None
        for spec in (recipe.calib, recipe.eval)
    ]
    if recipe.data_free:
        return DataSplit(None, loaded[1])
    return split(loaded[0], loaded[1], calib_samples=recipe.calib_samples, seed=recipe.seed)


def choose_calibration(
    data: DataSplit, imported: ImportedModel, recipe: Recipe, progress: ProgressReporter
) -> tuple[Calibration, str | None]:
    """Returns the samples that choose ranges and, where they are synthetic, what the user must know about them."""
    calib = data.calib
    if calib is not None:

        def stream() -> Iterable[Mapping[str, Array]]:
            return (calib.sample(index).inputs for index in range(len(calib)))

        return Calibration(stream, len(calib), progress), None
    if not _needs_ranges(recipe, imported):
        made = random_samples(imported.inputs, RANDOM_SAMPLES, recipe.seed)
        return Calibration(lambda: made, len(made), progress), None
    model = strip_quantization(imported.model)
    chosen = data_free_calibration(model, imported.inputs, recipe.preprocess, recipe.input_range, recipe.seed, progress)
    return chosen, chosen.note


def _needs_ranges(recipe: Recipe, imported: ImportedModel) -> bool:
    """True where a variant quantizes activations by ranges that are yet to be chosen."""
    if is_quantized(imported.model) and not recipe.requantize:
        return False
    return any(PRECISIONS[name].cell.activation not in _WITHOUT_RANGES for name in recipe.precisions)
