"""Compression of a trained model with no training, evaluated for real: converted, judged on data, run on a device.

Space: edgert.search.compression_space; what each dimension does stands in docs/search-space.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgert.bundle import LayerRecord, TensorSpec
from edgert.codec import JsonValue
from edgert.devices.names import Device, find_device
from edgert.devices.qemu import emulated_target
from edgert.errors import (
    DoesNotFitError,
    EdgertError,
    EngineError,
    MissingExtraError,
    MissingToolError,
    ModelError,
    RecipeError,
    UsageError,
)
from edgert.plugins import Converter, load_converter
from edgert.profiler.on_device import target_name
from edgert.profiler.record import Record
from edgert.profiler.record_files import append_record
from edgert.recipe import Recipe
from edgert.recipe_file import load_recipe
from edgert.recipe_text import absolute_data, recipe_text
from edgert.search.compression_files import Converted, accuracy_of, convert_once, find_row
from edgert.search.compression_identity import describe_device, identity_of
from edgert.search.compression_recipe import at_resolution, image_size, recipe_of
from edgert.search.compression_space import INT8, CompressionSpace, build_space, default_dimensions
from edgert.search.evaluator import Evaluation
from edgert.search.goals import Quantity
from edgert.search.measure import (
    MeasurementError,
    Measuring,
    check_figures,
    check_quantities,
    figures_of,
    measure,
)
from edgert.search.problem import Problem, ProblemRequest
from edgert.search.space import Choice
from edgert.target import Target, get_target

__all__ = ["CompressionEvaluator", "compression_problem", "make_compression"]

_ON_COMPUTERS = ("precision", "ranges", "algorithm", "resolution", "engine", "threads")
_ON_BOARDS = ("precision", "ranges", "algorithm", "resolution", "max_ram")
_FOLDER = ".search"
_FILES = (".onnx", ".tflite")
_DURATION_S = 1.0
_OF_ALL = (RecipeError, MissingExtraError, MissingToolError)
"""Errors that every other candidate would meet, too, although their kind is that of a candidate's failure."""


@dataclass(frozen=True, slots=True)
class CompressionEvaluator:
    """Converts choices, judges them on the recipe's data and measures them on one device; see Evaluator.

    `recipe` is what all choices share, `layers` and `inputs` are the float model's, `folder` keeps bundles and records.
    """

    recipe: Recipe
    device: Device
    target: Target
    quantities: tuple[Quantity, ...]
    folder: Path
    identity: str
    converter: Converter = field(repr=False)
    layers: tuple[LayerRecord, ...] = field(repr=False)
    inputs: tuple[TensorSpec, ...]
    rate_hz: float | None = None
    duration_s: float = _DURATION_S

    def evaluate(self, choice: Choice, *, seed: int) -> Evaluation:
        """See Evaluator. The bundle is taken from the folder where it was made before; figures are always measured."""
        recipe = self.recipe_of(choice)
        facts: dict[str, JsonValue] = {"recipe": self.recipe_text(choice)}
        try:
            converted = convert_once(self.converter, recipe, self.folder / "bundles" / self.identity[:16])
        except EdgertError as error:
            return Evaluation({}, _failure(error), facts)
        facts |= {"bundle": converted.bundle, "bundle_sha256": converted.sha256}
        row = find_row(
            converted, recipe.formats[0], str(choice.get("precision", INT8)) if recipe.precisions else "fp32"
        )
        if row is None:
            return Evaluation({}, f"no such variant was made: {'; '.join(converted.messages[-2:])}", facts)
        facts["variant"] = row["id"]
        try:
            measured = self._measured(choice, converted, row, facts, seed)
        except EdgertError as error:
            return Evaluation({}, _failure(error), facts)
        return Evaluation(measured, "", facts)

    def recipe_of(self, choice: Choice) -> Recipe:
        """Returns the recipe that converts a choice."""
        engine = choice.get("engine")
        facts = {known.name: known.format for known in self.target.engines}
        kind = facts.get(str(engine)) or (self.recipe.formats or (self.target.engines[0].format,))[0]
        return recipe_of(self.recipe, choice, self.layers, self.inputs, kind)

    def recipe_text(self, choice: Choice) -> str:
        """Returns the edgert.toml that rebuilds the bundle of a choice, byte by byte; how it is run is a comment."""
        flags = [f"--{name} {choice[name]}" for name in ("engine", "threads") if name in choice]
        run = [f"run it with {' '.join(flags)}"] if flags else []
        recipe = dataclasses.replace(self.recipe_of(choice), output=None)
        return recipe_text(recipe, ["found by edgert search", *run])

    def _measured(
        self, choice: Choice, converted: Converted, row: JsonValue, facts: dict[str, JsonValue], seed: int
    ) -> Mapping[Quantity, float]:
        figures: dict[Quantity, float] = {
            Quantity.ACCURACY: accuracy_of(converted, row, resized="resolution" in choice),
            Quantity.SIZE_BYTES: float(row["bytes"]),
        }
        if set(self.quantities) <= set(figures):
            return figures
        how = Measuring(
            variant=str(row["id"]),
            engine=None if "engine" not in choice else str(choice["engine"]),
            threads=None if "threads" not in choice else int(choice["threads"]),
            duration_s=self.duration_s,
            rate_hz=self.rate_hz,
            energy=Quantity.ENERGY_MJ in self.quantities,
            seed=seed % (1 << 31),
        )
        record = measure(self.device, Path(converted.bundle), how)
        facts["record"] = str(append_record(self.folder / "records", record))
        if isinstance(record, Record):
            facts["verdict"] = record.verdict.value
            facts["reasons"] = [f"{reason.code}: {reason.text}" for reason in record.reasons]
        figures |= figures_of(record, self.rate_hz)
        check_figures(figures, self.quantities, record)
        return figures


