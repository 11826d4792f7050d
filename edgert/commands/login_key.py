"""After a login with a password on a terminal: offers to install a key, so that no password is needed again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edgert.commands.console import Console
from edgert.devices.ssh import SshTransport
from edgert.errors import DeviceError

__all__ = ["offer_key"]

_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_AUTHORIZE_S = 30.0


def offer_key(transport: SshTransport, console: Console) -> None:
    """Asks, and on yes puts the user's public key on the board; a key is made where there is none."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    found = _public_key()
    which = str(found) if found else "a new one, ~/.ssh/id_ed25519"
    sys.stderr.write(f"install a key ({which}), so that this board asks for no password again? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        return
    key = found or _make_key()
    if key is None:
        console.note("edgert: ssh-keygen made no key; the board still takes the password")
        return
    try:
        transport.link.request("authorize", _AUTHORIZE_S, {"key": key.read_text().strip()})
        console.note(f"edgert: {key} is installed on the board")
    except DeviceError as error:
        console.note(f"edgert: the key was not installed: {error}")


def _public_key() -> Path | None:
    folder = Path.home() / ".ssh"
    return next((path for name in _KEYS if (path := folder / f"{name}.pub").is_file()), None)


def _make_key() -> Path | None:
    private = Path.home() / ".ssh" / _KEYS[0]
    private.parent.mkdir(mode=0o700, exist_ok=True)
    done = subprocess.run(["ssh-keygen", "-t", "ed25519", "-f", str(private)], check=False)
    return None if done.returncode else private.with_suffix(".pub")
