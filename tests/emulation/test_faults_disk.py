"""Disks of boards that are full or take no writes: what is half written is never taken for whole."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulation.board import EmulatedBoard
from tests.emulation.laptop import Laptop
from tests.emulation.session import add, await_idle, await_that, edgert, kept_files, start_put

pytestmark = pytest.mark.emulation

SIZE = 2 << 20


@pytest.fixture(scope="module")
def board(laptop_key: Path) -> Iterator[EmulatedBoard]:
    """A board whose disk is filled in no time."""
    with EmulatedBoard("pi4", authorized_key=laptop_key.with_suffix(".pub").read_text(), disk_mib=24) as made:
        yield made


@pytest.fixture
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file that no board has seen, of 2 MiB."""
    path = tmp_path / "weights.bin"
    path.write_bytes(random.Random(request.node.name).randbytes(SIZE))
    return path


def incoming(board: EmulatedBoard, file: Path) -> Path:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Path(f"{board.root}/home/pi/.local/share/edgert/incoming/{digest}")


def assert_sent(laptop: Laptop, board: EmulatedBoard, file: Path) -> None:
    """The next command brings the file over."""
    done = start_put(laptop, "pi", file).end()
    assert done.status == 0, done.err
    assert Path(f"{board.root}{done.out.strip()}").read_bytes() == file.read_bytes()
    assert not incoming(board, file).exists()


def test_no_room_for_the_code(board: EmulatedBoard, laptop: Laptop) -> None:
    laptop.trust(board)
    board.shell("rm -rf /home/pi/.local")
    with board.full_disk(100_000):
        done = edgert(laptop, "devices", "add", "pi", board.url)
        assert done.status == 3
        assert "pi: edgert cannot be brought to the board: " in done.err
        assert "No space left on device" in done.err
        assert "make room on the board's disk (df -h shows it)" in done.err
        await_idle(board)
        assert board.files() == [".ssh/authorized_keys"]
    assert edgert(laptop, "devices", "add", "pi", board.url).status == 0


def test_no_room_for_an_upload_is_said_before_it_begins(board: EmulatedBoard, laptop: Laptop, file: Path) -> None:
    add(laptop, board)
    with board.full_disk(1 << 20):
        done = start_put(laptop, "pi", file).end()
        assert f"pi: weights.bin needs {SIZE} bytes, the board's disk has" in done.err
        await_idle(board)
    assert_sent(laptop, board, file)


def test_the_disk_fills_up_in_an_upload(board: EmulatedBoard, laptop: Laptop, file: Path) -> None:
    add(laptop, board)
    board.link.limit_rate(2_000_000)
    running = start_put(laptop, "pi", file)
    part = incoming(board, file)
    await_that(lambda: part.exists() and part.stat().st_size > 300_000, "the upload does not begin")
    with board.full_disk(256 << 10):
        done = running.end()
        assert "No space left on device; make room on the board's disk (df -h shows it)" in done.err
        await_idle(board)
        assert not [name for name in kept_files(board) if name.startswith("tmp/")]
        assert part.stat().st_size < SIZE
    board.link.restore()
    assert_sent(laptop, board, file)


def test_a_home_that_takes_no_writes(board: EmulatedBoard, laptop: Laptop, file: Path) -> None:
    add(laptop, board)
    await_idle(board)
    before = board.files()
    with board.read_only_home():
        done = start_put(laptop, "pi", file).end()
        assert "Read-only file system" in done.err
        assert "the board's disk takes no writes: cards that fail end like this" in done.err
        reading = edgert(laptop, "devices", "doctor", "pi")
        assert (reading.status, "edgert devices setup pi" in reading.out) == (1, True), reading.err
        await_idle(board)
    assert board.files() == before
    assert_sent(laptop, board, file)


@pytest.mark.slow
def test_a_home_of_somebody_else(board: EmulatedBoard, laptop: Laptop) -> None:
    laptop.trust(board)
    board.shell("rm -rf /home/pi/.local; mkdir /home/pi/.local; chmod 700 /home/pi/.local")
    done = edgert(laptop, "devices", "add", "pi", board.url)
    assert done.status == 3
    assert "Permission denied" in done.err
    assert "edgert's folder on the board, and those above it, must belong to the user of the login" in done.err
    board.shell("rm -rf /home/pi/.local")
    assert edgert(laptop, "devices", "add", "pi", board.url).status == 0
