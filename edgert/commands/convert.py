"""`edgert convert`: a thin call of the installed converter."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edgert.bundle import Gate
from edgert.codec import JsonValue
from edgert.commands.console import Console, format_table
from edgert.commands.shapes import parse_shapes
from edgert.errors import did_you_mean
from edgert.plugins import ConvertResult, ProgressReporter, load_converter
from edgert.recipe import Recipe
from edgert.units import format_bytes

__all__ = ["add_arguments", "convert", "execute"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert convert`."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="an .onnx or .pt2 file")
    parser.add_argument(
        "-t", "--target", action="append", dest="targets", metavar="NAME", help="target (default: host)"
    )
    parser.add_argument("--calib", metavar="DATA", help="data that chooses the ranges")
    parser.add_argument("--eval", metavar="DATA", help="data that decides whether accuracy holds")
    parser.add_argument("--metric", metavar="NAME", help="metric (default: chosen from the data)")
    parser.add_argument("--max-drop", type=float, default=1.0, metavar="POINTS", help="drop allowed (default: 1.0)")
    parser.add_argument("--strict", action="store_true", help="exit code 1 also when the gate is undecided")
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="size of an input")
    parser.add_argument("--trust-pickle", action="store_true", help="load .pt2 files, which can execute code")
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help="bundle, .onnx file or folder")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    recipe = Recipe(
        model=arguments.model,
        targets=tuple(arguments.targets or ["host"]),
        output=arguments.output,
        shapes=parse_shapes(arguments.shape),
        calib=arguments.calib,
        eval=arguments.eval,
        metric=arguments.metric,
        max_drop_points=arguments.max_drop,
        strict=arguments.strict,
        trust_pickle=arguments.trust_pickle,
    )
    result = load_converter().convert(recipe, console.progress)
    for message in result.messages:
        console.note(message)
    console.result(result.summary, _text(result))
    return exit_code(result.gate, recipe.strict)


def convert(model: Path | str, *, progress: ProgressReporter | None = None, **options: Any) -> ConvertResult:
    """Converts a model; `options` are the fields of `edgert.recipe.Recipe` (Any: each has its own type).

    Raises:
        MissingExtraError: no converter is installed.
        ModelError: the model is damaged or holds something that cannot be converted.
        TypeError: an unknown option.
    """
    unknown = [name for name in options if name not in Recipe.__dataclass_fields__]
    if unknown:
        raise TypeError(f"convert has no option {unknown[0]!r}{did_you_mean(unknown[0], Recipe.__dataclass_fields__)}")
    return load_converter().convert(Recipe(Path(model), **options), progress or _no_progress)


def exit_code(gate: Gate, strict: bool) -> int:
    """Returns 1 for a failed gate, and for an undecided one under --strict; else 0."""
    return int(gate is Gate.FAILED or (strict and gate is Gate.UNDECIDED))


def _no_progress(stage: str, done: int, total: int) -> None:
    del stage, done, total


def _text(result: ConvertResult) -> str:
    rows = [_row(variant) for variant in result.summary.get("variants", [])]
    lines = [f"wrote {path}" for path in result.written]
    table = format_table(("variant", "size", "value", "drop", "95 % interval", "agree"), rows) if rows else ""
    return "\n".join([*([table, ""] if table else []), *lines, f"accuracy gate: {result.gate.value}"])


def _row(variant: dict[str, JsonValue]) -> tuple[str, ...]:
    interval = variant.get("ci95")
    bounds = "" if not interval else f"{interval[0]:.3g} to {interval[1]:.3g}"
    figures = (_figure(variant.get(key)) for key in ("value", "drop"))
    return (str(variant["id"]), format_bytes(int(variant["bytes"])), *figures, bounds, _figure(variant.get("agree")))


def _figure(value: JsonValue) -> str:
    return "" if value is None else f"{value:.4g}"
