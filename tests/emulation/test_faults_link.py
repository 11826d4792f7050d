"""Connections that fail while files go over: links that fall silent, lose and flap, boards that go away."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulation.board import EmulatedBoard
from tests.emulation.conftest import MakeBoard
from tests.emulation.laptop import Laptop
from tests.emulation.session import (
    Running,
    add,
    await_idle,
    await_that,
    edgert,
    kept_files,
    start,
    start_put,
)

pytestmark = pytest.mark.emulation

MEGABYTE = 1 << 20
INCOMING = "/home/pi/.local/share/edgert/incoming"


@pytest.fixture
def board(shared_board: MakeBoard) -> Iterator[EmulatedBoard]:
    """The module's board, whose link is whole again afterwards."""
    board = shared_board("pi4")
    yield board
    board.link.restore()


@pytest.fixture
def known(board: EmulatedBoard, laptop: Laptop) -> Laptop:
    """A laptop that knows the board as pi."""
    add(laptop, board)
    return laptop


@pytest.fixture
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file that no board has seen, of 1 MiB."""
    path = tmp_path / "weights.bin"
    path.write_bytes(random.Random(request.node.name).randbytes(MEGABYTE))
    return path


def arrived_bytes(board: EmulatedBoard, file: Path) -> int:
    """How much of a file is there, whole or not."""
    part = Path(f"{board.root}{INCOMING}") / hashlib.sha256(file.read_bytes()).hexdigest()
    return part.stat().st_size if part.exists() else 0


def await_middle(running: Running, board: EmulatedBoard, file: Path) -> None:
    await_that(lambda: arrived_bytes(board, file) > 500_000, "the upload does not begin")
    assert not running.has_ended


def assert_whole(board: EmulatedBoard, out: str, file: Path) -> None:
    """The path that was printed holds the file, and nothing of its upload is left."""
    path = out.strip().splitlines()[-1]
    assert path.endswith("/weights.bin")
    assert Path(f"{board.root}{path}").read_bytes() == file.read_bytes()
    assert arrived_bytes(board, file) == 0


def received_bytes(board: EmulatedBoard) -> int:
    """How many bytes the board's end of the link has received."""
    return int(board.shell("grep eth0 /proc/net/dev").split()[1])


def test_a_link_down_in_an_upload_ends_it_and_the_next_one_goes_on(
    board: EmulatedBoard, known: Laptop, file: Path
) -> None:
    board.link.limit_rate(2_000_000)
    running = start_put(known, "pi", file)
    await_middle(running, board, file)
    board.link.down()
    done = running.end()
    assert done.status != 0
    assert "pi: it cannot be reached: is it on, and on the same network?" in done.err
    await_idle(board)
    assert not [name for name in kept_files(board) if name.startswith("tmp/")]
    before = arrived_bytes(board, file)
    assert 500_000 < before < MEGABYTE
    board.link.restore()
    received = received_bytes(board)
    done = start_put(known, "pi", file).end()
    assert done.status == 0, done.err
    assert_whole(board, done.out, file)
    assert received_bytes(board) - received < MEGABYTE  # what was missing, and a login


def test_a_link_that_comes_back_goes_on_in_the_same_command(board: EmulatedBoard, known: Laptop, file: Path) -> None:
    board.link.limit_rate(2_000_000)
    running = start_put(known, "pi", file)
    await_middle(running, board, file)
    board.kill_logins()
    done = running.end()
    assert done.status == 0, done.err
    assert_whole(board, done.out, file)
    await_idle(board)


@pytest.mark.slow
def test_a_flapping_link(board: EmulatedBoard, known: Laptop, file: Path) -> None:
    board.link.limit_rate(1_000_000)
    with board.link.flapping(up_s=3.0, down_s=1.5):
        done = start_put(known, "pi", file).end()
    assert done.status == 0, done.err
    assert_whole(board, done.out, file)
    await_idle(board)


