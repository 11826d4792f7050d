"""Installs a public key for logins, as ssh-copy-id does: one line of ~/.ssh/authorized_keys."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["AuthorizeError", "authorize_key"]

_KEY = re.compile(r"(ssh-[a-z0-9-]+|ecdsa-sha2-[a-z0-9-]+|sk-[a-z0-9@.-]+) [A-Za-z0-9+/=]+( [^\n\r]*)?")


class AuthorizeError(Exception):
    """A line is no public key."""


def authorize_key(line: str, home: Path) -> bool:
    """Adds a public key; returns False where it was there already.

    Raises:
        AuthorizeError: it is no public key.
        OSError: nothing can be written.
    """
    line = line.strip()
    if _KEY.fullmatch(line) is None:
        raise AuthorizeError("this is no line with a public key")
    folder = home / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "authorized_keys"
    known = path.read_text() if path.exists() else ""
    if line.split()[1] in known.split():
        return False
    separator = "" if not known or known.endswith("\n") else "\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "a") as stream:
        stream.write(f"{separator}{line}\n")
    return True
