"""HTML as values: text is escaped unless it already is `Html`, so that no name from a file can become markup."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable

__all__ = ["Html", "element", "join", "raw"]

_VOID = frozenset({"br", "img", "meta", "rect", "line", "circle", "path", "col"})


class Html(str):
    """Markup that is safe to write as it is; only `element`, `join` and `raw` make it."""

    __slots__ = ()


def raw(markup: str) -> Html:
    """Marks a constant of this package as markup; never call it with text that came from a file."""
    return Html(markup)


def join(parts: Iterable[Html | str | None]) -> Html:
    """Returns the parts one after the other; plain text is escaped, None is nothing."""
    return Html("".join(_escape(part) for part in parts if part is not None))


def element(tag: str, *children: Html | str | None, **attributes: object) -> Html:
    """Returns one element.

    Args:
        tag: the element's name, a constant of the calling code.
        children: escaped unless `Html`; None is left out.
        attributes: values are escaped; None leaves the attribute out; a trailing underscore is cut (`class_`) and
            the others become hyphens (`data_sort`, but `viewBox` stays as it is).
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(_printable(str(value)))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}/>")
    return Html(f"<{tag}{written}>{join(children)}</{tag}>")


def _escape(part: Html | str) -> str:
    return str(part) if isinstance(part, Html) else html.escape(_printable(part))


def _printable(text: str) -> str:
    """Replaces control characters, lone surrogates and marks that reverse the reading order."""
    return "".join("\ufffd" if _is_unprintable(character) else character for character in text)


def _is_unprintable(character: str) -> bool:
    if character.isascii() and character.isprintable():
        return False
    if unicodedata.category(character) in {"Cc", "Cs"}:
        return character not in "\n\t"
    return "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
