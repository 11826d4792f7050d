"""Tables of options as flags of the command line, for verbs whose options also stand in edgert.toml."""

from __future__ import annotations

import argparse
import enum
from collections.abc import Sequence

from edgert.recipe_values import Kind, Option

__all__ = ["add_option_flags", "given_options"]


def add_option_flags(parser: argparse.ArgumentParser, options: Sequence[Option]) -> None:
    """Adds a flag for every option; what is not given is None, so that the file and the defaults count."""
    for option in options:
        names = [option.short, option.flag] if option.short else [option.flag]
        if option.kind is Kind.FLAG:
            parser.add_argument(*names, dest=option.field, action="store_true", default=None, help=option.help)
            continue
        parser.add_argument(
            *names,
            dest=option.field,
            action="append" if option.is_repeatable else "store",
            metavar=option.metavar or option.key.upper(),
            help=_help(option),
        )


def given_options(arguments: argparse.Namespace, options: Sequence[Option]) -> dict[str, object]:
    """Returns the value of every option by its field; None where the flag was not given.

    Raises:
        RecipeError: a flag's text does not fit.
    """
    return {option.field: _given(option, getattr(arguments, option.field)) for option in options}


def _help(option: Option) -> str:
    choices = f" ({', '.join(option.choices)})" if option.choices else ""
    default = option.default
    if default in (None, (), {}):
        return f"{option.help}{choices}".replace("%", "%%")
    items = default if isinstance(default, tuple) else (default,)
    shown = ", ".join(str(item.value if isinstance(item, enum.Enum) else item) for item in items)
    return f"{option.help}{choices} (default: {shown})".replace("%", "%%")


def _given(option: Option, value: object) -> object:
    """A flag's text as the value that the settings want; None where the flag was not given."""
    if isinstance(value, str):
        return option.parse(value)
    return [option.parse(text) for text in value] if isinstance(value, list) else value
