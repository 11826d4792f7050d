"""What an option of a recipe holds, and how the file's and the command line's values become that."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgert.errors import RecipeError, did_you_mean

__all__ = ["Kind", "Option", "convert_value", "expect_text", "parse_shape"]

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Kind(enum.Enum):
    """What an option holds; repeatable ones are lists in TOML and repeated flags."""

    PATH = "path"
    DATA = "data"
    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "flag"
    CHOICE = "choice"
    TEXTS = "texts"
    CHOICES = "choices"
    LABELS = "labels"
    SHAPES = "shapes"
    RANGE = "range"


@dataclass(frozen=True, slots=True)
class Option:
    """One line of the table.

    `flag` and `short` are for the command line; `table` and `key` for the file ("" is the top of the file); `field` is
    the name in Recipe and in the overrides. `choices` limits CHOICE and CHOICES; `values` is the
    enumeration that they become, where they do.
    """

    flag: str
    table: str
    key: str
    field: str
    kind: Kind
    default: object
    help: str
    short: str | None = None
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    values: type[enum.Enum] | None = None

    @property
    def is_repeatable(self) -> bool:
        """True where the flag may stand several times."""
        return self.kind in {Kind.TEXTS, Kind.CHOICES, Kind.SHAPES}

    def parse(self, text: str) -> object:
        """Returns one flag's text as a value (of one element, where repeatable).

        Raises:
            RecipeError: the text does not fit.
        """
        where = f"option {self.flag}"
        if self.kind is Kind.SHAPES:
            return parse_shape(text)
        if self.kind is Kind.RANGE:
            return tuple(_to_number(part, self.kind, where) for part in text.split(","))
        if self.kind in {Kind.INTEGER, Kind.NUMBER}:
            return _checked_number(_to_number(text, self.kind, where), self, where)
        if self.kind in {Kind.CHOICE, Kind.CHOICES}:
            return _checked_choice(text, self, where)
        return Path(text) if self.kind is Kind.PATH else text


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Returns (name, shape) of ``NAME=1,3,320,320``.

    Raises:
        RecipeError: the text has another form.
    """
    name, separator, sizes = text.rpartition("=")
    parts = [part.strip() for part in sizes.split(",")]
    if not separator or not name or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise RecipeError(f"cannot read the shape {text!r}; write e.g. image=1,3,320,320")
    return name, tuple(int(part) for part in parts)


def convert_value(option: Option, value: object, where: str, folder: Path) -> object:
    """Returns a value of the file or of the command line in the form that Recipe has.

    Args:
        option: what it is for.
        value: as TOML or argparse gives it.
        where: how errors name the place.
        folder: relative paths count from here.

    Raises:
        RecipeError: it is of the wrong type or not allowed.
    """
    return _CONVERTERS[option.kind](option, value, where, folder)


def _flag(option: Option, value: object, where: str, folder: Path) -> object:
    return _expect(isinstance(value, bool), value, where, "true or false")


def _number(option: Option, value: object, where: str, folder: Path) -> object:
    return _checked_number(value, option, where)


def _path(option: Option, value: object, where: str, folder: Path) -> object:
    return folder / (value if isinstance(value, Path) else expect_text(value, where))


def _data(option: Option, value: object, where: str, folder: Path) -> object:
    spec = str(value) if isinstance(value, Path) else expect_text(value, where)
    return spec if _FUNCTION.fullmatch(spec) or folder == Path() else str(folder / spec)


def _choice(option: Option, value: object, where: str, folder: Path) -> object:
    return _chosen(option, value, where)


def _chosen(option: Option, value: object, where: str) -> object:
    text = value.value if isinstance(value, enum.Enum) else expect_text(value, where)
    chosen = _checked_choice(text, option, where)
    return chosen if option.values is None else option.values(chosen)


