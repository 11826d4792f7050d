"""`edgert predict`: what a model would cost on a device, without running it there."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgert.codec import JsonValue, to_plain
from edgert.commands.console import Console, format_table
from edgert.commands.shapes import parse_shapes
from edgert.errors import UsageError
from edgert.plugins import ProgressReporter
from edgert.units import format_bytes, format_ms

if TYPE_CHECKING:
    from edgert.cost.forecast import Forecast, Int8Forecast, VariantForecast
    from edgert.cost.learn import Learned
    from edgert.cost.prediction import Prediction

__all__ = ["add_arguments", "execute", "predict"]

_LAYERS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert predict`."""
    parser.add_argument("model", type=Path, nargs="?", metavar="MODEL", help="a .edge bundle or a model file")
    parser.add_argument("--device", metavar="NAME", help="device that was learned (default: this computer)")
    parser.add_argument("--variant", metavar="ID", help="one variant of the bundle (default: all for ONNX Runtime)")
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
    learning.add_argument(
        "--networks", type=int, default=80, metavar="N", help="networks at most (default: %(default)s)"
    )


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    from edgert.cost.learn import learn

    if arguments.learn == (arguments.model is not None):
        raise UsageError("say what to predict: edgert predict MODEL; or learn a device: edgert predict --learn")
    if arguments.learn:
        learned = learn(
            arguments.device,
            threads=arguments.threads,
            networks=arguments.networks,
            minutes=arguments.minutes,
            progress=console.progress,
        )
        for note in learned.notes:
            console.note(f"edgert: {note}")
        console.result(_learned_plain(learned), _learned_text(learned))
        return 0
    found = predict(
        arguments.model,
        device=arguments.device,
        variant=arguments.variant,
        threads=arguments.threads,
        level=arguments.level,
        shapes=parse_shapes(arguments.shape),
        progress=console.progress,
    )
    console.result(_plain(found), _text(found, arguments.layers, console))
    return 0


def predict(
    model: Path | str,
    *,
    device: str | None = None,
    variant: str | None = None,
    threads: int | None = None,
    level: float = 0.9,
    shapes: dict[str, tuple[int, ...]] | None = None,
    progress: ProgressReporter = lambda stage, done, total: None,
) -> Forecast:
    """Predicts latency, energy and memory of a model; see `edgert.cost.forecast.forecast`.

    Raises:
        UsageError: nothing was learned of the device, or the level is not between 0 and 1.
        InputFileError: the model is damaged.
    """
    from edgert.cost.forecast import forecast

    if not 0 < level < 1:
        raise UsageError(f"--level {level:g}: a share above 0 and below 1 is needed, such as 0.9")
    return forecast(
        Path(model), device, variant=variant, threads=threads, level=level, shapes=shapes, progress=progress
    )


def _learned_plain(learned: Learned) -> JsonValue:
    cost = learned.cost
    return {
        "path": str(learned.path),
        "platform": to_plain(cost.platform),
        "networks": cost.networks,
        "families": sorted(cost.latency.kernels.families),
        "energy": cost.power is not None,
        "memory": cost.memory is not None,
        "records_sha256": cost.records_sha256,
        "notes": list(learned.notes),
    }


def _learned_text(learned: Learned) -> str:
    cost = learned.cost
    without = [name for name, model in (("energy", cost.power), ("memory", cost.memory)) if model is None]
    missing = f" (no {' and no '.join(without)}: it was not measured)" if without else ""
    return f"learned from {cost.networks} networks{missing}\nwrote {learned.path}"


def _plain(found: Forecast) -> JsonValue:
    return {
        "device": found.device,
        "platform": to_plain(found.cost.platform),
        "learned": {"created": found.cost.created, "networks": found.cost.networks},
        "variants": [
            {
                "id": item.id,
                "latency_ms": _plain_interval(item.costs.latency_ms),
                "energy_mj": _plain_interval(item.costs.energy_mj),
                "peak_bytes": _plain_interval(item.costs.peak_bytes),
                "guessed": list(item.costs.estimate.guessed),
                "layers": to_plain(item.layers),
            }
            for item in found.variants
        ],
        "int8": to_plain(found.int8),
    }


def _plain_interval(value: Prediction | None) -> JsonValue:
    if value is None:
        return None
    high = float(value.high[0])
    bounds = {"low": float(value.low[0]), "high": high if high < float("inf") else None}
    return {"value": float(value.value[0]), **bounds, "level": value.level, "source": "estimated"}


def _text(found: Forecast, layers: int, console: Console) -> str:
    platform = found.cost.platform
    threads = (
        f"{platform.threads} thread{'s' if platform.threads != 1 else ''}" if platform.threads else "its own threads"
    )
    head = f"{found.device}: {platform.engine} {platform.engine_version}, {threads}; predicted, not measured"
    parts = [head, "", _cost_table(found.variants)]
    for item in found.variants:
        parts += ["", *_layer_lines(item, layers)]
    if found.int8 is not None:
        parts += ["", *_int8_lines(found.int8, layers, console)]
    return "\n".join(parts)


def _cost_table(variants: Sequence[VariantForecast]) -> str:
    """One row per variant; quantities that no record held are left out."""
    level = f"{100 * variants[0].costs.latency_ms.level:.0f} %"
    header, rows = ["variant"], [[item.id] for item in variants]
    for name, form, values in (
        ("latency", format_ms, [item.costs.latency_ms for item in variants]),
        ("energy", lambda mj: f"{mj:.3g} mJ", [item.costs.energy_mj for item in variants]),
        ("memory", lambda size: format_bytes(round(size)), [item.costs.peak_bytes for item in variants]),
    ):
        if any(value is not None for value in values):
            header += [name, level]
            for row, value in zip(rows, values, strict=True):
                row.extend(_cells(value, form))
    return format_table(header, rows)


def _cells(value: Prediction | None, form: Callable[[float], str]) -> list[str]:
    if value is None:
        return ["-", ""]
    high = float(value.high[0])
    upper = form(high) if high < float("inf") else "any"
    return [form(float(value.value[0])), f"{form(float(value.low[0]))} to {upper}"]


def _layer_lines(item: VariantForecast, layers: int) -> list[str]:
    rows = [[row.name, row.kernel, format_ms(row.ms), f"{100 * row.share:.0f} %"] for row in item.layers[:layers]]
    lines = [format_table([f"layers of {item.id}", "kernel", "time", "share"], rows)]
    guessed = item.costs.estimate.guessed
    if guessed:
        names = ", ".join(guessed[:_LAYERS]) + (", ..." if len(guessed) > _LAYERS else "")
        lines.append(f"guessed, for no such kernel was learned: {names}")
    return lines


def _int8_lines(found: Int8Forecast, layers: int, console: Console) -> list[str]:
    low, high = found.interval
    head = f"will int8 pay? {found.answer.value}: {found.ratio:.2f}x the time of float ({low:.2f} to {high:.2f})"
    rows = [
        [row.name, format_ms(row.ms), format_ms(row.int8_ms or 0.0), f"{row.int8_ratio:.2f}"]
        for row in found.layers[:layers]
        if row.int8_ratio is not None
    ]
    return [console.emphasize(head), format_table(["layer", "float", "int8", "ratio"], rows)]
