"""Reads edgert.toml strictly and lays the flags of the command line over it (docs/recipe.md).

Read on the laptop only: TOML needs Python 3.11, and no board reads a recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgert.bundle import Step
from edgert.errors import RecipeError, did_you_mean
from edgert.recipe import Recipe
from edgert.recipe_options import OPTIONS
from edgert.recipe_values import Kind, Option, convert_value, expect_text, parse_shape
from edgert.runtime.postprocess import build_postprocess
from edgert.runtime.preprocess import build_preprocess

__all__ = ["OPTIONS", "Kind", "Option", "load_recipe", "load_search_table", "parse_shape", "parse_toml"]

SCHEMA = 1
_SEARCH = "search"
"""The table that only `edgert search` reads."""

_STEP_TABLES: dict[str, Callable[[tuple[Step, ...]], object]] = {
    "preprocess": build_preprocess,
    "postprocess": build_postprocess,
}


def load_recipe(path: Path | None, overrides: Mapping[str, object]) -> Recipe:
    """Returns the recipe of a file with `overrides` (by field of Recipe; None: not given) on top.

    Relative paths in the file count from the file's folder, relative paths in `overrides` from the working directory.

    Raises:
        RecipeError: the file cannot be read, a key is unknown, a value has the wrong type, or no model is named.
    """
    values = _read_file(path) if path is not None else {}
    fields = {option.field: option for option in OPTIONS}
    for name, value in overrides.items():
        if name not in fields and name not in {"model", *_STEP_TABLES}:
            raise TypeError(f"no recipe field {name!r}")
        if value is not None:
            values[name] = (
                convert_value(fields[name], value, f"option {fields[name].flag}", Path()) if name in fields else value
            )
    if values.get("model") is None:
        raise RecipeError(
            f"{path or 'no recipe'}: no model is named; give it on the command line or as path in [model]"
        )
    values["model"] = Path(str(values["model"]))
    return Recipe(**values)


def load_search_table(path: Path) -> dict[str, Any]:  # Any: TOML
    """Returns the table [search] as it stands in the file, whose other tables are checked as for a conversion.

    Raises:
        RecipeError: the file cannot be read, has no [search], or another table is wrong.
    """
    document = parse_toml(path)
    _read_document(path, document)
    table = document.get(_SEARCH)
    if not isinstance(table, dict):
        raise RecipeError(f"{path}: no table [{_SEARCH}] says what to search for; docs/search.md shows one")
    return table


def _read_file(path: Path) -> dict[str, Any]:  # Any: fields of Recipe
    return _read_document(path, parse_toml(path))


def _read_document(path: Path, given: Mapping[str, Any]) -> dict[str, Any]:  # Any: TOML; fields of Recipe
    document = {key: value for key, value in given.items() if key != _SEARCH}
    schema = document.pop("schema", None)
    if schema != SCHEMA:
        raise RecipeError(f"{path}: schema is {schema!r}, this edgert reads 'schema = {SCHEMA}' at the top of the file")
    values: dict[str, Any] = {}
    for name, check in _STEP_TABLES.items():
        if name in document:
            values[name] = _steps(document.pop(name), check, f"{path}: [[{name}]]")
    tables = _tables()
    _take(path, "", {k: v for k, v in document.items() if k not in tables or k == ""}, tables, values)
    for table in [key for key in document if key in tables]:
        if not isinstance(document[table], dict):
            raise RecipeError(f"{path}: [{table}] must be a table, got {document[table]!r}")
        _take(path, table, document[table], tables, values)
    return values


def parse_toml(path: Path) -> dict[str, Any]:  # Any: TOML
    """Reads a TOML file.

    Raises:
        RecipeError: it cannot be read, or is no TOML.
    """
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise RecipeError(f"{path}: not valid TOML: nested too deeply") from error


def _tables() -> dict[str, dict[str, Option | None]]:
    """Options by table and key; None stands for the model's path, which is an argument and no option."""
    tables: dict[str, dict[str, Option | None]] = {"model": {"path": None}}
    for option in OPTIONS:
        tables.setdefault(option.table, {})[option.key] = option
    return tables


def _take(
    path: Path,
    table: str,
    given: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, Option | None]],
    values: dict[str, Any],
) -> None:
    place = f"[{table}]" if table else "top level"
    known = tables[table]
    for key, value in given.items():
        if key not in known:
            allowed = [*known, *(_top_level_names(tables) if not table else ())]
            raise RecipeError(f"{path}: {place}: unknown key {key!r}{did_you_mean(key, allowed)}")
        where = f"{path}: {place}: {key}"
        option = known[key]
        if option is None:
            values["model"] = path.parent / expect_text(value, where)
        else:
            values[option.field] = convert_value(option, value, where, path.parent)


def _top_level_names(tables: Mapping[str, object]) -> list[str]:
    return ["schema", _SEARCH, *_STEP_TABLES, *(name for name in tables if name)]


def _steps(value: object, check: Callable[[tuple[Step, ...]], object], where: str) -> tuple[Step, ...]:
    if not isinstance(value, list) or not all(isinstance(step, dict) for step in value):
        raise RecipeError(f"{where}: must be an array of tables ({where.rpartition(': ')[2]})")
    steps = tuple(value)
    try:
        check(steps)
    except RecipeError as error:
        raise RecipeError(f"{where.rpartition(': ')[0]}: {error}") from error
    return steps
