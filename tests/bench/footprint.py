"""What `edgert devices setup` puts on a board, and what a worker then costs.

    python -m tests.bench.footprint [--write docs/devices.md] [--rounds 7]

Sizes are those of the arm64 wheels of PyPI for Python 3.11, unpacked as on a board, in MB (10^6 bytes). Cold start and
resident memory are measured on this computer: from starting the worker to its first answer with the model loaded and
run once, medians over fresh processes. Never part of CI.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgert.devices.board_part import board_part
from edgert.devices.client import WorkerClient
from edgert.devices.local import LocalTransport
from edgert.devices.packages import LEAVE_OUT, System, download_wheels, package_of
from edgert.onboard.environments import make_environment
from edgert.onboard.folder import BoardFolder
from edgert.runtime.cpu import dot_product

ROOT = Path(__file__).parents[2]
ZOO = Path(os.environ.get("EDGERT_ZOO", ROOT.parent / "shared" / "zoo")) / "models"
MODELS = {"onnxruntime": "proxyless_w025_r112_imagenet.onnx", "litert": "mlperf_tiny_kws_dscnn_int8.tflite"}
BOARD = System((3, 11), "aarch64", (2, 36))
BEGIN, END = "<!-- footprint: begin -->", "<!-- footprint: end -->"


@dataclass(frozen=True)
class Row:
    """One engine; MB."""

    engine: str
    wheels: str
    carried: float
    installed: float
    whole: float
    cold_start_s: float
    rss: float


def tree_mb(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def unpacked_mb(wheels: tuple[Path, ...], leave_out: tuple[str, ...]) -> float:
    with tempfile.TemporaryDirectory() as place:
        folder = BoardFolder(Path(place))
        made = make_environment(folder, "0" * 16, list(wheels), list(leave_out), system_site_packages=False)
        return tree_mb(made.folder)


def code_mb() -> tuple[float, float]:
    """What travels, and what lies on the board afterwards."""
    with tempfile.TemporaryDirectory() as place:
        archive = Path(place) / "part.zip"
        archive.write_bytes(board_part().data)
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(Path(place) / "code")
        return len(board_part().packed) / 1e6, tree_mb(Path(place) / "code")


def measure_start(engine: str, rounds: int) -> tuple[float, float]:
    """Medians of seconds to the first result, and of resident MB after it."""
    seconds, megabytes = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        with WorkerClient(LocalTransport()) as worker:
            loaded = worker.load(ZOO / MODELS[engine], engine=engine, threads=1, tuned=False)
            port = loaded["inputs"][0]
            shape = [size or 1 for size in port["shape"]]
            worker.run({port["name"]: np.zeros(shape, np.float32)})
            seconds.append(time.perf_counter() - start)
            megabytes.append(rss_mb(worker))
    return statistics.median(seconds), statistics.median(megabytes)


def rss_mb(worker: WorkerClient) -> float:
    pid = worker._channel._child.pid  # noqa: SLF001  # a bench looks where no program does
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) * 1024 / 1e6 if found else float("nan")


def measure(engine: str, rounds: int) -> Row:
    package = package_of(engine)
    wheels = download_wheels([package.numpy, package.requirement], BOARD)
    names = ", ".join("-".join(wheel.name.split("-")[:2]) for wheel in wheels)
    start_s, rss = measure_start(engine, rounds)
    carried = sum(wheel.stat().st_size for wheel in wheels) / 1e6
    return Row(engine, names, carried, unpacked_mb(wheels, LEAVE_OUT), unpacked_mb(wheels, ()), start_s, rss)


def table(rows: list[Row]) -> str:
    sent, kept = code_mb()
    here = f"{platform.machine()} ({dot_product().value}), Python {platform.python_version()}"
    lines = [
        "| engine | wheels | carried over, MB | on the board, MB | whole wheels, MB | cold start, s | RSS, MB "
        "| measured on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        numbers = f"{row.carried:.1f} | {row.installed:.1f} | {row.whole:.1f} | {row.cold_start_s:.2f} | {row.rss:.0f}"
        lines.append(f"| {row.engine} | {row.wheels} | {numbers} | this x86 |")
    lines.append(f"| edgert's own board part | | {sent:.2f} | {kept:.2f} | | | | this x86 |")
    return "\n".join([*lines, "", f"Sizes are those of the arm64 wheels for Python 3.11; start and RSS: {here}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    text = table([measure(engine, arguments.rounds) for engine in MODELS])
    print(text)
    if arguments.write is not None:
        page = arguments.write.read_text()
        head, rest = page.split(BEGIN)
        arguments.write.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
