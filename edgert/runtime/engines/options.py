"""Options that an engine takes by its own names: checking them, and the words of its errors."""

from __future__ import annotations

from collections.abc import Mapping

from edgert.errors import UsageError, did_you_mean

__all__ = ["OptionTable", "checked_options", "contradiction", "one_line"]

OptionTable = Mapping[str, tuple[str, tuple[str, ...], str]]
"""Option -> (default, allowed values or () for any, meaning)."""
_TEXT_LIMIT = 500


def checked_options(engine: str, table: OptionTable, given: Mapping[str, str]) -> dict[str, str]:
    """Returns a value for every option of the table.

    Raises:
        UsageError: an option is unknown or its value is not allowed.
    """
    settings = {name: default for name, (default, _, _) in table.items()}
    for name, value in given.items():
        if name not in table:
            raise UsageError(f"{engine} has no option {name!r}{did_you_mean(name, table)}; known: {', '.join(table)}")
        allowed = table[name][1]
        if allowed and value not in allowed:
            raise UsageError(f"{engine} option {name} is {value!r}; allowed: {', '.join(allowed)}")
        settings[name] = value
    return settings


def contradiction(engine: str, first: str, second: str) -> UsageError:
    """The error for two options that exclude each other."""
    return UsageError(f"{engine} options {first} and {second} contradict each other; leave one of them away")


def one_line(error: BaseException) -> str:
    """The text of an engine's error without line breaks, cut to a length that a terminal takes."""
    return " ".join(str(error).split())[:_TEXT_LIMIT] or type(error).__name__
