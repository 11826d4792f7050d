"""What a model would cost on a microcontroller that it was never run on."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgert.cost.board_cost import BoardCost, BoardCosts
from edgert.cost.board_learn import find_board_cost, target_of
from edgert.cost.board_network import BoardNetwork, read_network
from edgert.cost.forecast import make_draft
from edgert.devices.names import Device
from edgert.plugins import ProgressReporter
from edgert.runtime.plain_model import is_bundle
from edgert.target import Target

__all__ = ["BoardForecast", "LayerCount", "forecast_on_board"]


@dataclass(frozen=True, slots=True)
class LayerCount:
    """A layer of the C: its kernel, the instructions expected, and their share of the network's."""

    name: str
    kernel: str
    instructions: float
    share: float


@dataclass(frozen=True, slots=True)
class BoardForecast:
    """The costs of a model's C on one microcontroller, and its layers, those of the most instructions first."""

    device: str
    target: Target
    cost: BoardCost
    variant: str
    costs: BoardCosts
    layers: tuple[LayerCount, ...]


def forecast_on_board(
    model: Path,
    device: Device,
    *,
    variant: str | None = None,
    level: float = 0.9,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    progress: ProgressReporter = lambda stage, done, total: None,
) -> BoardForecast:
    """Predicts what a model costs as C; nothing is built and nothing runs.

    Args:
        model: a bundle with C for the target; or a model file, of which C is made that nobody keeps.
        device: an emulated microcontroller that was learned.
        variant: id of the C; None: the one that was made for the target.
        level: share of models whose costs lie in the intervals.
        shapes: of inputs without a fixed size, for a model file.
        progress: told what is done.

    Raises:
        UsageError: nothing was learned of the device, or it is no emulated microcontroller.
        InputFileError: the model or the cost model is damaged, or there is no C of it.
        DoesNotFitError: the model is too big for the device.
    """
    target = target_of(device)
    cost = find_board_cost(target.name, device.name)
    with tempfile.TemporaryDirectory(prefix="edgert-predict-") as folder:
        path = model
        if not is_bundle(model):
            path = make_draft(model, Path(folder), dict(shapes or {}), progress, target=target.name, kind="c")
        network = read_network(path, target.name, variant)
    costs = cost.predict(network, level)
    return BoardForecast(device.name, target, cost, network.variant, costs, _layers(network, costs))


def _layers(network: BoardNetwork, costs: BoardCosts) -> tuple[LayerCount, ...]:
    total = costs.estimate.instructions
    rows = [
        LayerCount(layer.name.partition(";")[0], layer.kernel, count, count / total)
        for layer, count in zip(network.layers, costs.estimate.each, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: -row.instructions))
