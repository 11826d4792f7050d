"""How to log in to a board: its URL, and the command line of the OpenSSH client, which does the rest.

The user's ~/.ssh/config, agent, keys, jump hosts and known_hosts are honoured because OpenSSH itself reads them
(docs/decisions/0013-openssh-client.md). Host keys are always checked.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from urllib.parse import urlsplit

from edgert.devices.names import SSH_EXAMPLE
from edgert.devices.silence import read_limits
from edgert.errors import MissingToolError, UsageError

__all__ = ["Login", "parse_login", "resolve_login"]

_TOOL_TIMEOUT_S = 20.0
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f:]+(%[A-Za-z0-9_.-]+)?")


@dataclass(frozen=True, slots=True)
class Login:
    """Where to log in; `user` and `port` None: what the user's configuration says.

    `accept_new_host_key` lets an unknown host key be stored on this connection; a changed one is refused all the same.
    `is_unattended`: one of many connections at once; nothing is asked, and Ctrl-C does not end it.
    """

    host: str
    user: str | None = None
    port: int | None = None
    accept_new_host_key: bool = False
    is_unattended: bool = False

    def command(self, remote: str) -> list[str]:
        """Returns the command line that runs `remote`, a command for the board's shell."""
        return [*_client("ssh"), *self._options(), "--", self.host, remote]

    def tunnel_command(self, local: int, remote: int) -> list[str]:
        """Returns the command line that leads a port of 127.0.0.1 here to one of the board's, and does no more."""
        forward = ["-N", "-L", f"127.0.0.1:{local}:127.0.0.1:{remote}"]
        return [*_client("ssh"), *self._options("ExitOnForwardFailure=yes"), *forward, "--", self.host]

    def settings_command(self) -> list[str]:
        """Returns the command line that prints what the user's configuration makes of this login."""
        return [*_client("ssh"), "-G", *self._options(), "--", self.host]

    def _options(self, forwarding: str = "ClearAllForwardings=yes") -> list[str]:
        checking = "accept-new" if self.accept_new_host_key else "yes"
        values = [
            "LogLevel=VERBOSE",
            f"ConnectTimeout={read_limits().connect_s}",
            f"StrictHostKeyChecking={checking}",
            forwarding,
            "RequestTTY=no",
            "NumberOfPasswordPrompts=1",
        ]
        if self.is_unattended or not sys.stdin.isatty():
            values.append("BatchMode=yes")  # nobody is there to ask
        options = [word for value in values for word in ("-o", value)]
        if self.user is not None:
            options += ["-l", self.user]
        if self.port is not None:
            options += ["-p", str(self.port)]
        return options


def parse_login(url: str) -> Login:
    """Returns the login of `ssh://user@host[:port]`.

    Raises:
        UsageError: it is no such URL; a password in it is refused and not repeated.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"no URL of a board: {error}; write one like {SSH_EXAMPLE}") from error
    if parts.password is not None:
        raise UsageError(f"a password does not belong into a URL; write it as {SSH_EXAMPLE}, ssh asks for it")
    named = parts.netloc.rpartition("@")[2]
    host = named.partition(":")[0] if host and named.lower().startswith(host) else host  # the case of an alias counts
    if parts.scheme != "ssh" or not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(f"no URL of a board: {url!r}; write one like {SSH_EXAMPLE} or {SSH_EXAMPLE}:2222")
    if _HOST.fullmatch(host) is None or (parts.username and _WORD.fullmatch(parts.username) is None):
        raise UsageError(f"no URL of a board: {url!r} holds characters that no user or host name has")
    return Login(host, parts.username or None, port)


def resolve_login(login: Login) -> dict[str, str]:
    """Returns the user's settings for this login as `ssh -G` prints them, keys in lower case; {} where it cannot."""
    try:
        done = subprocess.run(
            login.settings_command(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TOOL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    settings: dict[str, str] = {}
    for line in done.stdout.decode(errors="replace").splitlines():
        key, _, value = line.partition(" ")
        settings.setdefault(key.lower(), value)
    return settings


def _client(program: str) -> list[str]:
    found = shutil.which(program)
    if found is None:
        raise MissingToolError(program, "openssh-client", "reaching a board")
    return [found]
