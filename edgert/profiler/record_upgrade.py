"""Reads documents of older schemas: one function for each number, applied one after the other until the newest.

A newer edgert wrote what has a higher number; that is refused, since what it left out cannot be known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgert.codec import JsonValue
from edgert.errors import InputFileError

__all__ = ["UPGRADES", "upgrade"]

Document = dict[str, JsonValue]


def _from_1(document: Document) -> Document:
    """Schema 2 only added optional fields: core, target, release; throttling; power mode; more of energy."""
    return document


UPGRADES: Mapping[int, Callable[[Document], Document]] = {1: _from_1}
"""Schema -> function that makes a document of the next schema of one."""


def upgrade(
    document: JsonValue,
    newest: int,
    where: str,
    steps: Mapping[int, Callable[[Document], Document]] = UPGRADES,
) -> Document:
    """Returns a document of schema `newest`; the one given is not changed.

    Args:
        document: parsed JSON.
        newest: the schema that this edgert writes.
        where: the file, for errors.
        steps: the functions.

    Raises:
        InputFileError: it is no object, has no schema that this edgert knows, or one that is newer.
    """
    schema = document.get("schema") if isinstance(document, dict) else None
    if isinstance(schema, int) and not isinstance(schema, bool) and schema > newest:
        raise InputFileError(
            f"{where}: profile record of schema {schema}, which a newer edgert wrote; this one reads up to {newest}: "
            "update edgert (pip install -U edgert)"
        )
    if not isinstance(document, dict) or isinstance(schema, bool) or schema not in {*steps, newest}:
        known = ", ".join(str(number) for number in sorted({*steps, newest}))
        raise InputFileError(f"{where}: profile record of schema {schema!r}; this edgert reads schema {known}")
    found = dict(document)
    for number in range(schema, newest):
        found = {**steps[number](found), "schema": number + 1}
    return found
