"""The harness itself: boards are what they say, each fault does what it says, and nothing is left behind."""

from __future__ import annotations

import pytest

from tests.emulation.conftest import MakeBoard
from tests.emulation.laptop import Laptop

pytestmark = pytest.mark.emulation


def test_a_login_sees_the_board(shared_board: MakeBoard, laptop: Laptop) -> None:
    board = shared_board("pi4")
    laptop.trust(board)
    seen = laptop.ssh(board, "uname -mr; tr -d '\\0' </proc/device-tree/model; echo; vcgencmd get_throttled; whoami")
    assert seen.stdout.splitlines() == [
        "6.6.31+rpt-rpi-v8 aarch64",
        "Raspberry Pi 4 Model B Rev 1.4",
        "throttled=0x0",
        "pi",
    ], seen.stderr