def test_loss_and_delay(board: EmulatedBoard, known: Laptop, file: Path) -> None:
    board.link.delay(50.0, loss=0.05)
    file.write_bytes(file.read_bytes()[: 256 << 10])
    done = start_put(known, "pi", file).end()
    assert done.status == 0, done.err
    assert_whole(board, done.out, file)
    assert edgert(known, "devices", "doctor", "pi").status == 1


def test_a_slow_link_brings_the_code_too(board: EmulatedBoard, laptop: Laptop) -> None:
    laptop.trust(board)
    board.shell("rm -rf /home/pi/.local")
    board.link.limit_rate(400_000)
    done = edgert(laptop, "devices", "add", "pi", board.url)
    assert done.status == 0, done.err


def test_a_link_down_while_the_code_goes_over(board: EmulatedBoard, laptop: Laptop) -> None:
    laptop.trust(board)
    board.shell("rm -rf /home/pi/.local")
    board.link.limit_rate(300_000)
    running = start(laptop, "devices", "add", "pi", board.url)
    await_that(lambda: any("edgert:" in process.command for process in board.processes()), "no login")
    await_that(lambda: received_bytes(board) > 60_000, "the code does not begin")
    board.link.down()
    done = running.end()
    assert done.status == 3
    assert "pi: no answer for 12 s; is it on, is the network up?" in done.err
    await_idle(board)
    assert board.files() == [".ssh/authorized_keys"]
    board.link.restore()
    assert edgert(laptop, "devices", "add", "pi", board.url).status == 0


def test_the_power_is_cut_in_an_upload(make_board: MakeBoard, laptop: Laptop, file: Path) -> None:
    board = make_board("pi4")
    add(laptop, board)
    board.link.limit_rate(2_000_000)
    running = start_put(laptop, "pi", file)
    await_middle(running, board, file)
    board.power_cut()
    done = running.end()
    assert "pi: it cannot be reached: is it on, and on the same network?" in done.err
    board.power_on()
    board.link.restore()
    assert board.processes() == []
    assert [name for name in kept_files(board) if not name.startswith("incoming/")] == []
    done = start_put(laptop, "pi", file).end()
    assert done.status == 0, done.err
    assert_whole(board, done.out, file)


@pytest.mark.slow
def test_a_board_that_reboots_in_an_upload_is_waited_for(make_board: MakeBoard, laptop: Laptop, file: Path) -> None:
    board = make_board("pi4")
    add(laptop, board)
    board.link.limit_rate(2_000_000)
    running = start_put(laptop, "pi", file)
    await_middle(running, board, file)
    board.reboot()
    done = running.end()
    assert done.status == 0, done.err
    assert_whole(board, done.out, file)


def test_an_interrupt_in_an_upload(board: EmulatedBoard, known: Laptop, file: Path) -> None:
    board.link.limit_rate(2_000_000)
    running = start_put(known, "pi", file)
    await_middle(running, board, file)
    running.interrupt()
    done = running.end()
    assert done.status != 0
    assert "KeyboardInterrupt" in done.err
    await_idle(board)
    assert 0 < arrived_bytes(board, file) < MEGABYTE
    board.link.restore()
    done = start_put(known, "pi", file).end()
    assert done.status == 0, done.err
    assert_whole(board, done.out, file)


def test_two_at_once_send_the_same_file(board: EmulatedBoard, known: Laptop, file: Path) -> None:
    board.link.limit_rate(4_000_000)
    both = [start_put(known, "pi", file) for _ in range(2)]
    for running in both:
        done = running.end()
        assert done.status == 0, done.err
        assert_whole(board, done.out, file)


def test_what_is_no_number_of_seconds_is_refused(known: Laptop) -> None:
    done = edgert(known, "devices", "doctor", "pi", EDGERT_SILENCE_S="soon")
    assert done.status == 2
    assert "EDGERT_SILENCE_S='soon': write seconds from 1 to 600" in done.err
