"""The card of `edgert selftest`: what was tried on one device, what came of it, and whether it was real hardware.

Written and read as JSON with a schema number; `verified_targets` is the only way by which a target becomes verified.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from pathlib import Path

from edgert.bundle import replace_atomically
from edgert.codec import CodecError, JsonValue, from_plain, parse_json, to_plain
from edgert.errors import InputFileError
from edgert.profiler.record import SCHEMA as RECORD_SCHEMA
from edgert.profiler.record import DeviceFacts, Record
from edgert.profiler.record_upgrade import upgrade

__all__ = [
    "KIND",
    "NEEDED_STEPS",
    "SCHEMA",
    "Card",
    "CardStep",
    "Machine",
    "Outcome",
    "Surroundings",
    "load_card",
    "parse_card",
    "verified_targets",
    "write_card",
]

SCHEMA = 1
KIND = "edgert selftest card"
NEEDED_STEPS = (
    "set-up",
    "parity",
    "worker killed",
    "damaged bundle",
    "model that does not load",
    "latency",
    "nothing left behind",
)
"""Steps that a card must hold, passed, to count."""
OPTIONAL_STEPS = frozenset({"energy", "deploy"})
"""Steps that may be skipped: many boards have no sensor."""
_MAX_BYTES = 64 << 20


class Outcome(enum.Enum):
    """What came of a step; SKIPPED says nothing about the device."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Machine(enum.Enum):
    """What it ran on, by what was seen there."""

    HARDWARE = "hardware"
    VIRTUAL = "virtual"
    EMULATED = "emulated"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Signs of an emulator or a virtual machine: what was `seen`, and what was `looked_at`.

    No sign is no proof: whoever wants to can hide all of them, so a card names what it saw.
    """

    machine: Machine
    seen: tuple[str, ...]
    looked_at: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CardStep:
    """One step: its outcome, how long it took, figures by name, and a sentence."""

    name: str
    outcome: Outcome
    seconds: float
    text: str
    figures: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Card:
    """One run of `edgert selftest`. `created` is the laptop's time; `commit` is None where edgert is no checkout."""

    kind: str
    schema: int
    created: str
    target: str
    edgert: str
    commit: str | None
    device: DeviceFacts
    surroundings: Surroundings
    python: str
    engines: dict[str, str]
    steps: tuple[CardStep, ...]
    records: tuple[Record, ...] = ()

    @property
    def failed(self) -> tuple[CardStep, ...]:
        """The steps that failed."""
        return tuple(step for step in self.steps if step.outcome is Outcome.FAILED)

    @property
    def is_passed(self) -> bool:
        """True where every step passed that must, and none was left out but energy and deploy."""
        passed = {step.name for step in self.steps if step.outcome is Outcome.PASSED}
        others = {step.name for step in self.steps if step.name not in OPTIONAL_STEPS}
        return not self.failed and others <= passed and passed.issuperset(NEEDED_STEPS)

    @property
    def verifies(self) -> bool:
        """True where this card makes its target verified: passed, and on hardware."""
        return self.is_passed and self.surroundings.machine is Machine.HARDWARE


def parse_card(text: str | bytes, where: str = "card") -> Card:
    """Returns the card of a JSON text.

    Raises:
        InputFileError: not JSON, no card, of another schema, or a field is missing or wrong.
    """
    plain = _plain(text, where)
    if plain.get("schema") != SCHEMA:
        raise InputFileError(f"{where}: card of schema {plain.get('schema')!r}; this edgert reads schema {SCHEMA}")
    try:
        records = [upgrade(record, RECORD_SCHEMA, where) for record in plain.get("records", [])]
        return from_plain(Card, plain | {"records": records})
    except (CodecError, TypeError) as error:
        raise InputFileError(f"{where}: not a complete card: {error}") from error


def load_card(path: Path) -> Card:
    """Returns the card of a file; see `parse_card`."""
    return parse_card(_read(path), str(path))


def write_card(path: Path, card: Card) -> Path:
    """Writes a card as JSON.

    Raises:
        OutputError: the file cannot be written; nothing is left behind.
    """
    return replace_atomically(path, json.dumps(to_plain(card), indent=1, allow_nan=False).encode() + b"\n")


def verified_targets(folder: Path) -> dict[str, str]:
    """Returns target -> its newest card that verifies it, as `<target>/<file>`, of a folder like profiles/.

    A card in the folder of another target, of a schema that is not known, failed, emulated or virtual does not count.

    Raises:
        InputFileError: a file called card-*.json is no card, or damaged.
    """
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(folder.glob("*/card-*.json")):
        plain = _plain(_read(path), str(path))
        if plain.get("schema") != SCHEMA:
            continue
        card = parse_card(json.dumps(plain), str(path))
        if card.verifies and card.target == path.parent.name:
            newest = (card.created, path.relative_to(folder).as_posix())
            found[card.target] = max(newest, found.get(card.target, newest))
    return {target: place for target, (_, place) in found.items()}


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputFileError(f"{path}: larger than {_MAX_BYTES} bytes; not a card")
        return path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror or error})") from error


def _plain(text: str | bytes, where: str) -> dict[str, JsonValue]:
    try:
        plain = parse_json(text)
    except ValueError as error:
        raise InputFileError(f"{where}: not a card: not valid JSON ({error})") from error
    if not isinstance(plain, dict) or plain.get("kind") != KIND:
        raise InputFileError(f"{where}: not a card of edgert selftest")
    return plain
