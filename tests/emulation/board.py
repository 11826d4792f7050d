"""One emulated board: an arm64 Linux with a disk, a network address and its own OpenSSH server.

    with EmulatedBoard("pi4", authorized_key=key) as board:
        print(board.url)
        board.power_cut()
        board.power_on()

The kernel is this machine's; everything above it is arm64 code under qemu-user, in namespaces. The disk is a tmpfs, so
that it can be filled and re-flashed; it outlives a power cut, processes and /run do not.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

from tests.emulation.controls import Controls
from tests.emulation.disk import Disk
from tests.emulation.facts import write_state, write_sys
from tests.emulation.feeder import processor_time
from tests.emulation.kinds import KINDS
from tests.emulation.network import Link
from tests.emulation.processes import Process, list_processes
from tests.emulation.remains import RUN, cgroup_folders, claim_number, end_processes, namespace, remove
from tests.emulation.rootfs import USERS, cached_rootfs
from tests.emulation.waiting import wait_for

_BOOT = Path(__file__).with_name("boot.py")
_UNSHARE = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--propagation", "private"]
_LISTENS_ON_22 = ":0016 00000000:0000 0A"
_FAKETIME = "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"


class EmulatedBoard:
    """A board of a kind of `KINDS`, running from its making or `with` to `close`.

    Args:
        kind: key of `KINDS`.
        authorized_key: public key, one line, that may log in as `pi`; the password `rootfs.PASSWORD` may as well.
        hostname: by default the kind.
        disk_mib: size of the disk, which holds what the board writes anywhere but in /run and /dev/shm.
        steps_clock: the wall clock of logins can be stepped (libfaketime in every process; slower).
        disk_from: a board, on which nobody works just now, whose disk this one's is a copy of when it is first started;
            kind, name, host keys and who may log in are its own.
    """

    def __init__(
        self,
        kind: str,
        *,
        authorized_key: str,
        hostname: str | None = None,
        disk_mib: int = 1024,
        steps_clock: bool = False,
        disk_from: EmulatedBoard | None = None,
    ) -> None:
        self.kind = KINDS[kind]
        self.hostname = hostname or kind
        self._authorized_key = authorized_key
        self._steps_clock = steps_clock
        self._rootfs = cached_rootfs(self.kind.suite)
        self._number = claim_number()
        self._folder = RUN / str(self._number)
        self._main: subprocess.Popen[bytes] | None = None
        self._running = ExitStack()
        with ExitStack() as on_failure:
            on_failure.callback(remove, self._number)
            self._disk = Disk(self._folder / "disk", disk_mib)
            self._write_facts()
            self.link = Link(self._number)
            on_failure.callback(self._kill)
            self._flash(None if disk_from is None else disk_from._disk)
            self.power_on()
            on_failure.pop_all()

    def __enter__(self) -> EmulatedBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        return self.link.address

    @property
    def url(self) -> str:
        return f"ssh://pi@{self.address}"

    @property
    def root(self) -> Path:
        """The running board's root folder, as this machine can read and write it."""
        return Path(f"/proc/{self._first_pid()}/root")

    @property
    def host_keys(self) -> list[str]:
        """Lines of the public host keys: kind of key, key."""
        return self._disk.host_keys

    @property
    def fingerprint(self) -> str:
        """The ed25519 host key's fingerprint as OpenSSH prints it, `SHA256:...`."""
        return self._disk.fingerprint

    @property
    def log(self) -> str:
        """What the board's OpenSSH server has written since the board's first start."""
        return (self._folder / "log").read_text(errors="replace")

    def power_on(self) -> None:
        """Starts the board with the disk that it has; returns when it listens for logins."""
        self._disk.empty_tmp()
        settings = self._folder / "settings.json"
        settings.write_text(json.dumps(self._settings()))
        self.link.up()
        command = ["ip", "netns", "exec", namespace(self._number), *_UNSHARE, sys.executable, str(_BOOT), str(settings)]
        with (self._folder / "log").open("ab") as log:
            self._main = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_for(self._listens_or_ended, "the board does not start; its log:\n" + self.log[-2000:])
        if not self._listens():
            raise AssertionError(f"the board has ended; its log:\n{self.log[-2000:]}")
        self._enter_cgroups()
        stat = self._folder / "state/proc/stat"
        self._running.enter_context(processor_time(cgroup_folders(self._number)[-1], self.kind.cores, stat))

    def power_cut(self) -> None:
        """The board falls silent and dies at once; nobody is told."""
        self.link.down()
        self._kill()

    def reboot(self) -> None:
        """Ends all processes, which closes their connections, and starts the board again."""
        self._kill()
        self.power_on()

    def reflash(self) -> None:
        """Starts the board from a fresh disk with new host keys, as after writing its card anew."""
        self._kill()
        self._flash()
        self.power_on()

    def close(self) -> None:
        """Ends the board and removes all that it used on this machine; a second call does nothing."""
        if self._folder.exists():
            self._kill()
            self.link.close()
            remove(self._number)

    def shell(self, command: str) -> str:
        """Runs a shell command as root on the board, past SSH; returns its output.

        Raises:
            subprocess.CalledProcessError: its exit status is not 0.
        """
        done = subprocess.run(
            self._inside("/bin/sh", "-c", command),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment(),
        )
        return done.stdout

    def processes(self) -> list[Process]:
        """Returns the processes of `pi`, without those of the SSH server."""
        return [found for found in self._all_processes() if found.uid == USERS["pi"] and not found.is_ssh_server]

    def files(self, folder: str = "/home/pi") -> list[str]:
        """Returns the files and links below a folder of the board, relative to it, sorted."""
        top = f"{self.root}{folder}"
        found = [os.path.join(where, name) for where, _, names in os.walk(top) for name in names]
        return sorted(os.path.relpath(path, top) for path in found)

    def kill(self, command: str, *, exact: bool = False) -> int:
        """Kills (SIGKILL, as the kernel does when memory runs out) the user's processes whose command contains a text.

        A shell that runs the command contains it too; `exact` takes what is the command and nothing else.

        Returns:
            How many there were.
        """
        found = [process for process in self.processes() if command in process.command]
        found = [process for process in found if not exact or process.command == command]
        for process in found:
            os.kill(process.host_pid, signal.SIGKILL)
        return len(found)

    def kill_logins(self) -> int:
        """Kills the SSH server's processes of all logins; the server itself stays. Returns how many there were."""
        found = [process for process in self._all_processes() if process.is_ssh_server and process.pid != 1]
        for process in found:
            os.kill(process.host_pid, signal.SIGKILL)
        return len(found)

    @contextmanager
    def busy_neighbour(self, count: int = 1) -> Iterator[None]:
        """Inside the block, so many processes of another user use all the processor time they get."""
        user = USERS["neighbour"]
        command = self._inside("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
        command += ["/bin/sh", "-c", "while :; do :; done"]
        started = [subprocess.Popen(command, env=self._environment()) for _ in range(count)]
        try:
            wait_for(lambda: len(self._neighbours()) >= count, "the neighbour does not start")
            yield
        finally:
            for process in self._neighbours():
                os.kill(process.host_pid, signal.SIGKILL)
            for starter in started:
                starter.wait()

    @contextmanager
    def full_disk(self, left_bytes: int = 0) -> Iterator[None]:
        """Inside the block, the disk has `left_bytes` (whole pages) of room."""
        with self._disk.full(left_bytes):
            yield

    @contextmanager
    def read_only_home(self) -> Iterator[None]:
        """Inside the block, /home/pi takes no writes; no file there may be open for writing when it starts."""
        self.shell("mount -o remount,bind,ro /home/pi")
        try:
            yield
        finally:
            self.shell("mount -o remount,bind,rw /home/pi")

    def step_clock(self, seconds: float) -> None:
        """Moves the wall clock that logins see by so many seconds from the true time; not the monotonic one.

        Raises:
            ValueError: the board was made without `steps_clock`.
        """
        if not self._steps_clock:
            raise ValueError("this board's clock cannot be stepped: make it with steps_clock=True")
        self.controls.write_state("clock", f"{seconds:+.3f}")

    def limit_memory(self, mib: int) -> None:
        """Limits the memory of all the board's processes together; beyond it, the kernel kills the largest.

        Raises:
            NotImplementedError: this machine's control groups do not limit memory.
        """
        group = cgroup_folders(self._number)[0]
        names = ("memory.max", "memory.limit_in_bytes")
        file = next((group / name for name in names if (group / name).exists()), None)
        if file is None:
            raise NotImplementedError(f"{group} has no memory controller")
        file.write_text(str(mib * 2**20))

    def _write_facts(self) -> None:
        (self._folder / "root").mkdir()
        write_sys(self.kind, self._folder / "sys")
        write_state(self.kind, self._folder / "state")
        (self._folder / "state/clock").write_text("+0.000\n")
        self.controls = Controls(self.kind, self._folder / "sys", self._folder / "state")

    def _flash(self, image: Disk | None = None) -> None:
        self._disk.flash(self.kind, self.hostname, self._authorized_key, image)

    def _settings(self) -> dict[str, object]:
        login = {name: value for name, value in self._environment().items() if name != "PATH"}
        if self._steps_clock:
            login |= {"LD_PRELOAD": _FAKETIME, "FAKETIME_TIMESTAMP_FILE": "/run/fakeboard/clock"}
            login |= {"FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        words = " ".join(f"{name}={value}" for name, value in login.items())
        return {
            "folder": str(self._folder),
            "rootfs": str(self._rootfs),
            "hostname": self.hostname,
            "sshd_options": ["-o", f"SetEnv={words}"],
            "environment": self._environment(),
        }

    def _environment(self) -> dict[str, str]:
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": path, "QEMU_CPU": self.kind.cpu, "QEMU_UNAME": self.kind.kernel}

    def _listens(self) -> bool:
        with suppress(OSError):  # there is no such process yet, or no more
            return _LISTENS_ON_22 in Path(f"/proc/{self._first_pid()}/net/tcp").read_text()
        return False

    def _enter_cgroups(self) -> None:
        for group in cgroup_folders(self._number):
            with suppress(OSError):  # version 2 hands controllers on only when told; version 1 has no such file
                (group.parent / "cgroup.subtree_control").write_text("+memory +cpu")
            group.mkdir(exist_ok=True)
            (group / "cgroup.procs").write_text(str(self._first_pid()))

    def _listens_or_ended(self) -> bool:
        assert self._main is not None
        return self._listens() or self._main.poll() is not None

    def _first_pid(self) -> int:
        """Number on this machine of the board's process 1, or 0 before there is one."""
        assert self._main is not None, "the board is off"
        children = Path(f"/proc/{self._main.pid}/task/{self._main.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def _inside(self, *words: str) -> list[str]:
        """Returns the command that runs `words` in the board's control groups and namespaces."""
        groups = " ".join(f"{group}/cgroup.procs" for group in cgroup_folders(self._number))
        script = f'for group in {groups}; do echo $$ >$group; done; exec nsenter --target {self._first_pid()} "$@"'
        return ["/bin/sh", "-c", script, "sh", "--mount", "--uts", "--ipc", "--net", "--pid", *words]

    def _kill(self) -> None:
        if self._main is None:
            return
        self._running.close()
        self._main.kill()
        end_processes(self._number)
        self._main.wait()
        self._main = None

    def _neighbours(self) -> list[Process]:
        return [process for process in self._all_processes() if process.uid == USERS["neighbour"]]

    def _all_processes(self) -> list[Process]:
        return list_processes(self._first_pid())
