"""Instructions, RAM and flash of the zoo's networks on an emulated microcontroller, predicted against counted.

    python -m tests.bench.board_cost [--device qemu:mps2-an386] [--minutes 15] [--networks 80]
                                     [--table FOLDER] [--bundles FOLDER] [--json FILE]

Learns the device from random networks (what was counted before counts: EDGERT_COSTS), converts every model file of the
folder (default: the zoo's) that can be int8 C for it, float ones with ranges from noise, predicts each, then builds
its firmware and runs it in QEMU. No model of the folder is learned from. Columns: instructions counted and predicted,
error, interval of 90 %, whether it holds the count, error of RAM and of flash, layers that were guessed. `--bundles`
keeps conversions and counts. Never part of CI.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import edgert
from edgert.commands.console import format_table
from edgert.cost.board_cost import BoardCost
from edgert.cost.board_learn import learn_board, target_of
from edgert.cost.board_network import read_network
from edgert.devices.names import Device, find_device
from edgert.errors import EdgertError
from edgert.profiler.board import profile_board
from edgert.profiler.board_record import BoardRecord, parse_board_record, write_board_record
from edgert.profiler.on_device import time_now

ROOT = Path(__file__).resolve().parents[2]
ZOO = Path(os.environ.get("EDGERT_ZOO", ROOT.parent / "shared" / "zoo"))
LEVEL = 0.9
LARGEST_BYTES = 4 << 20


@dataclass(frozen=True)
class Row:
    """One model: what was counted, what was predicted."""

    model: str
    instructions: int
    predicted: float
    low: float
    high: float
    ram_bytes: int
    predicted_ram: float
    flash_bytes: int
    predicted_flash: float
    guessed: int

    @property
    def error(self) -> float:
        return self.predicted / self.instructions - 1

    @property
    def ram_error(self) -> float:
        return self.predicted_ram / self.ram_bytes - 1

    @property
    def flash_error(self) -> float:
        return self.predicted_flash / self.flash_bytes - 1

    @property
    def is_held(self) -> bool:
        return self.low <= self.instructions <= self.high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="qemu:mps2-an386")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--networks", type=int, default=80)
    parser.add_argument("--table", type=Path, default=ZOO / "models", metavar="FOLDER")
    parser.add_argument("--bundles", type=Path, metavar="FOLDER")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    device = find_device(arguments.device)
    target = target_of(device).name
    learned = learn_board(device, networks=arguments.networks, minutes=arguments.minutes)
    for note in learned.notes:
        print(note)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.bundles or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for model in sorted(arguments.table.iterdir()):
            record = count(model, folder, device, target)
            if record is not None:
                rows.append(row_of(learned.cost, bundle_of(model, folder), target, record))
    show(rows, learned.cost)
    if arguments.json:
        plain = {"platform": asdict(learned.cost.platform), "networks": learned.cost.networks}
        arguments.json.write_text(json.dumps({**plain, "rows": [asdict(row) for row in rows]}, indent=1))


def bundle_of(model: Path, folder: Path) -> Path:
    return folder / f"{model.name.replace('.', '_')}.edge"


def count(model: Path, folder: Path, device: Device, target: str) -> BoardRecord | None:
    """What the model takes in the emulator; None, with the reason printed, where it cannot run there."""
    bundle = bundle_of(model, folder)
    kept = bundle.with_suffix(".json")
    if model.suffix not in {".onnx", ".tflite"} or model.stat().st_size > LARGEST_BYTES:
        return None
    if kept.exists():
        return parse_board_record(kept.read_bytes())
    try:
        if not bundle.exists():
            convert(model, bundle, target)
        record = profile_board(device, bundle, {}, created=time_now(), duration_s=0.0)
    except EdgertError as error:
        print(f"{model.name}: left out: {error}")
        return None
    write_board_record(kept, record)
    return record


def convert(model: Path, bundle: Path, target: str) -> None:
    random = np.random.default_rng(0)
    noise: dict[str, Any] = {}  # Any: arrays of any dtype
    for spec in edgert.inspect(model).inputs:
        shape = (4, *(size or 1 for size in spec.shape[1:]))
        is_float = spec.dtype.value == "float"
        values = random.standard_normal(shape) if is_float else random.integers(0, 100, shape)
        noise[spec.name] = values.astype(np.float32 if is_float else spec.dtype.value)
    calib = bundle.with_suffix(".npz")
    np.savez(calib, **noise)
    quick = {"algorithms": ("none",), "ranges": "min-max", "formats": ("c",)}
    edgert.convert(model, targets=[target], calib=str(calib), output=bundle, **quick)


def row_of(cost: BoardCost, bundle: Path, target: str, record: BoardRecord) -> Row:
    found = cost.predict(read_network(bundle, target), LEVEL)
    value, low, high = (
        float(array[0]) for array in (found.instructions.value, found.instructions.low, found.instructions.high)
    )
    return Row(
        bundle.stem,
        record.count,
        value,
        low,
        high,
        record.ram_bytes.total,
        float(found.ram_bytes.value[0]),
        record.flash_bytes.code + record.flash_bytes.weights,
        float(found.flash_bytes.value[0]),
        len(found.estimate.guessed),
    )


def show(rows: Sequence[Row], cost: BoardCost) -> None:
    cells = [
        [
            row.model, f"{row.instructions:,}", f"{row.predicted:,.0f}", f"{100 * row.error:+.1f} %",
            f"{row.low:,.0f} to {row.high:,.0f}", "" if row.is_held else "no", f"{100 * row.ram_error:+.2f} %",
            f"{100 * row.flash_error:+.2f} %", str(row.guessed),
        ]
        for row in rows
    ]  # fmt: skip
    print(format_table(["model", "counted", "predicted", "error", "90 %", "held", "RAM", "flash", "guessed"], cells))
    held = sum(row.is_held for row in rows) / len(rows)
    width = statistics.median((row.high - row.low) / row.predicted for row in rows)
    print(
        f"{cost.networks} random networks; {len(rows)} models: median error {median(rows, lambda row: row.error)}, ",
        end="",
    )
    print(f"{100 * held:.0f} % held, median width {100 * width:.0f} %; ", end="")
    print(f"RAM {median(rows, lambda row: row.ram_error)}, flash {median(rows, lambda row: row.flash_error)}")


def median(rows: Sequence[Row], error: Callable[[Row], float]) -> str:
    return f"{100 * statistics.median(abs(error(row)) for row in rows):.2f} %"


if __name__ == "__main__":
    main()
