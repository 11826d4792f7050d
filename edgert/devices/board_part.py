"""The part of edgert that runs on a Linux board, as one zip with the same bytes wherever it is made."""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import edgert

__all__ = ["BoardPart", "board_part", "bootstrap_text"]

_LAPTOP_ONLY = (
    "__main__.py",
    "cli.py",
    "commands/",
    "cost/",
    "demo/",
    "deploy/",
    "devices/",
    "folder.py",
    "onboard/bootstrap.py",
    "profiler/agreement.py",
    "profiler/board",
    "profiler/card_privacy.py",
    "profiler/compare.py",
    "profiler/crew.py",
    "profiler/energy/clock.py",
    "profiler/energy/duty.py",
    "profiler/energy/gated.py",
    "profiler/energy/joulescope.py",
    "profiler/energy/laptop.py",
    "profiler/energy/meters.py",
    "profiler/energy/ppk2.py",
    "profiler/energy/scpi.py",
    "profiler/energy/serial_meter.py",
    "profiler/energy/stream_sensor.py",
    "profiler/energy/um25c.py",
    "profiler/on_device.py",
    "profiler/race.py",
    "profiler/race_table.py",
    "profiler/record_files.py",
    "profiler/record_table.py",
    "profiler/report",
    "profiler/sweep.py",
    "profiler/tuning.py",
    "recipe",
    "search/",
    "signing.py",
    "target.py",
    "units.py",
)
"""What a board never loads, below the package: tests/layering/test_board_part.py follows the imports of all workers."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class BoardPart:
    """A zip, its SHA-256 in hex, and the zip as it travels: compressed by zlib as a whole."""

    data: bytes
    sha256: str
    packed: bytes


@functools.cache
def board_part() -> BoardPart:
    """Returns the board part of this edgert; the zip stores, since versions of zlib differ in what they write."""
    package = Path(edgert.__file__).resolve().parent
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(package.rglob("*.py")):
            name = path.relative_to(package).as_posix()
            if not name.startswith(_LAPTOP_ONLY):
                archive.writestr(zipfile.ZipInfo(f"edgert/{name}", _EPOCH), path.read_bytes())
    data = buffer.getvalue()
    return BoardPart(data, hashlib.sha256(data).hexdigest(), zlib.compress(data, 9))


def bootstrap_text() -> str:
    """Returns the Python text that brings the board part to a board and starts it."""
    return (Path(edgert.__file__).resolve().parent / "onboard" / "bootstrap.py").read_text(encoding="utf-8")
