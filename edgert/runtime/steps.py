"""Binds a step written as data, {"op": NAME, ...arguments}, to the function that does it; strict about both."""

from __future__ import annotations

import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from edgert.bundle import Step
from edgert.errors import RecipeError, did_you_mean

__all__ = ["bind_step", "describe_arguments"]


def bind_step(step: Step, table: Mapping[str, Callable[..., Any]], where: str) -> Callable[..., Any]:
    """Returns the table's function for `step["op"]` with the step's arguments bound to its keyword-only parameters.

    The annotations of the function (or of the class it wraps) are the schema: int (at least 1 unless the default is
    smaller), float (finite), bool, str, Literal, list[...], X | None.

    Args:
        step: one step as data; not modified.
        table: functions by name.
        where: how the step is named in errors, e.g. ``preprocess step 2``.

    Raises:
        RecipeError: the step is no table, its op is unknown, or an argument is unknown, missing or of the wrong type.
    """
    if not isinstance(step, dict):
        raise RecipeError(f"{where}: expected a table with the key 'op', got {step!r}")
    op = step.get("op")
    if not isinstance(op, str) or op not in table:
        hint = did_you_mean(str(op), table) if op is not None else f"; allowed: {', '.join(sorted(table))}"
        raise RecipeError(f"{where}: {'unknown op ' + repr(op) if op is not None else 'the key op is missing'}{hint}")
    parameters = _parameters(table[op])
    arguments = {name: value for name, value in step.items() if name != "op"}
    for name, value in arguments.items():
        if name not in parameters:
            raise RecipeError(f"{where} ({op}): unknown argument {name!r}{did_you_mean(name, parameters)}")
        hint, default = parameters[name]
        problem = _problem(hint, value, default)
        if problem:
            raise RecipeError(f"{where} ({op}): argument {name!r} {problem}, got {value!r}")
    missing = [name for name, (_, default) in parameters.items() if default is _REQUIRED and name not in arguments]
    if missing:
        raise RecipeError(f"{where} ({op}): argument {missing[0]!r} is missing")
    return functools.partial(table[op], **arguments)


def describe_arguments(function: Callable[..., Any]) -> dict[str, str]:
    """Returns the arguments of a step and how each is described in the documentation, e.g. ``{'height': 'int'}``."""
    described = {}
    for name, (hint, default) in _parameters(function).items():
        text = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
        described[name] = text if default is _REQUIRED else f"{text} = {default!r}"
    return described


_REQUIRED = inspect.Parameter.empty


@functools.cache
def _parameters(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    schema = inspect.unwrap(function)
    hints = typing.get_type_hints(schema)
    parameters = inspect.signature(schema).parameters.values()
    return {p.name: (hints[p.name], p.default) for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def _problem(hint: Any, value: Any, default: Any) -> str | None:  # Any: a type hint and values of a recipe
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        allowed = typing.get_args(hint)
        return None if value in allowed else f"must be one of {', '.join(map(str, allowed))}"
    if origin in {typing.Union, types.UnionType}:
        problems = [_problem(member, value, default) for member in typing.get_args(hint)]
        return None if None in problems else next(p for p in problems if p)
    if origin is list:
        if not isinstance(value, (list, tuple)) or not value:
            return "must be a list that is not empty"
        return next(filter(None, (_problem(typing.get_args(hint)[0], item, default) for item in value)), None)
    return _scalar_problem(hint, value, default)


def _scalar_problem(hint: Any, value: Any, default: Any) -> str | None:  # Any: a type hint and values of a recipe
    if hint is type(None):
        return None if value is None else "must be null"
    if hint is float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return None if is_number and math.isfinite(value) else "must be a finite number"
    if hint is int:
        smallest = min(1, default) if isinstance(default, int) else 1
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return None if is_integer and value >= smallest else f"must be a whole number of at least {smallest}"
    return None if isinstance(value, hint) else f"must be of type {hint.__name__}"
