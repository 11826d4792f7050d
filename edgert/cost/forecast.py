"""What a model would cost on a device that it was never run on, and whether int8 would pay there."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgert.bundle import Bundle, Variant
from edgert.cost.detect import ENGINE, detect_kernels
from edgert.cost.device_cost import Costs, DeviceCost
from edgert.cost.files import find_cost, find_whole_cost
from edgert.cost.kernels import Kernel
from edgert.cost.network_model import operator_of
from edgert.cost.teach import VARIANTS
from edgert.cost.whole_cost import WholeCost
from edgert.errors import UsageError
from edgert.payoff import Int8Answer
from edgert.plugins import ProgressReporter, load_converter
from edgert.recipe import Algorithm, RangeMethod, Recipe
from edgert.runtime.plain_model import is_bundle

__all__ = ["Forecast", "Int8Forecast", "LayerCost", "VariantForecast", "forecast", "make_draft"]

_SAME = 0.05


@dataclass(frozen=True, slots=True)
class LayerCost:
    """A layer of the model: ms in one form, and in int8 and the ratio of the two where both are known."""

    name: str
    kernel: str
    ms: float
    share: float
    int8_ms: float | None = None

    @property
    def int8_ratio(self) -> float | None:
        """Time int8 / float; below 1 int8 is faster."""
        return None if self.int8_ms is None or self.ms <= 0 else self.int8_ms / self.ms


@dataclass(frozen=True, slots=True)
class VariantForecast:
    """The costs of one form of the model, and its layers, the slowest first."""

    id: str
    costs: Costs
    layers: tuple[LayerCost, ...]


@dataclass(frozen=True, slots=True)
class Int8Forecast:
    """Will int8 pay? `ratio` is time int8 / float, `interval` what both intervals allow."""

    answer: Int8Answer
    ratio: float
    interval: tuple[float, float]
    layers: tuple[LayerCost, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecasts of the forms of a model for one engine on one device."""

    device: str
    cost: DeviceCost | WholeCost
    variants: tuple[VariantForecast, ...]
    int8: Int8Forecast | None


def forecast(
    model: Path,
    device: str | None,
    *,
    variant: str | None = None,
    threads: int | None = None,
    engine: str = ENGINE,
    level: float = 0.9,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    progress: ProgressReporter = lambda stage, done, total: None,
) -> Forecast:
    """Predicts what a model costs.

    Args:
        model: a bundle; or a model file, of which a float and an int8 form are made that nobody keeps.
        device: name or URL that was learned; None: this computer.
        variant: id of one form; None: every form for the engine.
        threads: as learned.
        engine: as learned: onnxruntime or litert.
        level: share of models whose costs lie in the intervals.
        shapes: of inputs without a fixed size, for a model file.
        progress: told what is done.

    Raises:
        UsageError: nothing was learned of the device, or no form is for the engine.
        InputFileError: the model or the cost model is damaged.
    """
    cost = find_cost(device, threads) if engine == ENGINE else find_whole_cost(device, threads, engine)
    kind = VARIANTS[engine][0].split("-")[0]
    with tempfile.TemporaryDirectory(prefix="edgert-predict-") as folder:
        path = model if is_bundle(model) else make_draft(model, Path(folder), dict(shapes or {}), progress, kind=kind)
        with Bundle.open(path) as bundle:
            known = {item.id: item for item in bundle.manifest.variants if item.format == kind}
            asked = [bundle.manifest.variant(variant)] if variant is not None else list(known.values())
        if not asked or any(item.id not in known for item in asked):
            raise UsageError(f"{variant or model} is not for {engine}, whose variants are named {kind}-...")
        found = []
        for number, item in enumerate(asked):
            progress("predicting", number, len(asked))
            if isinstance(cost, WholeCost):
                found.append(_of_layers(item, cost, level))
            else:
                found.append(_of_kernels(path, item, cost, level))
    by_id = {item.id: item for item in found}
    first, second = VARIANTS[engine]
    int8 = _will_int8_pay(by_id[first], by_id[second]) if {first, second} <= by_id.keys() else None
    return Forecast(device or "local", cost, tuple(found), int8)


def _of_kernels(path: Path, variant: Variant, cost: DeviceCost, level: float) -> VariantForecast:
    kernels, sizes = detect_kernels(path, variant.id, cost.platform)
    costs = cost.predict(kernels, sizes, level)
    return VariantForecast(variant.id, costs, _layers(kernels, costs))


def _of_layers(variant: Variant, cost: WholeCost, level: float) -> VariantForecast:
    costs = cost.predict(variant.layers, level)
    rows = [
        LayerCost(layer.name, operator_of(layer), ms, ms / costs.estimate.ms)
        for layer, ms in zip(variant.layers, costs.estimate.kernel_ms.tolist(), strict=True)
    ]
    return VariantForecast(variant.id, costs, tuple(sorted(rows, key=lambda row: -row.ms)))


def make_draft(
    model: Path,
    folder: Path,
    shapes: dict[str, tuple[int, ...]],
    progress: ProgressReporter,
    *,
    target: str = "host",
    kind: str = "onnx",
) -> Path:
    """Converts a model file to forms whose ranges are made up: what a kernel costs does not depend on them.

    Args:
        model: the file.
        folder: of the bundle; whoever asks throws it away.
        shapes: of inputs without a fixed size.
        progress: told what is done.
        target: whose kernels it is for.
        kind: format of the forms.

    Raises:
        InputFileError: the model is damaged, or cannot be converted.
        DoesNotFitError: it is too big for the target.
    """
    recipe = Recipe(
        model,
        targets=(target,),
        shapes=shapes,
        output=folder / "draft.edge",
        formats=(kind,),
        data_free=True,
        input_range=(-1.0, 1.0),
        ranges=RangeMethod.MIN_MAX,
        algorithms=(Algorithm.NONE,),
    )
    load_converter().convert(recipe, progress)
    return folder / "draft.edge"


def _layers(kernels: tuple[Kernel, ...], costs: Costs) -> tuple[LayerCost, ...]:
    """Kernels of one layer added up; what belongs to no layer bears the engine's name."""
    ms: dict[str, float] = {}
    family: dict[str, str] = {}
    for kernel, time_ms in zip(kernels, costs.estimate.kernel_ms.tolist(), strict=True):
        name = kernel.layers[0] if kernel.layers else kernel.name
        ms[name] = ms.get(name, 0.0) + time_ms
        family.setdefault(name, kernel.family)
    total = costs.estimate.ms
    rows = [LayerCost(name, family[name], value, value / total) for name, value in ms.items()]
    return tuple(sorted(rows, key=lambda row: -row.ms))


def _will_int8_pay(plain: VariantForecast, int8: VariantForecast) -> Int8Forecast:
    first, second = plain.costs.latency_ms, int8.costs.latency_ms
    ratio = float(second.value[0] / first.value[0])
    bounds = float(second.low[0] / first.value[0]), float(second.high[0] / first.value[0])
    answer = Int8Answer.YES if ratio < 1 - _SAME else Int8Answer.NO if ratio > 1 + _SAME else Int8Answer.SAME
    if bounds[0] < 1 < bounds[1] and answer is not Int8Answer.SAME:
        answer = Int8Answer.UNKNOWN
    times = {row.name: row.ms for row in int8.layers}
    layers = tuple(
        LayerCost(row.name, row.kernel, row.ms, row.share, times[row.name]) for row in plain.layers if row.name in times
    )
    return Int8Forecast(answer, ratio, bounds, layers)
