"""The page of an app on a board, here: a port of this computer that the OpenSSH client leads there."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from typing import IO

from edgert.devices.names import Device
from edgert.devices.silence import read_limits
from edgert.devices.ssh_login import parse_login
from edgert.devices.ssh_words import explain
from edgert.errors import DeviceError, UsageError

__all__ = ["Tunnel"]

_POLL_S = 0.1
_ASK_S = 5.0
_END_S = 3.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Tunnel:
    """A tunnel that stands until it is closed. Close it, or use it as a context manager.

    Attributes:
        port: of this computer, on 127.0.0.1.
    """

    def __init__(self, device: Device, remote_port: int, port: int | None = None) -> None:
        """Opens it, and waits until the page answers.

        Args:
            device: a Linux board.
            remote_port: of the page, on the board's 127.0.0.1.
            port: of this computer; None: the same number, or a free one where that is taken.

        Raises:
            UsageError: the port is taken.
            DeviceError: the board cannot be reached, or the page does not answer.
        """
        self.port = _free_port(remote_port, port)
        self._device, self._login = device, parse_login(device.url)
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the tunnel
        self._child = subprocess.Popen(
            self._login.tunnel_command(self.port, remote_port),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
        )
        try:
            self._await_page()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Where a browser on this computer finds the page."""
        return f"http://127.0.0.1:{self.port}/"

    def wait(self) -> None:
        """Returns when the connection has ended.

        Raises:
            DeviceError: always, with the reason.
        """
        status = self._child.wait()
        raise explain(self._login, self._said(), self._device.name, status)

    def close(self) -> None:
        """Ends it; safe to call twice."""
        self._child.terminate()
        try:
            self._child.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._errors.close()

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _await_page(self) -> None:
        deadline_s = time.monotonic() + read_limits().start_s
        while time.monotonic() < deadline_s:
            if self._child.poll() is not None:
                raise explain(self._login, self._said(), self._device.name, self._child.returncode)
            if _answers(self.url):
                return
            time.sleep(_POLL_S)
        raise DeviceError(f"{self._device.name}: the page does not answer; edgert logs --device {self._device.name}")

    def _said(self) -> list[str]:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").splitlines()


def _answers(url: str) -> bool:
    """Whether something there speaks HTTP; an app without frames answers 503, and its page says why."""
    try:
        with _DIRECT.open(f"{url}healthz", timeout=_ASK_S):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _free_port(wanted: int, port: int | None) -> int:
    for number in (port,) if port is not None else (wanted, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", number))
            found: int = probe.getsockname()[1]
            return found
    raise UsageError(f"--port {port} is taken on this computer; choose another, or leave it out")
