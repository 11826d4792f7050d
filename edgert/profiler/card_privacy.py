"""Takes out of a card what says whose board it was: names of hosts, users and devices, addresses, serial numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from edgert.codec import JsonValue

__all__ = ["redacted", "redacted_text"]

_KEPT = frozenset(
    {"kind", "created", "target", "outcome", "source", "verdict", "format", "precision", "variant", "code"}
)
"""Keys whose values edgert itself chose."""
_PUBLIC = frozenset({"root", "localhost"})
_SHORTEST_NUMBER = 6  # a board without a serial number may give 0 as one
_PATTERNS = (
    (re.compile(r"\x1b\[[0-9;]*[A-Za-z]"), ""),  # colours of what an engine wrote
    (re.compile(r"[\w.+-]+@[\w.-]+"), "<login>"),
    (re.compile(r"(?<![\w/])(?:/home|/Users)/[^/\s'\"]+"), "~"),
    (re.compile(r"(?<![\w.-])/root(?![\w-])"), "~"),
    (re.compile(r"(?i)(?<![\w:])(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?![\w:])"), "<address>"),
    (re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w.-]*\w)"), "<address>"),
    (re.compile(r"(?i)(?<![\w:])(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}(?![\w:])"), "<address>"),
    (re.compile(r"(?i)(?<![\w:])(?:[0-9a-f]{1,4}:)*[0-9a-f]{0,4}::[0-9a-f][0-9a-f:]*"), "<address>"),
)


def redacted(plain: JsonValue, words: Iterable[str]) -> JsonValue:
    """Returns a JSON document whose texts hold none of the private words, no address, login or home folder.

    Words are found as whole words, in the same case: a user called `pi` does not change `raspberry-pi-5`.
    """
    pattern = _pattern(words)
    return _walk(plain, pattern)


def redacted_text(text: str, words: Iterable[str]) -> str:
    """Returns one text, redacted in the same way."""
    return _clean(text, _pattern(words))


def _pattern(words: Iterable[str]) -> re.Pattern[str] | None:
    private = {word.strip() for word in words if _is_private(word.strip())}
    longest_first = sorted(private, key=lambda word: (-len(word), word))
    if not longest_first:
        return None
    return re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")


def _is_private(word: str) -> bool:
    if word in _PUBLIC:
        return False
    return len(word) >= (_SHORTEST_NUMBER if word.isdigit() else 2)


def _walk(plain: JsonValue, pattern: re.Pattern[str] | None) -> JsonValue:
    if isinstance(plain, str):
        return _clean(plain, pattern)
    if isinstance(plain, list | tuple):
        return [_walk(value, pattern) for value in plain]
    if isinstance(plain, dict):
        return {key: value if key in _KEPT else _walk(value, pattern) for key, value in plain.items()}
    return plain


def _clean(text: str, pattern: re.Pattern[str] | None) -> str:
    for found, instead in _PATTERNS:
        text = found.sub(instead, text)
    return text if pattern is None else pattern.sub("<private>", text)
