"""A user's own computer for tests: a home folder with SSH settings of its own, which the real user's never meet.

OpenSSH takes `~` from the database of users, not from HOME; programs of the same names, first in PATH, hand it this
home's files.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Protocol

_DROPPED = ("SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "DISPLAY", "SSH_CONNECTION", "SSH_CLIENT")
_KEYGEN = """#!/bin/sh
# -R and -F without -f are about the user's own list of known hosts
case " $* " in
*" -f "*) ;;
*" -R "* | *" -F "*) set -- -f '{known_hosts}' "$@" ;;
esac
exec /usr/bin/ssh-keygen "$@"
"""


class Reachable(Protocol):
    """What a laptop logs in to: an EmulatedBoard, or a Machine."""

    @property
    def address(self) -> str:
        """As the list of known hosts has it."""
        ...

    @property
    def url(self) -> str:
        """Whom to log in as, and where: ssh://pi@..."""
        ...

    @property
    def host_keys(self) -> list[str]:
        """Lines of the public host keys: kind of key, key."""
        ...


class Laptop:
    """The home folder, its key, and the environment to run programs in.

    Attributes:
        home: the folder.
        key: path of the private key that boards authorize; the public one is beside it.
        config, known_hosts: as in any ~/.ssh.
        env: environment for subprocesses: HOME, PATH, XDG folders, EDGERT_SETTINGS of its own, no SSH agent.
    """

    def __init__(self, folder: Path, key: Path) -> None:
        self.home = folder
        self.key = key
        ssh = folder / ".ssh"
        ssh.mkdir(mode=0o700)
        self.config = ssh / "config"
        self.known_hosts = ssh / "known_hosts"
        self.known_hosts.touch()
        self.write_config()
        self.env = self._environment(self._programs(folder / "bin"))

    def write_config(self, before: str = "", *, key: Path | None = None) -> None:
        """Writes ~/.ssh/config: `before`, which therefore wins, then where this home's files are."""
        lines = ["Host *", f"  UserKnownHostsFile {self.known_hosts}", "  GlobalKnownHostsFile /dev/null"]
        lines += [f"  IdentityFile {key or self.key}", "  IdentitiesOnly yes"]
        self.config.write_text(before + "\n".join(lines) + "\n")

    def trust(self, board: Reachable) -> None:
        """Adds the board's host keys to the known hosts."""
        with self.known_hosts.open("a") as file:
            file.writelines(f"{board.address} {key}\n" for key in board.host_keys)

    def ssh(self, board: Reachable, command: str, *, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Runs a command on the board with the `ssh` of PATH, never asking anything; does not look at its status."""
        words = ["ssh", "-o", "BatchMode=yes", board.url, command]
        return subprocess.run(
            words,
            check=False,
            capture_output=True,
            text=True,
            env=self.env,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )

    def _programs(self, folder: Path) -> Path:
        folder.mkdir()
        for name in ("ssh", "scp", "sftp"):
            (folder / name).write_text(f"#!/bin/sh\nexec /usr/bin/{name} -F '{self.config}' \"$@\"\n")
        (folder / "ssh-keygen").write_text(_KEYGEN.format(known_hosts=self.known_hosts))
        for path in folder.iterdir():
            path.chmod(0o755)
        return folder

    def _environment(self, programs: Path) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        own = {
            "HOME": str(self.home),
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_DATA_HOME": str(self.home / ".local/share"),
            "EDGERT_SETTINGS": str(self.home / ".config/edgert"),
        }
        return kept | own


def make_key(folder: Path, name: str = "id_ed25519") -> Path:
    """Makes an ed25519 key without a passphrase; returns the private one's path."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "laptop", "-f", str(folder / name)], check=True
    )
    return folder / name