def make_compression(request: ProblemRequest, device: str) -> Problem:
    """Returns the problem of a recipe's [search] on a device; files are kept in RECIPE.search beside the recipe.

    Raises:
        RecipeError: the space or a goal cannot be had, or the recipe has no data.
        EdgertError: the model, the data or the device cannot be used.
    """
    path = Path(request.recipe)
    return compression_problem(
        load_recipe(path, {}),
        request.space,
        device,
        request.quantities,
        folder=path.with_suffix(_FOLDER),
        rate_hz=request.rate_hz,
        duration_s=request.duration_s,
    )


def compression_problem(
    recipe: Recipe,
    space: Mapping[str, tuple[str | int | float, ...]],
    device: str,
    quantities: tuple[Quantity, ...],
    *,
    folder: Path,
    rate_hz: float | None = None,
    duration_s: float = _DURATION_S,
) -> Problem:
    """Returns the space and the evaluator of a recipe on a device.

    Args:
        recipe: what all candidates share; its targets give way to the device's.
        space: values of the dimensions to search; {}: the default ones.
        device: name or URL.
        quantities: what must be measured.
        folder: keeps bundles and records.
        rate_hz: inferences per second at which gross energy is counted; None: back to back.
        duration_s: measuring time of one candidate.

    Raises:
        RecipeError: the space or a quantity cannot be had there, or the recipe has no data.
        EdgertError: the model, the data or the device cannot be used.
    """
    found = find_device(device)
    check_quantities(quantities, found)
    target = _target_of(found, recipe)
    shared = _shared(recipe, target)
    converter = load_converter()
    summary = converter.inspect(shared.model, shared.shapes, ())
    known = _ON_BOARDS if found.is_board else _ON_COMPUTERS
    given = dict(space) or default_dimensions(is_microcontroller=found.is_board)
    built = build_space(given, summary.layers, known, image_size(summary.inputs))
    facts = describe_device(found, target.name)
    _check_engines(built, target, facts.get("engines", {}), found)
    if "resolution" in built.dimensions:
        at_resolution(shared, summary.inputs, image_size(summary.inputs))
    settings = {"duration_s": duration_s, "rate_hz": rate_hz, "energy": Quantity.ENERGY_MJ in quantities}
    identity = identity_of(shared, facts, settings)
    evaluator = CompressionEvaluator(
        shared,
        found,
        target,
        quantities,
        folder,
        identity,
        converter,
        summary.layers,
        summary.inputs,
        rate_hz,
        duration_s,
    )
    return Problem(built, evaluator)


def _shared(recipe: Recipe, target: Target) -> Recipe:
    """What all candidates share, its paths absolute: the same bytes wherever it is converted."""
    if recipe.model.suffix.lower() not in _FILES:
        raise RecipeError(
            f"{recipe.model}: a search converts {' and '.join(_FILES)} files; export the model as one first"
        )
    if recipe.eval is None and recipe.calib is None:
        raise RecipeError("a search weighs accuracy; give eval in [data] (and calib, that all of eval may decide)")
    calib, evaluation = (None if spec is None else absolute_data(spec) for spec in (recipe.calib, recipe.eval))
    return dataclasses.replace(
        recipe, model=recipe.model.resolve(), targets=(target.name,), output=None, calib=calib, eval=evaluation
    )


def _target_of(device: Device, recipe: Recipe) -> Target:
    if device.is_board:
        return emulated_target(device.url.partition(":")[2].strip("/"))
    name = target_name(device.name)
    if name is not None:
        return get_target(name)
    if len(recipe.targets) != 1:
        raise RecipeError(f"{device.name}: nobody knows what kind of board it is; name one target in the recipe")
    return get_target(recipe.targets[0])


def _check_engines(
    space: CompressionSpace, target: Target, installed: Mapping[str, str | None], device: Device
) -> None:
    names = [engine.name for engine in target.engines]
    for engine in space.dimensions.get("engine", ()):
        if engine not in names:
            raise RecipeError(f"[search.space]: engine: {target.name} has no {engine!r}; it has {', '.join(names)}")
        if installed.get(str(engine)) is None:
            raise RecipeError(f"[search.space]: engine: {engine!r} is not installed on {device.name}")


def _failure(error: EdgertError) -> str:
    """The words of an error that concerns one candidate.

    Raises:
        EdgertError: it would stop every other evaluation, too.
    """
    is_own = isinstance(error, (DoesNotFitError, ModelError, EngineError, MeasurementError, UsageError))
    if not is_own or isinstance(error, _OF_ALL):
        raise error
    return str(error)
