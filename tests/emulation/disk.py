"""The disk of an emulated board: a tmpfs that holds what differs from the root filesystem that all boards share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.emulation.facts import write_tools
from tests.emulation.kinds import Kind
from tests.emulation.rootfs import USERS

_OWN = ("etc/ssh", "etc/nv_tegra_release", "usr/local/bin", "home/pi/.ssh")
"""What a board never has from another one."""


class Disk:
    """A tmpfs of `mib` MiB mounted at `folder`: the upper layer of the board's root, and its /tmp."""

    def __init__(self, folder: Path, mib: int) -> None:
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "edgert", str(folder)], check=True)
        self._folder = folder
        self._upper = folder / "upper"

    @property
    def host_keys(self) -> list[str]:
        """Lines of the public host keys: kind of key, key."""
        paths = sorted((self._upper / "etc/ssh").glob("ssh_host_*_key.pub"))
        return [" ".join(path.read_text().split()[:2]) for path in paths]

    @property
    def fingerprint(self) -> str:
        """The ed25519 host key's fingerprint as OpenSSH prints it, `SHA256:...`."""
        key = self._upper / "etc/ssh/ssh_host_ed25519_key.pub"
        shown = subprocess.run(["ssh-keygen", "-l", "-f", str(key)], check=True, capture_output=True, text=True)
        return shown.stdout.split()[1]

    def flash(self, kind: Kind, hostname: str, authorized_key: str, image: Disk | None = None) -> None:
        """Writes the disk anew: name, tools, fresh host keys, the key that may log in.

        Everything else is as on the disk `image`, which may be of a board of another kind.
        """
        for layer in (self._upper, self._folder / "work"):
            shutil.rmtree(layer, ignore_errors=True)
            layer.mkdir()
        if image is not None:
            subprocess.run(["cp", "--archive", f"{image._upper}/.", str(self._upper)], check=True)
            for own in _OWN:
                subprocess.run(["rm", "-rf", str(self._upper / own)], check=True)
        (self._upper / "etc/ssh").mkdir(parents=True)
        (self._upper / "etc/hostname").write_text(f"{hostname}\n")
        (self._upper / "etc/hosts").write_text(f"127.0.0.1 localhost {hostname}\n")
        if kind.nv_tegra_release:
            (self._upper / "etc/nv_tegra_release").write_text(kind.nv_tegra_release)
        write_tools(kind, self._upper / "usr/local/bin")
        for name in ("ed25519", "ecdsa"):
            key = self._upper / f"etc/ssh/ssh_host_{name}_key"
            subprocess.run(["ssh-keygen", "-q", "-t", name, "-N", "", "-C", "board", "-f", str(key)], check=True)
        self._authorize(authorized_key)

    def _authorize(self, key: str) -> None:
        ssh = self._upper / "home/pi/.ssh"
        ssh.mkdir(parents=True, mode=0o700)
        (ssh / "authorized_keys").write_text(key.strip() + "\n")
        (ssh / "authorized_keys").chmod(0o600)
        for path in (ssh.parent, ssh, ssh / "authorized_keys"):
            os.chown(path, USERS["pi"], USERS["pi"])

    def empty_tmp(self) -> None:
        """Empties /tmp, as each start of a board does."""
        tmp = self._folder / "tmp"
        shutil.rmtree(tmp, ignore_errors=True)
        tmp.mkdir()
        tmp.chmod(0o1777)

    @contextmanager
    def full(self, left_bytes: int) -> Iterator[None]:
        """Inside the block, the disk has `left_bytes` (whole pages) of room."""
        filler = self._folder / "filler"
        with filler.open("wb") as file:
            space = os.statvfs(self._folder)
            os.posix_fallocate(file.fileno(), 0, max(1, space.f_bavail * space.f_frsize - left_bytes))
        try:
            yield
        finally:
            filler.unlink()
