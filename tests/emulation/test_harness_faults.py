"""The harness itself: each fault does what it says, and the board is sound afterwards."""

from __future__ import annotations

import socket
import subprocess
import time

import pytest

from tests.emulation.board import EmulatedBoard
from tests.emulation.conftest import MakeBoard
from tests.emulation.laptop import Laptop
from tests.emulation.waiting import wait_for

pytestmark = pytest.mark.emulation


_PRINT_CLOCKS = "exec python3 -uc 'import time\nwhile input(): print(time.time(), time.monotonic())'"


@pytest.fixture
def board(shared_board: MakeBoard, laptop: Laptop) -> EmulatedBoard:
    """A board that answers: whatever the test before did to it has ended."""
    found: EmulatedBoard = shared_board("pi4")
    laptop.trust(found)
    assert laptop.ssh(found, "true").returncode == 0
    return found


def start(board: EmulatedBoard, laptop: Laptop, command: str) -> subprocess.Popen[str]:
    """Starts a command over SSH and returns when it has printed a line."""
    words = ["ssh", "-o", "BatchMode=yes", f"pi@{board.address}", f"echo ready; {command}"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=laptop.env)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def clocks_apart(session: subprocess.Popen[str]) -> tuple[float, float]:
    """By how many seconds the board's clocks are ahead of this machine's: wall, monotonic."""
    assert session.stdin is not None
    assert session.stdout is not None
    session.stdin.write("now\n")
    session.stdin.flush()
    wall_s, monotonic_s = map(float, session.stdout.readline().split())
    return wall_s - time.time(), monotonic_s - time.monotonic()


def commands(board: EmulatedBoard) -> list[str]:
    return [process.command for process in board.processes()]


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_silent_link_tells_nobody(board: EmulatedBoard, laptop: Laptop) -> None:
    session = start(board, laptop, "cat")
    board.link.down()
    with pytest.raises(TimeoutError):
        socket.create_connection((board.address, 22), timeout=1.0)
    assert session.poll() is None
    board.link.up()
    out, _ = session.communicate("still here\n", timeout=60)
    assert out == "still here\n"


def test_a_pulled_plug_is_seen(board: EmulatedBoard, laptop: Laptop) -> None:
    def is_seen() -> bool:
        return "NO-CARRIER" in subprocess.run(["ip", "link"], check=True, capture_output=True, text=True).stdout

    board.link.unplug()
    wait_for(is_seen, "the carrier is still there")  # Linux tells of carriers once a second at most
    board.link.plug()
    assert laptop.ssh(board, "true").returncode == 0


def test_a_flapping_link_lets_a_transfer_through(board: EmulatedBoard, laptop: Laptop) -> None:
    with board.link.flapping(up_s=0.4, down_s=0.4):
        assert laptop.ssh(board, "head -c 300000 /dev/zero | wc -c", timeout_s=60).stdout == "300000\n"


def test_a_slow_link_is_slow(board: EmulatedBoard, laptop: Laptop) -> None:
    board.link.limit_rate(2_000_000)
    start_s = time.monotonic()
    done = laptop.ssh(board, "head -c 400000 /dev/zero")
    took_s = time.monotonic() - start_s
    board.link.restore()
    assert len(done.stdout) == 400000
    assert took_s > 1.5  # 400 kB less the burst of 16 kB; a slow machine only makes it longer


def test_packets_are_lost_and_sent_again(board: EmulatedBoard, laptop: Laptop) -> None:
    board.link.lose(0.1)
    done = laptop.ssh(board, "head -c 400000 /dev/zero", timeout_s=60)
    lost = board.link.lost()
    board.link.restore()
    assert len(done.stdout) == 400000
    assert lost > 0


def test_a_far_board_answers_late(board: EmulatedBoard, laptop: Laptop) -> None:
    board.link.delay(50, loss=0.05)
    start_s = time.monotonic()
    socket.create_connection((board.address, 22), timeout=30).close()
    assert time.monotonic() - start_s > 0.1  # there and back; the kernel asks for the address first
    assert len(laptop.ssh(board, "head -c 100000 /dev/zero", timeout_s=60).stdout) == 100000
    board.link.restore()
    assert laptop.ssh(board, "true").returncode == 0


