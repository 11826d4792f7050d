"""The words of `--energy`: `NAME`, `NAME:PLACE`, and `?setting=value&setting=value` behind either."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from edgert.errors import UsageError, did_you_mean

__all__ = ["SensorSettings", "parse_words"]


@dataclass(slots=True)
class SensorSettings:
    """What the user said of one sensor; each setting is taken once, and what is left over is refused."""

    name: str
    place: str = ""
    values: dict[str, str] = field(default_factory=dict)
    _known: list[str] = field(default_factory=list)

    def text(self, key: str, default: str) -> str:
        """Takes a setting."""
        self._known.append(key)
        return self.values.pop(key, default)

    def number(self, key: str, default: float, low: float = 0.0, high: float = float("inf")) -> float:
        """Takes a number above `low` and up to `high`.

        Raises:
            UsageError: it is no number, or outside.
        """
        text = self.text(key, "")
        if not text:
            return default
        try:
            value = float(text)
        except ValueError as error:
            raise UsageError(f"{self.name}: {key} is {text!r}; {text!r} is no number") from error
        if not low < value <= high:
            above = "" if high == float("inf") else f" and at most {high:g}"
            raise UsageError(f"{self.name}: {key} is {value:g}; it must be above {low:g}{above}")
        return value

    def integer(self, key: str, default: int) -> int:
        """Takes a whole number, also as 0x40.

        Raises:
            UsageError: it is none.
        """
        text = self.text(key, str(default))
        try:
            return int(text, 0)
        except ValueError as error:
            raise UsageError(
                f"{self.name}: {key} is {text!r}; it must be a whole number, such as 64 or 0x40"
            ) from error

    def finish(self) -> None:
        """Refuses what nobody took.

        Raises:
            UsageError: there is such a setting, or a place where none belongs.
        """
        for key in self.values:
            raise UsageError(f"{self.name} has no setting {key!r}{did_you_mean(key, self._known)}")


def parse_words(words: str) -> SensorSettings:
    """Returns the parts of the words; nothing is checked yet."""
    head, _, query = words.partition("?")
    name, _, place = head.partition(":")
    return SensorSettings(name, place, dict(parse_qsl(query, keep_blank_values=True)))
