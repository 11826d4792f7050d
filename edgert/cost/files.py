"""Where cost models lie: one file for each device, engine and number of threads, beside what it was learned from."""

from __future__ import annotations

import os
import re
from pathlib import Path

from edgert.cost.device_cost import DeviceCost, load_cost
from edgert.errors import UsageError

__all__ = ["cost_path", "costs_folder", "find_cost", "lessons_folder"]

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def costs_folder() -> Path:
    """Returns `$EDGERT_COSTS`, else edgert/costs in `$XDG_DATA_HOME` or `~/.local/share`; it need not exist."""
    own = os.environ.get("EDGERT_COSTS")
    if own:
        return Path(own)
    base = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path(os.path.expanduser("~")) / ".local" / "share") / "edgert" / "costs"


def cost_path(device: str | None, threads: int | None) -> Path:
    """Returns the file of a device; `threads` None: the engine's default."""
    return costs_folder() / f"{_name(device)}-{threads or 'default'}.json"


def lessons_folder(device: str | None, threads: int | None) -> Path:
    """Returns the folder of the networks and records that a cost model is learned from."""
    return cost_path(device, threads).with_suffix("")


def find_cost(device: str | None, threads: int | None) -> DeviceCost:
    """Reads the cost model of a device.

    Raises:
        UsageError: there is none; says how to get it.
        InputFileError: it is damaged.
    """
    path = cost_path(device, threads)
    if path.exists():
        return load_cost(path)
    flags = f" --device {device}" if device else ""
    known = sorted(found.stem for found in path.parent.glob("*.json"))
    others = f"; there are models of {', '.join(known)}" if known else ""
    count = f" --threads {threads}" if threads else ""
    raise UsageError(
        f"nothing was learned of {_name(device)} with {threads or 'the default of'} threads: "
        f"edgert predict --learn{flags}{count} (15 minutes){others}"
    )


def _name(device: str | None) -> str:
    return _UNSAFE.sub("-", device or "local").strip("-")