def _range(option: Option, value: object, where: str, folder: Path) -> object:
    ends = _list(value, where)
    numbers = [end for end in ends if isinstance(end, (int, float)) and not isinstance(end, bool)]
    if len(ends) != 2 or len(numbers) != 2 or not -1e30 < numbers[0] < numbers[1] < 1e30:
        raise RecipeError(f"{where}: must be two numbers, the smaller first, such as -1,1; got {value!r}")
    return float(numbers[0]), float(numbers[1])


def _plain_text(option: Option, value: object, where: str, folder: Path) -> object:
    return expect_text(value, where)


def _texts(option: Option, value: object, where: str, folder: Path) -> object:
    items = [value] if isinstance(value, str) else _list(value, where)
    if option.choices:
        return tuple(_chosen(option, item, where) for item in items)
    return tuple(expect_text(item, where) for item in items)


def _shapes(option: Option, value: object, where: str, folder: Path) -> object:
    if isinstance(value, Mapping):
        pairs = [(str(name), _list(sizes, f"{where}.{name}")) for name, sizes in value.items()]
    else:
        items = _list(value, where)
        pairs = [parse_shape(item) if isinstance(item, str) else tuple(_list(item, where)) for item in items]
    for name, sizes in pairs:
        if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes):
            raise RecipeError(f"{where}: the shape of {name!r} must be whole numbers above 0, got {sizes!r}")
    return {name: tuple(sizes) for name, sizes in pairs}


def _labels(option: Option, value: object, where: str, folder: Path) -> object:
    if not isinstance(value, (str, Path)):
        return tuple(expect_text(item, where) for item in _list(value, where))
    file = folder / value
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{where}: {file} cannot be read as a list of class names ({error})") from error
    return tuple(line.strip() for line in lines if line.strip())


def _to_number(text: str, kind: Kind, where: str) -> int | float:
    try:
        return int(text) if kind is Kind.INTEGER else float(text)
    except ValueError as error:
        raise RecipeError(
            f"{where}: must be a {'whole ' if kind is Kind.INTEGER else ''}number, got {text!r}"
        ) from error


def _checked_number(value: object, option: Option, where: str) -> int | float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if (
        not is_number
        or (option.kind is Kind.INTEGER and not isinstance(value, int))
        or not 0 <= float(str(value)) < 1e12
    ):
        kind = "a whole number" if option.kind is Kind.INTEGER else "a number"
        raise RecipeError(f"{where}: must be {kind} of at least 0, got {value!r}")
    if option.field == "calib_samples" and value == 0:
        raise RecipeError(f"{where}: must be at least 1, got 0")
    if option.field == "percentile" and not 50 < float(str(value)) <= 100:
        raise RecipeError(f"{where}: must be above 50 and at most 100, got {value!r}")
    return int(str(value)) if option.kind is Kind.INTEGER else float(str(value))


def _checked_choice(text: str, option: Option, where: str) -> str:
    if text not in option.choices:
        raise RecipeError(f"{where}: unknown value {text!r}{did_you_mean(text, option.choices)}")
    return text


def expect_text(value: object, where: str) -> str:
    """Returns the value as text that is not empty.

    Raises:
        RecipeError: it is something else.
    """
    return str(_expect(isinstance(value, str) and value != "", value, where, "text that is not empty"))


def _list(value: object, where: str) -> list[Any]:  # Any: TOML
    return list(_expect(isinstance(value, (list, tuple)), value, where, "a list"))


def _expect(holds: bool, value: Any, where: str, what: str) -> Any:  # Any: TOML; checked by the caller's condition
    if not holds:
        raise RecipeError(f"{where}: must be {what}, got {value!r}")
    return value


_CONVERTERS: dict[Kind, Callable[[Option, object, str, Path], object]] = {
    Kind.PATH: _path,
    Kind.DATA: _data,
    Kind.TEXT: _plain_text,
    Kind.INTEGER: _number,
    Kind.NUMBER: _number,
    Kind.FLAG: _flag,
    Kind.CHOICE: _choice,
    Kind.TEXTS: _texts,
    Kind.CHOICES: _texts,
    Kind.LABELS: _labels,
    Kind.SHAPES: _shapes,
    Kind.RANGE: _range,
}
