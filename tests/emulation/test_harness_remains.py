"""The harness itself: nothing of a board is left here, however its owner ends; what is missing is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulation.capability import why_not
from tests.emulation.conftest import MakeBoard
from tests.emulation.kinds import KINDS
from tests.emulation.remains import RUN, cgroup_folders, claim_number, namespace, sweep
from tests.emulation.rootfs import BuildError, Suite, cached_rootfs
from tests.emulation.waiting import wait_for

pytestmark = pytest.mark.emulation

_REPOSITORY = Path(__file__).resolve().parents[2]
_OWNER = """
import sys, time
from pathlib import Path
from tests.emulation.board import EmulatedBoard
from tests.emulation.remains import start_warden
if sys.argv[2] == "warden":
    start_warden()
board = EmulatedBoard("pi4", authorized_key=Path(sys.argv[1]).read_text())
board.link.delay(1)
print(board.address, flush=True)
time.sleep(600)
"""


def start_owner(key: Path, *, warden: bool) -> tuple[subprocess.Popen[str], int]:
    """Starts a process that raises a board; returns it and the board's number."""
    words = [sys.executable, "-c", _OWNER, str(key.with_suffix(".pub")), "warden" if warden else "alone"]
    owner = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=_REPOSITORY)
    assert owner.stdout is not None
    last = owner.stdout.readline().strip().split(".")
    return owner, (int(last[2]) * 256 + int(last[3])) // 4


def left_of(number: int) -> list[str]:
    """What the board still has on this machine."""
    places = [RUN / str(number), Path("/run/netns", namespace(number)), Path(f"/sys/class/net/edgert{number}")]
    left = [str(place) for place in [*places, *cgroup_folders(number)] if place.exists()]
    return left + [line for line in Path("/proc/mounts").read_text().splitlines() if f"{RUN}/{number}/" in line]


@pytest.mark.parametrize("warden", [True, False])
def test_a_killed_owner_leaves_nothing(laptop_key: Path, warden: bool) -> None:
    owner, number = start_owner(laptop_key, warden=warden)
    assert len(left_of(number)) >= 5
    owner.kill()
    owner.communicate()
    if not warden:
        assert number in sweep()
    wait_for(lambda: not left_of(number), f"not all of board {number} went")


def test_a_closed_board_leaves_nothing(make_board: MakeBoard) -> None:
    board = make_board("pi5", disk_mib=32)
    number = (int(board.address.split(".")[2]) * 256 + int(board.address.split(".")[3])) // 4
    assert len(left_of(number)) >= 5
    board.close()
    assert left_of(number) == []
    board.close()


def test_a_board_that_does_not_start_says_why_and_leaves_nothing(
    make_board: MakeBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed: list[int] = []

    def claim() -> int:
        claimed.append(claim_number())
        return claimed[-1]

    monkeypatch.setattr("tests.emulation.board.claim_number", claim)
    monkeypatch.setattr("tests.emulation.board.cached_rootfs", lambda suite: Path("/no/such/tree"))
    with pytest.raises(AssertionError, match="the board has ended; its log:\n(.|\n)*mount overlay"):
        make_board("pi4")
    assert left_of(claimed[0]) == []


def test_without_root_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert why_not() == "emulated boards need root: network namespaces and mounts"


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (why_not() or "").startswith("emulated boards need mmdebstrap, update-binfmts, ip, tc, iptables, ")


def test_a_tree_that_cannot_be_built_says_why_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    nowhere = Suite("bookworm", "3.11", "deb copy:/no/such/mirror bookworm main")
    with pytest.raises(BuildError, match=r"mmdebstrap failed with status \d+: (.|\n)*no/such/mirror"):
        cached_rootfs(nowhere)
    assert os.listdir(tmp_path / "edgert/emulation") == ["lock"]


def test_features_fit_the_emulated_core() -> None:
    for name, kind in KINDS.items():
        assert ("asimddp" in kind.features) == (kind.cpu == "cortex-a76"), name
