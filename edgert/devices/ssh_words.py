"""What the OpenSSH client wrote when it failed, as an error that says what to do. Texts of OpenSSH 8 to 10."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence

from edgert.devices.ssh_login import Login, resolve_login
from edgert.errors import DeviceError

__all__ = ["HostKeyError", "LoginError", "UnreachableError", "add_remedy", "explain", "has_used_password"]

_FINGERPRINT = re.compile(r"\b(SHA256:[A-Za-z0-9+/]{43})")
_SCAN_TIMEOUT_S = 30.0
_NOISE = ("Authenticated to", "Transferred:", "Bytes per second", "Warning: Permanently added")
"""Lines of LogLevel=VERBOSE that say nothing of a failure."""
_THROUGH_PROXY = "UNKNOWN port 65535"
"""What stands for the peer's address where a ProxyJump or ProxyCommand has made the connection."""
_REMEDIES = {
    "No space left on device": "make room on the board's disk (df -h shows it)",
    "Disk quota exceeded": "make room in the user's part of the board's disk",
    "Read-only file system": "the board's disk takes no writes: cards that fail end like this, dmesg on the board says",
    "Permission denied": "edgert's folder on the board, and those above it, must belong to the user of the login",
}
"""What to do about what the board's kernel says of its disk."""


class HostKeyError(DeviceError):
    """The board's host key is unknown or has changed."""


class LoginError(DeviceError):
    """The board refused the login."""


class UnreachableError(DeviceError):
    """There is no connection, for a reason that may pass."""


def add_remedy(text: str) -> str:
    """Returns what the board said with what can be done about it, where that is known."""
    remedy = next((remedy for words, remedy in _REMEDIES.items() if words in text), None)
    return text if remedy is None else f"{text}; {remedy}"


def explain(login: Login, lines: Sequence[str], name: str, status: int | None) -> DeviceError:
    """Returns the error for a client that ended before the board answered.

    Args:
        login: of the connection.
        lines: what the client wrote to stderr.
        name: of the device, as the user calls it.
        status: exit status of the client.
    """
    text = "\n".join(lines)
    if "IDENTIFICATION HAS CHANGED" in text:
        return _changed(login, text, name)
    if "host key is known for" in text or "Host key verification failed" in text:
        return _unknown(login, name, text)
    if "Permission denied" in text or "Too many authentication failures" in text:
        return _refused(login, name, text)
    if "not found" in text and status == 127:
        return DeviceError(f"{name}: there is no python3 on the board; install it there (apt install python3-minimal)")
    return UnreachableError(f"{name}: {_reason(login, text, status)}")


def has_used_password(lines: Sequence[str]) -> bool:
    """True where the client says that it logged in with a password."""
    return any('using "password"' in line or 'using "keyboard-interactive"' in line for line in lines)


def _reason(login: Login, text: str, status: int | None) -> str:
    if "Could not resolve hostname" in text:
        local = (
            "; names in .local need mDNS (Avahi, Bonjour) here and on the board"
            if login.host.endswith(".local")
            else ""
        )
        return f"the host name {login.host!r} is not known{local}; check the spelling, or use the address"
    if "Connection refused" in text:
        return "the connection was refused: is its SSH server on (raspi-config, Interface Options), and the port right?"
    if "timed out" in text or "Timeout" in text or "No route to host" in text or "Network is unreachable" in text:
        return "it cannot be reached: is it on, and on the same network?"
    last = [line for line in text.splitlines() if line.strip() and not line.startswith(_NOISE)][-1:]
    return f"the connection ended (ssh status {status}){': ' + last[0].strip() if last else ''}"


def _unknown(login: Login, name: str, text: str) -> HostKeyError:
    if _THROUGH_PROXY in text and "host key is known for" not in text:
        jump = re.sub(r"\[([^]:]*)\]", r"\1", resolve_login(login).get("proxyjump", "in between"))
        return HostKeyError(
            f"{name}: the host key of the jump host {jump} is not known on this computer; log in to it once by hand, "
            f"which shows its fingerprint: ssh {jump}"
        )
    found = _presented_key(login)
    shown = f" ({found})" if found else ""
    return HostKeyError(
        f"{name}: its host key{shown} is not known on this computer; compare it with the one that the board shows "
        "(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then accept it with --accept-new-host-key"
    )


def _changed(login: Login, text: str, name: str) -> HostKeyError:
    named = re.search(r"^Host key for (\S+) has changed", text, re.MULTILINE)
    entry = named.group(1) if named else login.host
    file = re.search(r"^Offending .* key in (.+):\d+\s*$", text, re.MULTILINE)
    place = ["-f", file.group(1)] if file else []
    command = shlex.join(["ssh-keygen", *place, "-R", entry])
    fingerprint = _FINGERPRINT.search(text)
    shown = f" (now {fingerprint.group(1)})" if fingerprint else ""
    return HostKeyError(
        f"{name}: the host key of {entry} has changed{shown}. That is normal after its card was written anew; else "
        f"somebody may be in between. If it was, forget the old key with:  {command}"
    )


def _refused(login: Login, name: str, text: str) -> LoginError:
    said = re.search(r"(\S+)@(\S+): Permission denied \(([^)]*)\)", text)  # of the board, or of a jump host
    user, host = (said.group(1), said.group(2)) if said else (login.user or "the user", login.host)
    takes = f"; it takes {said.group(3).replace(',', ' or ')}" if said else ""
    port = "" if login.port is None else f"-p {login.port} "
    return LoginError(
        f"{name}: the login of {user!r} at {host} was refused{takes}. Check the user, and that your key is there "
        f"(ssh-copy-id {port}{user}@{host}) or the password right; a password is asked for on a terminal only"
    )


def _presented_key(login: Login) -> str | None:
    """The fingerprint that the board shows, from a connection that goes no further than that."""
    command = login.command("true")
    try:
        done = subprocess.run(
            [command[0], "-o", "BatchMode=yes", "-v", *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SCAN_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    keys = re.findall(r"Server host key: (\S+ SHA256:[A-Za-z0-9+/]{43})", done.stderr.decode(errors="replace"))
    return keys[-1] if keys else None
