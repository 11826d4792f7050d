"""Signs a manifest with the user's SSH key: `ssh-keygen -Y sign` does it, so agents and hardware keys work.

`edgert.signature` checks what is made here. No private key or passphrase is read: ssh-keygen asks on the terminal.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from edgert.errors import EdgertError, UsageError
from edgert.signature import NAMESPACE, require_ssh_keygen

__all__ = ["SigningError", "sign_manifest"]

# Ed25519 first: the same bytes give the same signature; a key that a hardware token holds has the ending _sk
_KEYS = ("id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa")
_LIMIT_S = 60.0  # without a terminal: a token may wait for a touch, nothing may wait for ever


class SigningError(EdgertError):
    """ssh-keygen made no signature: a wrong passphrase, a token that was not touched, a key that is no key."""


def sign_manifest(manifest: bytes, key: Path | None = None) -> tuple[bytes, str]:
    """Returns a signature of the bytes, and which key was taken.

    On a terminal ssh-keygen asks for a passphrase or a touch; elsewhere it fails within a minute instead.

    Args:
        manifest: the raw bytes of a manifest.json.
        key: a private key, or a public key whose private half an agent or token holds. By default the first of
            ~/.ssh/id_ed25519, id_ed25519_sk, id_ecdsa, id_ecdsa_sk, id_rsa, then the agent's first key.

    Raises:
        UsageError: there is no such key, or none at all.
        SigningError: ssh-keygen did not sign.
        MissingToolError: no ssh-keygen of OpenSSH 8.1 or newer.
    """
    program = require_ssh_keygen("signing")
    with tempfile.TemporaryDirectory(prefix="edgert-sign-") as name:
        folder = Path(name)
        taken, label = _choose_key(key, folder)
        data = folder / "manifest.json"  # not stdin: there ssh-keygen would read a passphrase
        data.write_bytes(manifest)
        _ask([program, "-q", "-Y", "sign", "-f", str(taken), "-n", NAMESPACE, str(data)], label)
        signature = data.with_name("manifest.json.sig")
        if not signature.is_file():
            raise SigningError(f"ssh-keygen made no signature with {label}")
        return signature.read_bytes(), label


def _choose_key(key: Path | None, folder: Path) -> tuple[Path, str]:
    if key is not None:
        key = key.expanduser()
        if not key.is_file():
            raise UsageError(f"{key}: no such key; --key takes a private key, or the public half of an agent's key")
        return key, str(key)
    home = Path.home() / ".ssh"
    for name in _KEYS:
        if (home / name).is_file():
            return home / name, str(home / name)
    public = _first_agent_key()
    if public is None:
        raise UsageError(f"no SSH key in {home} and none in an agent; name one with --key, or make one: ssh-keygen")
    file = folder / "agent.pub"
    file.write_text(f"{public}\n")
    return file, f"the agent's key {' '.join(public.split()[2:]) or public.split()[0]}"


def _first_agent_key() -> str | None:
    try:
        done = subprocess.run(["ssh-add", "-L"], capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = [line for line in done.stdout.splitlines() if len(line.split()) >= 2]
    return lines[0] if done.returncode == 0 and lines else None


def _ask(words: list[str], label: str) -> None:
    environment = {**os.environ, "LC_ALL": "C"}
    if _has_terminal():
        done = subprocess.run(words, env=environment, check=False, stdout=subprocess.DEVNULL)
        reply = f"exit code {done.returncode}"
    else:
        try:
            done = subprocess.run(
                words,
                env=environment,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # no controlling terminal either, where it would wait for a passphrase
                timeout=_LIMIT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise SigningError(
                f"ssh-keygen did not sign with {label} within {_LIMIT_S:g} s; was a touch due?"
            ) from error
        reply = " ".join(done.stderr.decode(errors="replace").split())[:300]
    if done.returncode:
        hint = "a key with a passphrase needs a terminal or an agent (ssh-add)"
        raise SigningError(f"ssh-keygen did not sign with {label} ({reply}); {hint}")


def _has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
