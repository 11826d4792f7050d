"""Process 1 of an emulated board: mounts its filesystems in its own namespaces and becomes its OpenSSH server.

Run by `board.py` under `unshare`, with the file of settings that it wrote. Nothing of the host stays visible but the
network namespace and what the kernel shows in /proc.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import sys
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_NOSUID, _NODEV, _BIND = 2, 4, 4096
_DETACH = 2
_PIDS = 4096  # numbers of processes that /proc has links for


def mount(source: str | Path, target: str | Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Calls mount(2).

    Raises:
        OSError: the kernel refused.
    """
    words = [os.fsencode(word) for word in (source, target, kind)]
    if _LIBC.mount(*words, ctypes.c_ulong(flags), os.fsencode(options)):
        raise OSError(ctypes.get_errno(), f"mount {source} on {target}")


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(settings["folder"])
    root = folder / "root"
    disk = folder / "disk"
    layers = f"lowerdir={settings['rootfs']},upperdir={disk / 'upper'},workdir={disk / 'work'}"
    mount("overlay", root, "overlay", 0, layers)
    mount(root / "home/pi", root / "home/pi", "", _BIND)  # a mount of its own, which can become read-only
    mount(disk / "tmp", root / "tmp", "", _BIND)  # on the disk, and emptied before each start
    _mount_run(root, folder)
    mount(folder / "sys", root / "sys", "", _BIND)
    _mount_proc(root)
    _mount_dev(root)
    socket.sethostname(settings["hostname"])
    _enter(root)
    os.execve("/usr/sbin/sshd", ["/usr/sbin/sshd", "-D", "-e", *settings["sshd_options"]], settings["environment"])


def _mount_run(root: Path, folder: Path) -> None:
    mount("tmpfs", root / "run", "tmpfs", _NOSUID | _NODEV, "mode=755")
    (root / "run/sshd").mkdir()
    (root / "run/fakeboard").mkdir()
    mount(folder / "state", root / "run/fakeboard", "", _BIND)


def _mount_proc(root: Path) -> None:
    """Makes /proc of links to the kernel's own, at /.proc, but for the files that must tell of another machine.

    Nothing can be added to a real procfs, and an overlay does not take one; numbers of processes are links made ahead,
    which lead nowhere while there is no such process.
    """
    mount("proc", root / ".proc", "proc")
    with contextlib.suppress(OSError):  # numbers of a namespace have their own end since Linux 6.14
        (root / ".proc/sys/kernel/pid_max").write_text(str(_PIDS))
    mount("tmpfs", root / "proc", "tmpfs", 0, "mode=755")
    own = {path.name for path in (root / "run/fakeboard/proc").iterdir()}
    names = [name for name in os.listdir(root / ".proc") if not name.isdigit() and name not in own]
    for name in [*names, *map(str, range(1, _PIDS))]:
        os.symlink(f"/.proc/{name}", root / "proc" / name)
    for name in own:
        os.symlink(f"/run/fakeboard/proc/{name}", root / "proc" / name)
    os.symlink("/sys/firmware/devicetree/base", root / "proc/device-tree")


def _mount_dev(root: Path) -> None:
    dev = root / "dev"
    mount("tmpfs", dev, "tmpfs", _NOSUID, "mode=755")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        (dev / name).touch()
        mount(f"/dev/{name}", dev / name, "", _BIND)
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    mount("devpts", dev / "pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=620")
    mount("tmpfs", dev / "shm", "tmpfs", _NOSUID | _NODEV, "mode=1777")
    (dev / "ptmx").symlink_to("pts/ptmx")
    (dev / "fd").symlink_to("/proc/self/fd")


def _enter(root: Path) -> None:
    """Makes `root` the root of the mount namespace, so that mounts of the host are out of sight and not held."""
    os.chdir(root)
    if _LIBC.pivot_root(b".", b"."):
        raise OSError(ctypes.get_errno(), "pivot_root")
    if _LIBC.umount2(b".", _DETACH):
        raise OSError(ctypes.get_errno(), "umount of the old root")
    os.chdir("/")


if __name__ == "__main__":
    main()
