"""Makes the card of a self-test out of what the steps left, takes private words out of it, and writes it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import edgert
from edgert.bundle import replace_atomically
from edgert.codec import from_plain, to_plain
from edgert.commands.selftest_bench import Bench
from edgert.errors import DeviceError, OutputError
from edgert.profiler.card import KIND, SCHEMA, Card, CardStep, Outcome, write_card
from edgert.profiler.card_privacy import redacted
from edgert.profiler.report_card import build_card_page

__all__ = ["SelfTestResult", "check_writable", "make_card", "write_both"]

_GIT_S = 5.0
_NAMES_OF_A_DAY = 1000


@dataclass(frozen=True, slots=True)
class SelfTestResult:
    """The card, and where it was written."""

    card: Card
    path: Path
    page: Path


def make_card(bench: Bench, steps: Sequence[CardStep], created: str) -> Card:
    """Returns the card, without anything that says whose device it is.

    Raises:
        DeviceError: the device could not even be looked at.
    """
    if bench.facts is None or bench.surroundings is None:
        failed = next(step for step in steps if step.outcome is not Outcome.PASSED)
        raise DeviceError(f"no card, since the device could not be looked at: {failed.text}")
    card = Card(
        kind=KIND,
        schema=SCHEMA,
        created=created,
        target=bench.target.name,
        edgert=edgert.__version__,
        commit=_commit(),
        device=bench.facts,
        surroundings=bench.surroundings,
        python=bench.python,
        engines=bench.engines,
        steps=tuple(steps),
        records=tuple(bench.records),
    )
    return from_plain(Card, redacted(to_plain(card), bench.private))


def _commit() -> str | None:
    """The commit of a checkout, with `+` where files were changed; None elsewhere."""
    folder = Path(edgert.__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return None
    commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"])
    try:
        head, changes = (
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_GIT_S).stdout
            for command in commands
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.strip() + ("+" if changes.strip() else "")


def check_writable(output: Path) -> None:
    """Sees, before ten minutes are spent, that a card can be written.

    Raises:
        OutputError: it cannot.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            return
    except OSError as error:
        raise OutputError(f"{output}: no card can be written here ({error.strerror or error})") from error


def write_both(output: Path, card: Card) -> SelfTestResult:
    """Writes `card-<target>-<date>[-n].json` and the page beside it; no file is replaced.

    Raises:
        OutputError: they cannot be written.
    """
    stem = f"card-{card.target}-{card.created[:10]}"
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, _NAMES_OF_A_DAY))
    name = next(name for name in names if not (output / f"{name}.json").exists())
    path = write_card(output / f"{name}.json", card)
    page = replace_atomically(output / f"{name}.html", build_card_page(card).encode())
    return SelfTestResult(card, path, page)
