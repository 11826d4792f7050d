"""Writes a recipe as the text of an edgert.toml that `load_recipe` reads back as the same recipe."""

from __future__ import annotations

import enum
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgert.bundle import Step
from edgert.recipe import Recipe
from edgert.recipe_options import OPTIONS
from edgert.recipe_values import Kind, Option

__all__ = ["absolute_data", "recipe_text"]

_SCHEMA = 1
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def recipe_text(recipe: Recipe, comments: Sequence[str] = ()) -> str:
    """Returns the recipe as TOML: what differs from the defaults, paths absolute, so that it may lie anywhere.

    Args:
        recipe: its relative paths count from the working directory.
        comments: lines that stand above it.
    """
    tables: dict[str, list[str]] = {"": [f"schema = {_SCHEMA}"], "model": []}
    tables["model"].append(f"path = {_value(os.path.abspath(recipe.model))}")
    for option in OPTIONS:
        value = getattr(recipe, option.field)
        if value != option.default:
            tables.setdefault(option.table, []).append(f"{option.key} = {_value(_absolute(option, value))}")
    lines = [f"# {line}" for line in comments]
    for name, entries in tables.items():
        lines += ["", f"[{name}]", *entries] if name else entries
    for name, steps in (("preprocess", recipe.preprocess), ("postprocess", recipe.postprocess)):
        for step in steps:
            lines += ["", f"[[{name}]]", *_step(step)]
    return "\n".join(lines) + "\n"


def absolute_data(spec: str) -> str:
    """Returns a data specification that means the same from any folder; `module:function` stays as it is."""
    return spec if _FUNCTION.fullmatch(spec) and not Path(spec).exists() else os.path.abspath(spec)


def _absolute(option: Option, value: object) -> object:
    if option.kind is Kind.DATA:
        return absolute_data(str(value))
    return os.path.abspath(str(value)) if option.kind is Kind.PATH else value


def _step(step: Step) -> list[str]:
    return [f"{_key(name)} = {_value(value)}" for name, value in step.items() if value is not None]


def _value(value: object) -> str:
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(str(name))} = {_value(item)}" for name, item in value.items()) + " }"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_value, value))}]"
    return _text(str(value))


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL, which TOML wants escaped, too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
