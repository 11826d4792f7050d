"""What an app is started with: settings.json (made from edgert.toml when it is deployed), then the command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgert.app.sources import INPUT_WORDS
from edgert.errors import InputFileError, UsageError, did_you_mean

__all__ = ["Options", "check_setting", "page_token", "parse_options", "read_settings"]

TOKEN_VARIABLE = "EDGERT_PAGE_TOKEN"
_RANGES = (
    ("threshold", 0, 1000),  # the app says which of these make sense
    ("port", 0, 65535),
    ("top", 1, 100),
    ("page_rate", 0.1, 60),
    ("hop", 5, 10_000),
    ("smooth", 0, 60_000),
    ("pause", 0, 3_600_000),
)


@dataclass(frozen=True, slots=True)
class Options:
    """Every setting of an app. A bundle is sought beside the settings file where its path is relative.

    `seconds` None: until it is stopped. The page's token comes from the environment only (EDGERT_PAGE_TOKEN): a command
    line can be read by every user of the computer.
    """

    bundle: str = ""
    input: str = "synthetic"
    variant: str | None = None
    device: str | None = None
    threads: int | None = None
    threshold: float = 0.0
    top: int = 5
    rate: float = 15.0
    size: str = "640x480"
    address: str = "127.0.0.1"
    port: int = 8080
    page_rate: float = 10.0
    headless: bool = False
    seconds: float | None = None
    energy: str = "auto"
    hop: float = 100.0
    smooth: float = 300.0
    pause: float = 1000.0

    def __post_init__(self) -> None:
        if not self.bundle:
            raise UsageError("no model: --bundle FILE.edge")
        for name, low, high in _RANGES:
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} is {getattr(self, name)}; allowed: {low} to {high}")
        if not re.fullmatch(r"\d{2,4}x\d{2,4}", self.size):
            raise UsageError(f"size is {self.size!r}; as in 640x480")

    @property
    def height_width(self) -> tuple[int, int]:
        """Rows and columns that are asked of a camera."""
        width, height = self.size.split("x")
        return int(height), int(width)


def parse_options(
    argv: Sequence[str] | None, words: str, defaults: Mapping[str, object], inputs: str = INPUT_WORDS
) -> Options:
    """Returns the options of an app: its defaults, then --settings FILE, then the command line.

    Args:
        argv: the command line; None: the program's.
        words: what the app does, for --help.
        defaults: its own defaults by name.
        inputs: what --input takes, for --help.

    Raises:
        UsageError: an unknown setting, or one that is not allowed.
        InputFileError: the settings file cannot be read.
    """
    given = vars(_parser(words, inputs).parse_args(argv))
    path = given.pop("settings")
    values = {**defaults, **({} if path is None else read_settings(Path(path)))}
    values |= {name: value for name, value in given.items() if value is not None}
    return Options(**values)  # type: ignore[arg-type]  # types were checked by argparse and read_settings


def read_settings(path: Path) -> dict[str, object]:
    """Returns the settings of a file, checked by name and type.

    Raises:
        InputFileError: it cannot be read.
        UsageError: an unknown setting, or one of the wrong type.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path}: cannot be read as settings: {error}") from error
    if not isinstance(values, dict):
        raise InputFileError(f"{path}: settings are an object of names and values")
    checked = {name: check_setting(name, value, str(path)) for name, value in values.items()}
    if isinstance(checked.get("bundle"), str):
        checked["bundle"] = str(path.parent / str(checked["bundle"]))
    return checked


def check_setting(name: str, value: object, where: str) -> object:
    """Returns the value as the setting's own type.

    Raises:
        UsageError: there is no such setting, or it has another type.
    """
    types = {field.name: str(field.type) for field in dataclasses.fields(Options)}
    if name not in types:
        raise UsageError(f"{where}: no setting {name!r}{did_you_mean(name, types)}")
    kind = types[name].removesuffix(" | None")
    fits = type(value) in {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}[kind]
    if not fits and not (value is None and types[name].endswith("None")):
        raise UsageError(f"{where}: {name} is {value!r}; it must be of type {types[name]}")
    return value


def page_token() -> str | None:
    """Returns the page's token from the environment, or None."""
    return os.environ.get(TOKEN_VARIABLE) or None


def _parser(words: str, inputs: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=words)
    add = parser.add_argument
    add("--settings", metavar="FILE", help="JSON file with these options by name; the command line wins")
    add("--bundle", metavar="FILE", help="the model, a .edge bundle")
    add("--input", metavar="WORDS", help=inputs)
    add("--variant", metavar="ID", help="variant of the bundle (default: the tuned one, else the bundle's)")
    add("--device", metavar="NAME|URL", help="microcontroller that runs the model, as edgert run takes it")
    add("--threads", type=int, metavar="N", help="threads of the engine")
    add("--threshold", type=float, metavar="X", help="least score that counts")
    add("--top", type=int, metavar="K", help="most classes that are shown")
    add("--rate", type=float, metavar="HZ", help="pictures a second asked of the input")
    add("--hop", type=float, metavar="MS", help="sound: milliseconds from one window to the next")
    add("--smooth", type=float, metavar="MS", help="sound: milliseconds over which scores are averaged")
    add("--pause", type=float, metavar="MS", help="sound: least milliseconds between two detections")
    add("--size", metavar="WxH", help="pixels asked of a camera, as in 640x480")
    add("--address", metavar="IP", help=f"where the page listens (127.0.0.1; others need {TOKEN_VARIABLE})")
    add("--port", type=int, metavar="N", help="port of the page; 0: a free one")
    add("--page-rate", type=float, metavar="HZ", help="most pictures a second on the page")
    add("--headless", action="store_const", const=True, help="no page")
    add("--seconds", type=float, metavar="S", help="end after so many seconds")
    add("--energy", metavar="SENSOR", help="energy sensor: auto, none or its words (docs/energy.md)")
    return parser
