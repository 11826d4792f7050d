"""Frozen dataclasses to and from JSON, checked field by field.

`parse_json` reads the JSON itself, and refuses what no file of ours holds and later code would stumble over.
Supported field types: str, int, float, bool, Enum, dataclass, tuple[X, ...], dict[str, X], X | None and JsonValue.
Unknown keys are ignored, so that a newer writer may add fields within one schema number.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar, cast

from edgert.errors import EdgertError

__all__ = ["CodecError", "JsonValue", "from_plain", "parse_json", "to_plain"]

JsonValue: TypeAlias = Any  # Any: a JSON document is str | float | bool | None | list | dict, recursively

T = TypeVar("T")

MAX_DEPTH = 64
MAX_INTEGER = 1 << 64


class CodecError(EdgertError):
    """A JSON document does not have the expected form; `where` is the path inside it."""

    exit_code = 4

    def __init__(self, where: str, text: str) -> None:
        self.where = where
        super().__init__(f"at {where or 'the top'}: {text}")


def parse_json(data: bytes | str) -> JsonValue:
    """Returns a JSON document from a file that nobody vouches for.

    Beyond the JSON grammar it refuses numbers that are not finite or beyond 64 bits, text that cannot be written
    (half a surrogate pair) and nesting deeper than 64, which the standard library lets through.

    Raises:
        ValueError: not such a document; the message says why.
    """
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from error
    level, depth = [document], 0
    while level:
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        level, depth = [child for value in level for child in _checked_children(value)], depth + 1
    return document


def _refuse_constant(text: str) -> JsonValue:
    raise ValueError(f"{text} is not a JSON number")


def _checked_children(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, list):
        return value
    if isinstance(value, str) and not value.isascii():
        value.encode()
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is too large")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ValueError("a whole number has more than 64 bits")
    return []


def to_plain(value: object) -> JsonValue:
    """Returns the JSON form of a dataclass, enum, tuple, mapping or scalar.

    Raises:
        TypeError: the value has no JSON form.
        ValueError: a float is not finite (JSON has no such numbers).
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} has no JSON form")
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"no JSON form for {type(value).__name__}")


def from_plain(cls: type[T], data: JsonValue, where: str = "") -> T:
    """Returns `data` as an instance of the dataclass `cls`.

    Raises:
        CodecError: a key is missing or a value has the wrong type; the message holds its path.
    """
    if not isinstance(data, dict):
        raise CodecError(where, f"expected an object, got {_kind(data)}")
    hints, values = _hints(cls), {}  # type: ignore[arg-type]  # mypy: a class object is hashable
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        path = f"{where}.{field.name}" if where else field.name
        if field.name in data:
            values[field.name] = _decode(hints[field.name], data[field.name], path)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise CodecError(path, "missing")
    try:
        return cls(**values)
    except ValueError as error:
        raise CodecError(where, str(error)) from error


@functools.cache
def _hints(cls: type[object]) -> dict[str, Any]:  # Any: type hints are of no one type
    return typing.get_type_hints(cls)


def _decode(hint: Any, value: JsonValue, where: str) -> object:  # Any: a type hint
    if hint is Any:
        return value
    origin = typing.get_origin(hint)
    if origin in {typing.Union, types.UnionType}:
        return _decode_union(hint, value, where)
    if origin is tuple:
        return _decode_tuple(hint, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise CodecError(where, f"expected an object, got {_kind(value)}")
        return {key: _decode(typing.get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return from_plain(cast("type[object]", hint), value, where)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _decode_enum(hint, value, where)
    return _decode_scalar(hint, value, where)


def _decode_union(hint: Any, value: JsonValue, where: str) -> object:  # Any: a type hint
    members = typing.get_args(hint)
    if value is None and type(None) in members:
        return None
    errors = []
    for member in members:
        if member is type(None):
            continue
        try:
            return _decode(member, value, where)
        except CodecError as error:
            errors.append(error)
    raise errors[0]


def _decode_tuple(hint: Any, value: JsonValue, where: str) -> tuple[object, ...]:  # Any: a type hint
    if not isinstance(value, list):
        raise CodecError(where, f"expected a list, got {_kind(value)}")
    members = typing.get_args(hint)
    if len(members) == 2 and members[1] is Ellipsis:
        return tuple(_decode(members[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(members) != len(value):
        raise CodecError(where, f"expected {len(members)} items, got {len(value)}")
    return tuple(_decode(m, v, f"{where}[{i}]") for i, (m, v) in enumerate(zip(members, value, strict=True)))


def _decode_enum(hint: type[enum.Enum], value: JsonValue, where: str) -> enum.Enum:
    try:
        return hint(value)
    except ValueError as error:
        allowed = ", ".join(str(member.value) for member in hint)
        raise CodecError(where, f"{value!r} is not one of {allowed}") from error


def _decode_scalar(hint: type, value: JsonValue, where: str) -> object:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise CodecError(where, f"expected {hint.__name__}, got {_kind(value)}")
    return value


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return names.get(type(value), type(value).__name__)
