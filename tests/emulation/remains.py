"""The places on this machine that emulated boards use, and the removal of all that a board leaves there.

A board is a number: its folder below `RUN`, its network namespace, its device and its control group are named after it.
The folder names its owner, so that what a killed test run has left is found and removed by the next one; run as a
program, this waits for the end of standard input and then removes the boards of the process that it is given.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.emulation.waiting import wait_for

RUN = Path("/run/edgert-emulation")
_MAX_BOARDS = 16384
_CGROUPS = Path("/sys/fs/cgroup")


def claim_number() -> int:
    """Returns the number of a new board that this process owns; its folder exists."""
    with _locked():
        for number in range(1, _MAX_BOARDS):
            if not (RUN / str(number)).exists():
                (RUN / str(number)).mkdir()
                (RUN / str(number) / "owner").write_text(f"{os.getpid()} {_start_time(os.getpid())}")
                return number
    raise AssertionError(f"{RUN} is full")


def namespace(number: int) -> str:
    return f"edgert-{number}"


def cgroup_folders(number: int) -> list[Path]:
    """Returns the control groups that hold a board: one of version 2, or those of version 1 that it needs."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS / namespace(number)]
    return [_CGROUPS / controller / namespace(number) for controller in ("memory", "cpuacct")]


def sweep(owner: int | None = None) -> list[int]:
    """Removes the boards whose owner is gone, or is process `owner`; returns their numbers."""
    with _locked():
        found = [int(path.name) for path in RUN.iterdir() if path.name.isdigit()]
        gone = [number for number in found if not _is_owned(number) or _owner(number)[0] == owner]
        for number in gone:
            remove(number)
    return gone


def remove(number: int) -> None:
    """Ends the board's processes and removes its namespace, device, mounts, control groups and folder."""
    folder = RUN / str(number)
    end_processes(number)
    for group in cgroup_folders(number):
        wait_for(partial(_is_removed, group), f"{group} stays busy")
    if Path("/run/netns", namespace(number)).exists():
        subprocess.run(["ip", "netns", "delete", namespace(number)], check=True)
    subprocess.run(["umount", "--lazy", "--quiet", str(folder / "disk")], check=False, stderr=subprocess.DEVNULL)
    gone = RUN / f"gone-{number}-{os.getpid()}"  # in one step: a folder without its owner would be swept
    folder.rename(gone)
    shutil.rmtree(gone)


def end_processes(number: int) -> None:
    """Kills everything in the board's network namespace, and waits until it is gone."""
    wait_for(lambda: not _killed(number), f"processes of {namespace(number)} do not end")


def _is_removed(group: Path) -> bool:
    """Removes a control group; that fails for a moment after its last process has ended."""
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _killed(number: int) -> list[int]:
    """Kills the processes of the board's namespace; returns those that it found."""
    pids = _pids(number)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pids


def _pids(number: int) -> list[int]:
    if not Path("/run/netns", namespace(number)).exists():
        return []
    listed = subprocess.run(["ip", "netns", "pids", namespace(number)], check=False, capture_output=True, text=True)
    return [int(word) for word in listed.stdout.split() if not _is_zombie(int(word))]


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@contextmanager
def _locked() -> Iterator[None]:
    RUN.mkdir(mode=0o755, exist_ok=True)
    with (RUN / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _owner(number: int) -> tuple[int, int]:
    try:
        pid, start = (RUN / str(number) / "owner").read_text().split()
    except (OSError, ValueError):
        return 0, 0
    return int(pid), int(start)


def _is_owned(number: int) -> bool:
    pid, start = _owner(number)
    return pid > 0 and _start_time(pid) == start


def _start_time(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat: with the number, it names a process for ever."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None


def start_warden() -> subprocess.Popen[bytes]:
    """Starts a process that removes this process's boards as soon as this process has ended, however it ended."""
    repository = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", __name__, str(os.getpid())]
    return subprocess.Popen(command, stdin=subprocess.PIPE, cwd=repository, start_new_session=True)


def main() -> None:
    sys.stdin.buffer.read()
    sweep(int(sys.argv[1]))


if __name__ == "__main__":
    main()