def test_a_power_cut_leaves_the_disk_alone(board: EmulatedBoard, laptop: Laptop) -> None:
    assert laptop.ssh(board, "echo kept >kept; echo gone >/tmp/gone").returncode == 0
    session = start(board, laptop, "cat")
    board.power_cut()
    assert session.poll() is None  # nobody has told the laptop
    board.power_on()
    assert laptop.ssh(board, "cat kept; rm kept; ls /tmp").stdout == "kept\n"
    assert board.processes() == []
    end(session)


def test_a_reboot_ends_logins(board: EmulatedBoard, laptop: Laptop) -> None:
    session = start(board, laptop, "cat")
    board.reboot()
    session.communicate(timeout=60)
    assert session.returncode == 255
    assert laptop.ssh(board, "true").returncode == 0


def test_a_board_written_anew_has_other_keys_and_no_files(board: EmulatedBoard, laptop: Laptop) -> None:
    (board.root / "home/pi/mark").touch()
    keys, fingerprint = board.host_keys, board.fingerprint
    board.reflash()
    assert board.fingerprint != fingerprint
    assert not set(board.host_keys) & set(keys)
    refused = laptop.ssh(board, "true")
    assert refused.returncode == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in refused.stderr
    subprocess.run(["ssh-keygen", "-R", board.address], check=True, capture_output=True, env=laptop.env)
    laptop.trust(board)
    assert laptop.ssh(board, "ls").stdout == ""


def test_a_full_disk_takes_no_more(board: EmulatedBoard, laptop: Laptop) -> None:
    with board.full_disk(left_bytes=65536):
        refused = laptop.ssh(board, "head -c 200000 /dev/zero >big; rm big; echo small >small && rm small")
        elsewhere = laptop.ssh(board, "head -c 200000 /dev/zero >/tmp/big; rm /tmp/big")
    assert "No space left on device" in refused.stderr
    assert refused.returncode == 0
    assert "No space left on device" in elsewhere.stderr
    assert laptop.ssh(board, "head -c 200000 /dev/zero >big && rm big").returncode == 0


def test_a_read_only_home_takes_no_writes(board: EmulatedBoard, laptop: Laptop) -> None:
    with board.read_only_home():
        assert "Read-only file system" in laptop.ssh(board, "touch a").stderr
    assert laptop.ssh(board, "touch a && rm a").returncode == 0


def test_killed_logins_end_and_the_next_one_works(board: EmulatedBoard, laptop: Laptop) -> None:
    session = start(board, laptop, "cat")
    assert board.kill_logins() > 0
    session.communicate(timeout=60)
    assert session.returncode == 255
    assert laptop.ssh(board, "true").returncode == 0


def test_a_killed_process_reports_its_signal(board: EmulatedBoard, laptop: Laptop) -> None:
    session = start(board, laptop, "sleep 600; echo $?")
    wait_for(lambda: "sleep 600" in commands(board), "the command did not start")
    assert board.kill("sleep 600", exact=True) == 1
    out, _ = session.communicate(timeout=60)
    assert out == "137\n"


def test_memory_runs_out(make_board: MakeBoard, laptop: Laptop) -> None:
    board = make_board("pi4")
    laptop.trust(board)
    board.limit_memory(192)
    done = laptop.ssh(board, "python3 -c 'x = bytearray(400 << 20)'; echo $?")
    assert done.stdout == "137\n"  # 128 + SIGKILL, by the kernel
    assert laptop.ssh(board, "true").returncode == 0


def test_the_wall_clock_steps_and_the_monotonic_one_does_not(make_board: MakeBoard, laptop: Laptop) -> None:
    board = make_board("pi4", steps_clock=True)
    laptop.trust(board)
    session = start(board, laptop, _PRINT_CLOCKS)
    assert max(map(abs, clocks_apart(session))) < 60
    board.step_clock(3600)
    wall_s, monotonic_s = clocks_apart(session)
    assert abs(wall_s - 3600) < 60
    assert abs(monotonic_s) < 60
    end(session)


def test_a_clock_that_does_not_step_says_so(board: EmulatedBoard) -> None:
    with pytest.raises(ValueError, match="make it with steps_clock=True"):
        board.step_clock(1)
