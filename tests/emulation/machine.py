"""A whole emulated computer: its own arm64 kernel, systemd as process 1, logind, control groups, a journal, a clock.

    with Machine(authorized_key=key) as machine:
        laptop.trust(machine)
        print(machine.url)
        machine.power_cut()
        machine.power_on()

Slower than `EmulatedBoard`, which shares this computer's kernel and has no systemd: for what needs either. Nothing but
its SSH port, on 127.0.0.1, can be reached from outside, and nothing outside from it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from edgert.onboard.child import become_child
from tests.emulation.machine_image import cached_image, pack_files
from tests.emulation.rootfs import USERS
from tests.emulation.waiting import wait_for

_BOOT_PATIENCE_S = 900.0
_PREFIX = "edgert-machine-"
_CONSOLE = "console=ttyAMA0 root=/dev/vda rw quiet systemd.show_status=0"


class Machine:
    """Runs from its making or `with` to `close`.

    Args:
        authorized_key: public key, one line, that may log in as `pi`, who may also use sudo without a password.
        memory_mib: what the kernel has.
        cores: Cortex-A72.
        kernel_options: further words of the kernel's command line, as in a Raspberry Pi's cmdline.txt.
    """

    def __init__(
        self, *, authorized_key: str, memory_mib: int = 1024, cores: int = 2, kernel_options: str = ""
    ) -> None:
        self._image = cached_image()
        self._words = (authorized_key, memory_mib, cores, kernel_options)
        _sweep()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self._qemu: subprocess.Popen[bytes] | None = None
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            self.port = _free_port()
            self._seed()
            subprocess.run(["cp", "--sparse=always", self._image.disk, self._folder / "disk"], check=True)
            self.power_on()
            on_failure.pop_all()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """As OpenSSH's list of known hosts names it."""
        return f"[127.0.0.1]:{self.port}"

    @property
    def url(self) -> str:
        return f"ssh://pi@127.0.0.1:{self.port}"

    @property
    def host_keys(self) -> list[str]:
        """Lines of the public host keys: kind of key, key."""
        return [" ".join((self._folder / "ssh_host_ed25519_key.pub").read_text().split()[:2])]

    @property
    def log(self) -> str:
        """What the kernel and systemd have written to the console since the first start."""
        path = self._folder / "console"
        return path.read_text(errors="replace") if path.exists() else ""

    def power_on(self) -> None:
        """Starts it with the disk that it has; returns when it takes logins."""
        self.start()
        self.await_logins()

    def start(self) -> None:
        """Starts it and returns at once."""
        _, memory_mib, cores, kernel_options = self._words
        network = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22"
        command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-accel", "tcg,thread=multi"]
        command += ["-m", str(memory_mib), "-smp", str(cores), "-nographic", "-nodefaults", "-no-reboot"]
        command += ["-kernel", str(self._image.kernel), "-initrd", str(self._folder / "initrd")]
        command += [
            "-append",
            f"{_CONSOLE} {kernel_options}",
            "-chardev",
            f"file,id=log,path={self._folder}/console,append=on",
        ]
        command += ["-serial", "chardev:log", "-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile="]
        command += ["-drive", f"file={self._folder}/disk,format=raw,if=virtio"]
        self._qemu = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=become_child,  # noqa: PLW1509  # only system calls: it ends with the test run, however that ends
        )

    def await_logins(self) -> None:
        """Returns when it takes logins of users.

        Raises:
            AssertionError: it does not.
        """
        try:
            wait_for(self._listens_or_ended, "no SSH server", _BOOT_PATIENCE_S)
        except AssertionError as error:
            raise AssertionError(f"{error}; the console:\n{self.log[-2000:]}") from error
        self.shell("until systemctl -q is-active systemd-user-sessions ssh; do sleep 0.1; done")

    def power_cut(self) -> None:
        """It dies at once; what its kernel had not brought to the disk is lost."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None

    def reboot(self) -> None:
        """Shuts it down as `reboot` does, and starts it again."""
        self.shut_down()
        self.power_on()

    def shut_down(self) -> None:
        """Shuts it down as `poweroff` does."""
        assert self._qemu is not None, "it is off"
        with suppress(subprocess.CalledProcessError):  # the connection may end first
            self.shell("systemctl poweroff")
        self._qemu.wait(_BOOT_PATIENCE_S)
        self._qemu = None

    def shell(self, command: str, *, timeout_s: float = _BOOT_PATIENCE_S) -> str:
        """Runs a shell command as root; returns its output. No session of `pi` begins by that.

        Raises:
            subprocess.CalledProcessError: its exit status is not 0.
        """
        options = [f"UserKnownHostsFile={self._folder}/known_hosts", "StrictHostKeyChecking=yes", "BatchMode=yes"]
        options += ["IdentitiesOnly=yes", "LogLevel=ERROR", "ConnectTimeout=30"]
        words = [word for option in options for word in ("-o", option)]
        words += ["-F", "/dev/null", "-i", str(self._folder / "root_key"), "-p", str(self.port), "root@127.0.0.1"]
        done = subprocess.run(
            ["ssh", *words, command],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        return done.stdout

    def close(self) -> None:
        """Ends it and removes all that it used; a second call does nothing."""
        self.power_cut()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _seed(self) -> None:
        """Makes its own keys, which the initial RAM disk brings to it."""
        for name in ("ssh_host_ed25519_key", "root_key"):
            _make_key(self._folder / name)
        (self._folder / "known_hosts").write_text(f"{self.address} {self.host_keys[0]}\n")
        tree = self._folder / "tree"
        _copy(self._folder / "ssh_host_ed25519_key", tree / "seed/etc/ssh/ssh_host_ed25519_key", 0o600)
        _copy(self._folder / "ssh_host_ed25519_key.pub", tree / "seed/etc/ssh/ssh_host_ed25519_key.pub", 0o644)
        _copy(self._folder / "root_key.pub", tree / "seed/root/.ssh/authorized_keys", 0o600)
        keys = tree / "seed/home/pi/.ssh/authorized_keys"
        keys.parent.mkdir(parents=True)
        keys.write_text(self._words[0])
        own = pack_files(tree, owners={"seed/home/pi": USERS["pi"]})
        (self._folder / "initrd").write_bytes(self._image.initrd.read_bytes() + own)

    def _listens_or_ended(self) -> bool:
        assert self._qemu is not None
        if self._qemu.poll() is not None:
            raise AssertionError(f"the machine has ended:\n{self.log[-2000:]}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2.0) as connection:
            return connection.recv(4) == b"SSH-"  # QEMU itself takes the connection long before
        time.sleep(0.1)
        return False


def _sweep() -> None:
    """Removes what test runs that were killed have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "machine", "-f", str(path)], check=True)


def _copy(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
