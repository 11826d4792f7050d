"""Devices by name: what `edgert devices add` stores, and what a word after --device means."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from edgert.bundle import replace_atomically
from edgert.codec import CodecError, JsonValue, from_plain, parse_json, to_plain
from edgert.errors import InputFileError, UsageError, did_you_mean
from edgert.runtime.settings import settings_folder

__all__ = [
    "BOARD_SCHEMES",
    "SSH_EXAMPLE",
    "Device",
    "add_device",
    "find_device",
    "load_devices",
    "remove_device",
    "store_device",
]

SCHEMA = 1
BOARD_SCHEMES = {"qemu": "qemu:mps2-an386", "serial": "serial:///dev/ttyACM0", "socket": "socket://127.0.0.1:4000"}
"""Schemes of URLs of microcontrollers, each with an example."""
SSH_EXAMPLE = "ssh://pi@raspberrypi.local"
"""URL of a Linux board."""
_LOCAL = "local"
_SSH = "ssh"
_PORT = re.compile(r"COM\d+|/dev/.+", re.IGNORECASE)
"""A serial port as the system calls it."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Device:
    """A device: its name (or URL, where it has none) and its URL.

    For a Linux board also what `edgert devices add` found there: `target`, the one that fits it, and `facts`
    (edgert.onboard.facts) as they were then.
    """

    name: str
    url: str
    target: str | None = None
    facts: dict[str, JsonValue] = field(default_factory=dict)

    @property
    def is_board(self) -> bool:
        """True for a microcontroller: it runs the C of a bundle instead of an engine."""
        return self.url.partition(":")[0] in BOARD_SCHEMES

    @property
    def is_linux_board(self) -> bool:
        """True for a board that is reached over SSH."""
        return self.url.partition(":")[0] == _SSH


@dataclass(frozen=True, slots=True)
class _File:
    schema: int
    devices: tuple[Device, ...] = ()


def find_device(word: str | None) -> Device:
    """Returns the device of a name or URL; None, ``local`` and ``local:`` are this computer.

    Raises:
        UsageError: there is no such name, and it is no URL.
        InputFileError: the file of names is damaged.
    """
    if word in {None, _LOCAL, f"{_LOCAL}:"}:
        return Device(_LOCAL, f"{_LOCAL}:")
    assert word is not None
    word = _as_url(word)
    if _is_url(word):
        return Device(word, word)
    known = load_devices()
    if word in known:
        return known[word]
    hint = did_you_mean(word, known) if known else ""
    raise UsageError(
        f"no device {word!r}{hint}; devices reachable from here: local:, {_examples()} "
        "and the names of edgert devices list"
    )


def load_devices() -> dict[str, Device]:
    """Returns the stored devices by name, sorted.

    Raises:
        InputFileError: the file is damaged.
    """
    path = _path()
    try:
        stored = from_plain(_File, parse_json(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except (CodecError, ValueError, OSError) as error:
        raise InputFileError(
            f"{path}: the list of devices is damaged ({error}); remove the file to begin anew"
        ) from error
    if stored.schema != SCHEMA:
        raise InputFileError(f"{path}: list of devices of schema {stored.schema}; this edgert reads schema {SCHEMA}")
    return {device.name: device for device in sorted(stored.devices, key=lambda device: device.name)}


def add_device(name: str, url: str) -> Device:
    """Stores a device by name and URL; see `store_device`."""
    device = Device(name, _as_url(url))
    store_device(device)
    return device


def store_device(device: Device) -> None:
    """Stores a device; one of the same name is replaced.

    Raises:
        UsageError: the name or the URL cannot be used.
        OutputError: the file cannot be written.
    """
    name, url = device.name, device.url
    if _NAME.fullmatch(name) is None or name == _LOCAL:
        raise UsageError(
            f"{name!r} is no name for a device; begin with a letter, go on with letters, digits, '.', '_', '-'"
        )
    if not _is_url(url) or not url.partition(":")[2].strip("/"):
        raise UsageError(f"no URL of a device: {url!r}; write one like COM3, {_examples()}")
    _store(load_devices() | {name: device})


def remove_device(name: str) -> None:
    """Forgets a device.

    Raises:
        UsageError: there is no device of that name.
    """
    known = load_devices()
    if known.pop(name, None) is None:
        raise UsageError(f"no device {name!r}{did_you_mean(name, known)}")
    _store(known)


def _as_url(word: str) -> str:
    if _PORT.fullmatch(word) is None:
        return word
    return f"serial://{word}" if word.startswith("/") else f"serial:{word}"


def _is_url(word: str) -> bool:
    return ":" in word and word.partition(":")[0] in {_SSH, *BOARD_SCHEMES}


def _examples() -> str:
    return ", ".join([SSH_EXAMPLE, *BOARD_SCHEMES.values()])


def _store(devices: dict[str, Device]) -> None:
    plain = to_plain(_File(SCHEMA, tuple(devices[name] for name in sorted(devices))))
    replace_atomically(_path(), json.dumps(plain, indent=1).encode() + b"\n")


def _path() -> Path:
    return settings_folder() / "devices.json"
