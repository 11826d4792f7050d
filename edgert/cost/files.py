"""Where cost models lie: one file for each device, engine and number of threads, beside what it was learned from."""

from __future__ import annotations

import os
import re
from pathlib import Path

from edgert.cost.detect import ENGINE
from edgert.cost.device_cost import DeviceCost, load_cost
from edgert.cost.whole_cost import WholeCost, load_whole_cost
from edgert.errors import OutputError, UsageError

__all__ = [
    "cost_path",
    "costs_folder",
    "find_cost",
    "find_whole_cost",
    "lessons_folder",
    "make_folder",
    "networks_folder",
]

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def costs_folder() -> Path:
    """Returns `$EDGERT_COSTS`, else edgert/costs in `$XDG_DATA_HOME` or `~/.local/share`; it need not exist."""
    own = os.environ.get("EDGERT_COSTS")
    if own:
        return Path(own)
    base = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path(os.path.expanduser("~")) / ".local" / "share") / "edgert" / "costs"


def cost_path(device: str | None, threads: int | None, engine: str = ENGINE) -> Path:
    """Returns the file of a device; `threads` None: the engine's default."""
    return costs_folder() / f"{_stem(device, threads, engine)}.json"


def lessons_folder(device: str | None, threads: int | None, engine: str = ENGINE) -> Path:
    """Returns the folder of the records that a cost model is learned from."""
    return cost_path(device, threads, engine).with_suffix("")


def networks_folder() -> Path:
    """Returns the folder of the random networks that all devices are learned from."""
    return costs_folder() / "networks"


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror or error})") from error


def find_cost(device: str | None, threads: int | None) -> DeviceCost:
    """Reads the cost model of a device for ONNX Runtime.

    Raises:
        UsageError: there is none; says how to get it.
        InputFileError: it is damaged.
    """
    return load_cost(_existing(device, threads, ENGINE))


def find_whole_cost(device: str | None, threads: int | None, engine: str) -> WholeCost:
    """Reads the cost model of a device for an engine that tells nothing of its kernels.

    Raises:
        UsageError: there is none; says how to get it.
        InputFileError: it is damaged.
    """
    return load_whole_cost(_existing(device, threads, engine))


def _existing(device: str | None, threads: int | None, engine: str) -> Path:
    path = cost_path(device, threads, engine)
    if path.exists():
        return path
    flags = f" --device {device}" if device else ""
    flags += f" --engine {engine}" if engine != ENGINE else ""
    flags += f" --threads {threads}" if threads else ""
    known = sorted(found.stem for found in path.parent.glob("*.json"))
    others = f"; there are models of {', '.join(known)}" if known else ""
    raise UsageError(
        f"nothing was learned of {_name(device)} with {threads or 'the default of'} threads: "
        f"edgert predict --learn{flags} (15 minutes){others}"
    )


def _stem(device: str | None, threads: int | None, engine: str) -> str:
    return f"{_name(device)}-{threads or 'default'}" + (f"-{engine}" if engine != ENGINE else "")


def _name(device: str | None) -> str:
    return _UNSAFE.sub("-", device or "local").strip("-")
