"""The small part of YAML that data.yaml files use: scalars, lists and one level of mappings. Not a YAML parser."""

from __future__ import annotations

import re

from edgert.errors import DataError

__all__ = ["YamlSubsetError", "parse_yaml_subset"]

_KEY = re.compile(r"""(?P<key>"[^"]*"|'[^']*'|[^\s:#'"\[\]{}-][^:#]*?)\s*:(?:\s+(?P<value>.*))?$""")


class YamlSubsetError(DataError):
    """The text uses YAML that this reader does not know."""


def parse_yaml_subset(text: str) -> dict[str, object]:
    """Returns the mapping; values are str, list[str] or dict[str, str].

    Raises:
        YamlSubsetError: a line has another form; its number is in the message.
    """
    document: dict[str, object] = {}
    current: str | None = None
    for number, raw in enumerate(_joined_lines(text), 1):
        line = _strip_comment(raw).rstrip()
        if not line.strip() or line.strip() == "---":
            continue
        is_nested = line[0] in " \t" or line.lstrip().startswith("- ")
        if not is_nested:
            key, value = _key_and_value(line, number)
            document[key] = _value(value, number)
            current = key if value == "" else None
        elif current is None:
            raise YamlSubsetError(f"line {number}: indented, but no key is open: {line!r}")
        else:
            _append(document, current, line.strip(), number)
    return document


def _append(document: dict[str, object], key: str, text: str, number: int) -> None:
    holder = document[key]
    if text.startswith("- "):
        items = holder if isinstance(holder, list) else []
        document[key] = [*items, _scalar(text[2:].strip())]
        return
    name, value = _key_and_value(text, number)
    entries = holder if isinstance(holder, dict) else {}
    document[key] = {**entries, name: _scalar(value)}


def _key_and_value(line: str, number: int) -> tuple[str, str]:
    match = _KEY.match(line)
    if match is None:
        raise YamlSubsetError(f"line {number}: expected 'key: value', got {line!r}")
    return _scalar(match["key"]), (match["value"] or "").strip()


def _value(text: str, number: int) -> object:
    if text.startswith("[") and text.endswith("]"):
        return [_scalar(item.strip()) for item in text[1:-1].split(",") if item.strip()]
    if text.startswith("{") and text.endswith("}"):
        return dict(_key_and_value(item.strip(), number) for item in text[1:-1].split(",") if item.strip())
    if text[:1] in {"[", "{", "&", "*", "!", "|", ">"}:
        raise YamlSubsetError(f"line {number}: this form of YAML is not supported here: {text!r}")
    return _scalar(text)


def _scalar(text: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"" else text


def _strip_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*$", "", line)


def _joined_lines(text: str) -> list[str]:
    """Lines, where a list in brackets that goes over several lines is one."""
    lines: list[str] = []
    for line in text.splitlines():
        if lines and lines[-1].count("[") > lines[-1].count("]"):
            lines[-1] += " " + _strip_comment(line).strip()
        else:
            lines.append(_strip_comment(line))
    return lines
