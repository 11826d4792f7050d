"""Throttling and a busy neighbour raised in the middle of a profile on an emulated board."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests import bundle_example
from tests.emulation.board import EmulatedBoard
from tests.emulation.laptop import Laptop
from tests.emulation.session import add, await_that, edgert, start

pytestmark = pytest.mark.emulation

SETUP_LIMIT_S = 240.0
OF_THE_EMULATOR = {"not-warm", "unstable-latency", "too-few-samples"}
"""Codes that an emulated board may give on any computer that has other work."""


@pytest.fixture(scope="module")
def board(laptop_key: Path) -> Iterator[EmulatedBoard]:
    with EmulatedBoard("pi4", authorized_key=laptop_key.with_suffix(".pub").read_text()) as made:
        made.controls.set_governor("performance")
        yield made


@pytest.fixture(scope="module")
def ready(board: EmulatedBoard, laptop_key: Path, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """A laptop that knows the board and has set it up."""
    laptop = Laptop(tmp_path_factory.mktemp("home"), laptop_key)
    add(laptop, board)
    done = start(laptop, "devices", "setup", "pi", "--offline", "--engine", "onnxruntime").end(SETUP_LIMIT_S)
    assert done.status == 0, done.err
    return laptop


def has_loaded(board: EmulatedBoard) -> bool:
    """Whether the worker has mapped the engine: the state before the run has been taken then."""
    for process in board.processes():
        with suppress(OSError):
            if "onnxruntime_pybind11" in Path(f"/proc/{process.host_pid}/maps").read_text():
                return True
    return False


def words(bundle: Path, *more: str) -> list[object]:
    fast = ("--device", "pi", "--variant", "onnx-fp32", "--threads", "1", "--no-layers", "--energy", "none")
    return ["profile", bundle, *fast, "--duration", "6s", "--json", *more]


def codes(record: Any) -> set[str]:  # Any: JSON
    return {reason["code"] for reason in record["reasons"]} - OF_THE_EMULATOR


def test_a_quiet_board_gives_none_of_the_codes(board: EmulatedBoard, ready: Laptop, tmp_path: Path) -> None:
    done = edgert(ready, *words(bundle_example.write(tmp_path)))
    assert done.status == 0, done.err
    assert codes(done.json) == set()
    device = done.json["device"]
    assert (device["soc"], device["core"], device["target"]) == ("Broadcom BCM2711", "Cortex-A72", "raspberry-pi-4")


def test_throttling_and_a_neighbour_raised_during_a_run(board: EmulatedBoard, ready: Laptop, tmp_path: Path) -> None:
    running = start(ready, *words(bundle_example.write(tmp_path), "--require-valid"))
    await_that(lambda: has_loaded(board), "the worker never loaded the engine", 60.0)
    with board.busy_neighbour():
        board.controls.set_throttled(0x50005)
        done = running.end()
    board.controls.set_throttled(0)
    assert done.status == 1
    record = done.json
    assert codes(record) == {"throttled", "throttle-occurred", "competing-load"}
    assert int(record["environment"]["before"]["throttle_flags"], 16) == 0
    assert int(record["environment"]["after"]["throttle_flags"], 16) == 0x50005
    assert "edgert: degraded: throttled: the firmware reported under-voltage, throttled" in done.err
