"""Devices and groups of them by name: what `edgert devices` stores, and what a word after --device means."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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
    "find_devices",
    "load_devices",
    "load_groups",
    "remove_device",
    "store_device",
    "store_group",
]

SCHEMA = 2
_SCHEMA_WITHOUT_GROUPS = 1
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
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)


def find_device(word: str | None) -> Device:
    """Returns the device of a name or URL; None, ``local`` and ``local:`` are this computer.

    Raises:
        UsageError: there is no such name, it is that of a group, and it is no URL.
        InputFileError: the file of names is damaged.
    """
    if word in {None, _LOCAL, f"{_LOCAL}:"}:
        return Device(_LOCAL, f"{_LOCAL}:")
    assert word is not None
    word = _as_url(word)
    if _is_url(word):
        return Device(word, word)
    stored = _load()
    known = {device.name: device for device in stored.devices}
    if word in known:
        return known[word]
    if word in stored.groups:
        raise UsageError(f"{word!r} is a group ({', '.join(stored.groups[word])}); one device is needed here")
    hint = did_you_mean(word, [*known, *stored.groups]) if known else ""
    raise UsageError(
        f"no device {word!r}{hint}; devices reachable from here: local:, {_examples()} "
        "and the names of edgert devices list"
    )


def find_devices(words: str | None, *, allows_microcontrollers: bool = True) -> tuple[Device, ...]:
    """Returns the devices of names, URLs and groups with commas between them, each once, in the order given.

    Two names of one URL are one device, under the name that comes first.

    Raises:
        UsageError: one of them is unknown, none is named, or it is a microcontroller where none is allowed.
        InputFileError: the file of names is damaged.
    """
    groups = load_groups()
    named = [None] if words is None else [word.strip() for word in words.split(",")]
    if "" in named:
        raise UsageError(f"{words!r} names no device in one place; write names or groups with commas between them")
    single = [member for word in named for member in groups.get(word or "", (word,))]
    found: dict[str, Device] = {}
    for device in map(find_device, single):
        found.setdefault(device.url, device)
    wrong = [device.name for device in found.values() if device.is_board]
    if wrong and not allows_microcontrollers:
        raise UsageError(f"microcontrollers are not possible here: {', '.join(wrong)}")
    return tuple(found.values())


def load_devices() -> dict[str, Device]:
    """Returns the stored devices by name, sorted.

    Raises:
        InputFileError: the file is damaged.
    """
    return {device.name: device for device in _load().devices}


def load_groups() -> dict[str, tuple[str, ...]]:
    """Returns the names of the devices in each group, by its name, sorted.

    Raises:
        InputFileError: the file is damaged.
    """
    return dict(sorted(_load().groups.items()))


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
    _check_name(name, "device")
    if not _is_url(url) or not url.partition(":")[2].strip("/"):
        raise UsageError(f"no URL of a device: {url!r}; write one like COM3, {_examples()}")
    stored = _load()
    if name in stored.groups:
        raise UsageError(f"{name!r} is the name of a group; take another, or edgert devices remove {name}")
    _store([*(other for other in stored.devices if other.name != name), device], stored.groups)


def store_group(name: str, words: str) -> tuple[str, ...]:
    """Stores a group of stored devices; one of the same name is replaced. Returns its devices.

    Args:
        name: the group's.
        words: names of devices, or of groups whose devices are meant, with commas between them.

    Raises:
        UsageError: the name cannot be used, is a device's, or a device is not stored.
        OutputError: the file cannot be written.
    """
    _check_name(name, "group")
    stored = _load()
    known = {device.name for device in stored.devices}
    if name in known:
        raise UsageError(f"{name!r} is the name of a device; take another for the group")
    members: list[str] = []
    for word in words.split(","):
        members += stored.groups.get(word.strip(), (word.strip(),))
    unknown = next((member for member in members if member not in known), None)
    if unknown is not None:
        hint = did_you_mean(unknown, [*known, *stored.groups])
        raise UsageError(f"no device {unknown!r}{hint}; a group holds devices of edgert devices list")
    group = tuple(dict.fromkeys(members))
    _store(stored.devices, stored.groups | {name: group})
    return group


def remove_device(name: str) -> None:
    """Forgets a device, in its groups too, or a group; a group without devices goes with its last one.

    Raises:
        UsageError: there is neither of that name.
    """
    stored = _load()
    names = {device.name for device in stored.devices}
    if name not in names and name not in stored.groups:
        raise UsageError(f"no device {name!r}{did_you_mean(name, [*names, *stored.groups])}")
    kept = {group: tuple(member for member in members if member != name) for group, members in stored.groups.items()}
    groups = {group: members for group, members in kept.items() if members and group != name}
    _store([device for device in stored.devices if device.name != name], groups)


def _check_name(name: str, kind: str) -> None:
    if _NAME.fullmatch(name) is None or name == _LOCAL:
        raise UsageError(
            f"{name!r} is no name for a {kind}; begin with a letter, go on with letters, digits, '.', '_', '-'"
        )


def _as_url(word: str) -> str:
    if _PORT.fullmatch(word) is None:
        return word
    return f"serial://{word}" if word.startswith("/") else f"serial:{word}"


def _is_url(word: str) -> bool:
    return ":" in word and word.partition(":")[0] in {_SSH, *BOARD_SCHEMES}


def _examples() -> str:
    return ", ".join([SSH_EXAMPLE, *BOARD_SCHEMES.values()])


def _load() -> _File:
    path = _path()
    try:
        stored = from_plain(_File, parse_json(path.read_bytes()))
    except FileNotFoundError:
        return _File(SCHEMA)
    except (CodecError, ValueError, OSError) as error:
        raise InputFileError(
            f"{path}: the list of devices is damaged ({error}); remove the file to begin anew"
        ) from error
    if stored.schema not in {_SCHEMA_WITHOUT_GROUPS, SCHEMA}:
        raise InputFileError(
            f"{path}: list of devices of schema {stored.schema}; this edgert reads schema {SCHEMA} and older"
        )
    return replace(stored, devices=tuple(sorted(stored.devices, key=lambda device: device.name)))


def _store(devices: Iterable[Device], groups: Mapping[str, tuple[str, ...]]) -> None:
    by_name = tuple(sorted(devices, key=lambda device: device.name))
    plain = to_plain(_File(SCHEMA, by_name, dict(sorted(groups.items()))))
    replace_atomically(_path(), json.dumps(plain, indent=1).encode() + b"\n")


def _path() -> Path:
    return settings_folder() / "devices.json"
