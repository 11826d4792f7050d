"""Where an app's model runs: in this process, or on a microcontroller at this computer (`--device`).

What runs the model is a session with an end. Lines to microcontrollers belong to edgert.devices, which boards do not
carry: it is looked up by name when a device is asked for, as engines are, and nothing here needs it otherwise.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

from edgert.errors import UsageError
from edgert.runtime.session import Session, load

__all__ = ["Opened", "Place"]

_NAMES, _BOARDS = "edgert.devices.names", "edgert.devices.board_session"
_RUN_S = 10.0


class Opened(Protocol):
    """A model that is ready to run."""

    @property
    def session(self) -> Session:
        """Runs it."""
        ...

    def close(self) -> None:
        """Frees it, and the line to it; safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class _Here:
    session: Session

    def close(self) -> None:
        self.session.close()


@dataclass(frozen=True, slots=True)
class Place:
    """A device by name or URL as `edgert run --device` takes it; None: this process, with so many threads."""

    device: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.device is not None and self.threads is not None:
            raise UsageError(f"{self.device} is a microcontroller; it has no --threads")

    def open(self, path: Path, variant: str | None) -> Opened:
        """Returns the model, ready to run. A real microcontroller must hold its firmware (`edgert devices flash`).

        Raises:
            BundleError, ModelError: there is nothing in the bundle that runs there.
            DeviceError: the device is not reached or runs another model; no engine here runs it (EngineError).
            UsageError: the device is none, or no microcontroller.
        """
        if self.device is None:
            return _Here(load(path, variant=variant, threads=self.threads))
        found = _laptop_module(_NAMES).find_device(self.device)
        if not found.is_board:
            raise UsageError(f"--device {self.device} is no microcontroller; bring the app there with edgert deploy")
        board = _laptop_module(_BOARDS).BoardSession(found, path, variant)
        board.executor.timeout_s = _RUN_S  # a board that hangs is found out sooner than by the default of 10 minutes
        opened: Opened = board
        return opened


def _laptop_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("edgert.devices"):
            raise
        raise UsageError(
            "--device needs the whole of edgert on this computer; here is the part for boards, which runs models itself"
        ) from error
