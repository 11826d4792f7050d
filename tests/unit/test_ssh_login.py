"""URLs of boards, the command line of the OpenSSH client, and what its failures are said to mean."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgert.devices.ssh_login import Login, parse_login
from edgert.devices.ssh_words import HostKeyError, LoginError, explain, has_used_password
from edgert.errors import UsageError

NAME = "pi"


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("ssh://pi@raspberrypi.local", Login("raspberrypi.local", "pi")),
        ("ssh://pi@192.0.2.7:2222", Login("192.0.2.7", "pi", 2222)),
        ("ssh://MyAlias", Login("MyAlias")),
        ("ssh://me@[2001:db8::7]:22", Login("2001:db8::7", "me", 22)),
    ],
)
def test_urls(url: str, login: Login) -> None:
    assert parse_login(url) == login


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ssh://", "no URL of a board"),
        ("ssh://pi@host/path", "no URL of a board: 'ssh://pi@host/path'; write one like ssh://pi@raspberrypi.local"),
        ("ssh://pi@host:99999", "Port out of range"),
        ("ssh://-oProxyCommand=evil", "holds characters that no user or host name has"),
        ("ssh://pi$x@host", "holds characters that no user or host name has"),
    ],
)
def test_other_words_are_refused(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_login(url)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="a password does not belong into a URL") as caught:
        parse_login("ssh://pi:geheim@host")
    assert "geheim" not in str(caught.value)


def test_host_keys_are_always_checked() -> None:
    command = Login("host", "pi", 2222).command("true")
    assert "StrictHostKeyChecking=yes" in command
    assert command[-3:] == ["--", "host", "true"]
    accepting = Login("host", accept_new_host_key=True).command("true")
    assert "StrictHostKeyChecking=accept-new" in accepting
    assert not any("StrictHostKeyChecking=no" in word for word in [*command, *accepting])


def test_an_unattended_login_asks_nothing_even_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    assert "BatchMode=yes" in Login("host", is_unattended=True).command("true")
    assert "BatchMode=yes" not in Login("host").command("true")


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("ssh: Could not resolve hostname pi.local: Name or service not known", 255, "names in .local need mDNS"),
        ("ssh: connect to host pi.local port 22: Connection refused", 255, "is its SSH server on"),
        ("ssh: connect to host pi.local port 22: Connection timed out", 255, "it cannot be reached: is it on"),
        ("ssh: connect to host pi.local port 22: No route to host", 255, "it cannot be reached"),
        ("bash: line 1: python3: command not found", 127, "there is no python3 on the board; install it there"),
        ("Connection to pi.local closed by remote host.", 255, "the connection ended"),
        ("pi@pi.local: Permission denied (publickey,password).", 255, "refused; it takes publickey or password"),
    ],
)
def test_failures_say_what_to_do(line: str, status: int, says: str) -> None:
    error = explain(Login("pi.local", "pi"), ["Authenticated to nobody", line], NAME, status)
    assert says in str(error)
    assert str(error).startswith(f"{NAME}: ")
    assert error.exit_code == 3


def test_types_of_failures() -> None:
    assert isinstance(explain(Login("h", "pi"), ["pi@h: Permission denied (publickey)."], NAME, 255), LoginError)
    changed = [
        "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
        "The fingerprint for the ED25519 key sent by the remote host is",
        "SHA256:o1RoNznPbkMk7iEf9XWYuE/uUp0629vS/hBugm0M+lM.",
        "Offending ED25519 key in /home/me/.ssh/known hosts:7",
        "Host key for [192.0.2.7]:2222 has changed and you have requested strict checking.",
    ]
    error = explain(Login("192.0.2.7", "pi", 2222), changed, NAME, 255)
    assert isinstance(error, HostKeyError)
    assert "ssh-keygen -f '/home/me/.ssh/known hosts' -R '[192.0.2.7]:2222'" in str(error)
    assert "SHA256:o1RoNznPbkMk7iEf9XWYuE/uUp0629vS/hBugm0M+lM" in str(error)


def test_the_client_says_how_it_logged_in() -> None:
    assert has_used_password(['Authenticated to h ([192.0.2.7]:22) using "password".'])
    assert not has_used_password(['Authenticated to h ([192.0.2.7]:22) using "publickey".'])
