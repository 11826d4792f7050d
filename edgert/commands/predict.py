"""`edgert predict`: what a model would cost on a device, without running it there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgert.commands.console import Console
from edgert.commands.predict_board_text import (
    board_forecast_plain,
    board_forecast_text,
    board_learned_plain,
    board_learned_text,
)
from edgert.commands.predict_text import forecast_plain, forecast_text, learned_plain, learned_text
from edgert.commands.shapes import parse_shapes
from edgert.devices.names import Device, find_device
from edgert.errors import UsageError
from edgert.plugins import ProgressReporter

if TYPE_CHECKING:
    from edgert.cost.board_forecast import BoardForecast
    from edgert.cost.forecast import Forecast

__all__ = ["add_arguments", "execute", "predict"]

_LAYERS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert predict`."""
    parser.add_argument("model", type=Path, nargs="?", metavar="MODEL", help="a .edge bundle or a model file")
    parser.add_argument("--device", metavar="NAME", help="device that was learned (default: this computer)")
    parser.add_argument("--variant", metavar="ID", help="one variant (default: all for ONNX Runtime, or the C)")
    parser.add_argument("--engine", choices=["onnxruntime", "litert"], help="what runs it (default: onnxruntime)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the engine (default: its own)")
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="size of an input")
    parser.add_argument(
        "--level", type=float, default=0.9, metavar="SHARE", help="models that the interval holds (default: 0.9)"
    )
    parser.add_argument(
        "--layers", type=int, default=_LAYERS, metavar="N", help="layers to list (default: %(default)s)"
    )
    learning = parser.add_argument_group("learning a device")
    learning.add_argument("--learn", action="store_true", help="measure random networks on the device and learn")
    learning.add_argument("--minutes", type=float, default=15.0, help="time to measure (default: %(default)s)")
    learning.add_argument("--networks", type=int, metavar="N", help="networks at most (default: 80; with --like 10)")
    learning.add_argument("--rounds", type=int, metavar="N", help="measurements of a network at most (default: 8)")
    learning.add_argument("--like", metavar="NAME", help="a device that was learned before, with as many threads")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    if arguments.learn == (arguments.model is not None):
        raise UsageError("say what to predict: edgert predict MODEL; or learn a device: edgert predict --learn")
    if arguments.learn:
        _learn(arguments, console)
        return 0
    found = predict(
        arguments.model,
        device=arguments.device,
        variant=arguments.variant,
        threads=arguments.threads,
        engine=arguments.engine,
        level=arguments.level,
        shapes=parse_shapes(arguments.shape),
        progress=console.progress,
    )
    from edgert.cost.forecast import Forecast

    if isinstance(found, Forecast):
        console.result(forecast_plain(found), forecast_text(found, arguments.layers, console))
    else:
        console.result(board_forecast_plain(found), board_forecast_text(found, arguments.layers))
    return 0


def predict(
    model: Path | str,
    *,
    device: str | None = None,
    variant: str | None = None,
    threads: int | None = None,
    engine: str | None = None,
    level: float = 0.9,
    shapes: dict[str, tuple[int, ...]] | None = None,
    progress: ProgressReporter = lambda stage, done, total: None,
) -> Forecast | BoardForecast:
    """Predicts latency, energy and memory of a model; of a microcontroller instructions, RAM and flash.

    See `edgert.cost.forecast.forecast` and `edgert.cost.board_forecast.forecast_on_board`.

    Raises:
        UsageError: nothing was learned of the device, or the level is not between 0 and 1.
        InputFileError: the model is damaged.
        DoesNotFitError: the model is too big for the microcontroller.
    """
    from edgert.cost.board_forecast import forecast_on_board
    from edgert.cost.detect import ENGINE
    from edgert.cost.forecast import forecast

    if not 0 < level < 1:
        raise UsageError(f"--level {level:g}: a share above 0 and below 1 is needed, such as 0.9")
    board = _board(device, threads=threads, engine=engine)
    if board is not None:
        return forecast_on_board(Path(model), board, variant=variant, level=level, shapes=shapes, progress=progress)
    return forecast(
        Path(model),
        device,
        variant=variant,
        threads=threads,
        engine=engine or ENGINE,
        level=level,
        shapes=shapes,
        progress=progress,
    )


def _learn(arguments: argparse.Namespace, console: Console) -> None:
    from edgert.cost.board_learn import learn_board
    from edgert.cost.learn import learn

    given = {name: getattr(arguments, name) for name in ("threads", "engine", "rounds", "like")}
    how = {"minutes": arguments.minutes, "networks": arguments.networks}
    board = _board(arguments.device, **given)
    if board is None:
        asked = {name: value for name, value in {**given, **how}.items() if value is not None}
        learned = learn(arguments.device, progress=console.progress, **asked)
        notes, plain, text = learned.notes, learned_plain(learned), learned_text(learned)
    else:
        asked = {name: value for name, value in how.items() if value is not None}
        counted = learn_board(board, progress=console.progress, **asked)
        notes, plain, text = counted.notes, board_learned_plain(counted), board_learned_text(counted)
    for note in notes:
        console.note(f"edgert: {note}")
    console.result(plain, text)


def _board(word: str | None, **given: object) -> Device | None:
    """The microcontroller of a name or URL; None for other devices, and for names whose costs alone are known here.

    Raises:
        UsageError: one of the options that only other devices have is given, not None.
    """
    try:
        device = find_device(word)
    except UsageError:
        return None
    if not device.is_board:
        return None
    refused = [f"--{name}" for name, value in given.items() if value is not None]
    if refused:
        raise UsageError(f"{device.name} is a microcontroller; it has no {', '.join(refused)}")
    return device
