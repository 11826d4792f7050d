"""`edgert convert`: a thin call of the installed converter."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgert.bundle import Gate
from edgert.codec import JsonValue
from edgert.commands.console import Console, format_table
from edgert.commands.option_flags import add_option_flags, given_options
from edgert.errors import did_you_mean
from edgert.plugins import ConvertResult, ProgressReporter, load_converter
from edgert.recipe import Recipe
from edgert.recipe_file import OPTIONS, load_recipe
from edgert.units import format_bytes

__all__ = ["add_arguments", "convert", "execute"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the model, the recipe file and every option of the table in edgert.recipe_options."""
    parser.add_argument("model", type=Path, nargs="?", metavar="MODEL", help="an .onnx or .pt2 file")
    parser.add_argument("--recipe", type=Path, metavar="edgert.toml", help="file of options; flags override it")
    add_option_flags(parser, OPTIONS)


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    recipe = load_recipe(arguments.recipe, {"model": arguments.model, **given_options(arguments, OPTIONS)})
    result = load_converter().convert(recipe, console.progress)
    for message in result.messages:
        console.note(message)
    console.result(result.summary, _text(result))
    return exit_code(result.gate, recipe.strict)


def convert(
    model: Any,  # Any: a path, or a torch.nn.Module or torch.export.ExportedProgram (torch may be absent)
    *,
    example_inputs: Sequence[Any] = (),  # Any: torch tensors
    recipe: Path | str | None = None,
    progress: ProgressReporter | None = None,
    **options: Any,  # Any: each field of Recipe has its own type
) -> ConvertResult:
    """Converts a model file, or a PyTorch module or exported program.

    Args:
        model: path of an .onnx file, or the program itself.
        example_inputs: positional inputs of a torch.nn.Module, for its export.
        recipe: an edgert.toml.
        progress: told what is going on.
        options: fields of `edgert.recipe.Recipe`, over those of the file.

    Raises:
        MissingExtraError: no converter is installed.
        ModelError: the model is damaged or holds something that cannot be converted.
        RecipeError: an option has the wrong type or value.
        TypeError: an unknown option.
    """
    unknown = [name for name in options if name not in Recipe.__dataclass_fields__]
    if unknown:
        raise TypeError(f"convert has no option {unknown[0]!r}{did_you_mean(unknown[0], Recipe.__dataclass_fields__)}")
    is_file = isinstance(model, (str, Path))
    name = Path(model) if is_file else Path(type(model).__name__)
    resolved = load_recipe(Path(recipe) if recipe is not None else None, {"model": name, **options})
    converter, report = load_converter(), progress or _no_progress
    if is_file:
        return converter.convert(resolved, report)
    return converter.convert_program(model, example_inputs, resolved, report)


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
