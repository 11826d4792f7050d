"""The processes of an emulated board, seen from this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a board; `host_pid` is its number on this machine."""

    pid: int
    host_pid: int
    uid: int
    command: str

    @property
    def is_ssh_server(self) -> bool:
        return self.command.startswith(("/usr/sbin/sshd", "sshd", "/usr/lib/openssh/sshd-"))


def list_processes(first_host_pid: int) -> list[Process]:
    """Returns every living process in the PID namespace of a board's process 1, itself included."""
    own = os.readlink(f"/proc/{first_host_pid}/ns/pid")
    read = (_read(int(entry), own) for entry in os.listdir("/proc") if entry.isdigit())
    return [process for process in read if process is not None]


def _read(host_pid: int, pid_namespace: str) -> Process | None:
    folder = Path(f"/proc/{host_pid}")
    try:
        if os.readlink(folder / "ns/pid") != pid_namespace:
            return None
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        words = (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    if not words[0]:
        return None  # a zombie
    if words[0].endswith(b"aarch64-binfmt-P"):
        words = words[2:]  # qemu and the path of the program
    command = b" ".join(words).decode(errors="replace").strip()
    return Process(int(status["NSpid"].split()[-1]), host_pid, int(status["Uid"].split()[0]), command)
