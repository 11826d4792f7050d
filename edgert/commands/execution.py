"""Flags shared by the verbs that execute a model, and the way they execute it: in a worker, never in this process."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgert.codec import JsonValue
from edgert.commands.console import Console
from edgert.devices import WorkerClient
from edgert.devices.names import find_device
from edgert.devices.workers import open_worker
from edgert.errors import UsageError

if TYPE_CHECKING:
    from edgert.devices.board_session import BoardWorker

__all__ = [
    "add_execution_arguments",
    "note_tuned",
    "open_runner",
    "parse_engine_options",
]


def add_execution_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --variant, --device, --threads, --engine, --engine-option and --untuned.

    Whoever names none of variant, engine and options gets what `edgert run --tune` stored, unless --untuned.
    """
    parser.add_argument(
        "--variant", metavar="ID", help="variant of the bundle (default: tuned, or the bundle's choice)"
    )
    parser.add_argument(
        "--device", metavar="NAME|URL", help="where to execute: a name of edgert devices, or a URL (default: local:)"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads of the engine (default: tuned, or its choice)"
    )
    parser.add_argument("--engine", metavar="NAME", help="engine (default: tuned, or the first that runs the variant)")
    parser.add_argument(
        "--engine-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="engine_options",
        help="option of the engine by its own name; may be given several times",
    )
    parser.add_argument("--untuned", action="store_true", help="leave out, this once, what edgert run --tune stored")


def parse_engine_options(pairs: Sequence[str]) -> dict[str, str]:
    """Returns KEY=VALUE words as a dict.

    Raises:
        UsageError: a word has no ``=``.
    """
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--engine-option {pair!r} has no '='; write KEY=VALUE")
        options[key] = value
    return options


def note_tuned(facts: Mapping[str, JsonValue], console: Console) -> None:
    """Says on stderr that a tuned choice was used, or why a stored one was not."""
    tuned = facts.get("tuned")
    if tuned:
        console.note(f"edgert: {tuned['text']}")


@contextmanager
def open_runner(device: str | None) -> Iterator[WorkerClient | BoardWorker]:
    """Gives a worker, or a microcontroller that answers the same calls."""
    found = find_device(device)
    if not found.is_board:
        with open_worker(device) as worker:
            yield worker
        return
    from edgert.devices.board_session import BoardWorker

    with BoardWorker(found) as board:
        yield board
