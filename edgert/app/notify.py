"""systemd's readiness and watchdog messages over $NOTIFY_SOCKET; nothing happens where systemd asks for none.

Source: sd_notify(3), systemd 252: datagrams of NAME=value lines; a name that starts with @ is an abstract socket.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

__all__ = ["Notifier"]


class Notifier:
    """Speaks for a loop: `alive` is called by every round of it, so a loop that hangs falls silent and is restarted."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        self._socket: socket.socket | None = None
        if self._address and hasattr(socket, "AF_UNIX"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._every_s = _watchdog_s(environment) / 4
        self._next_s = 0.0

    @property
    def is_watched(self) -> bool:
        """Whether systemd restarts the process when `alive` is not called."""
        return self._socket is not None and self._every_s > 0

    def ready(self) -> None:
        """The service is up."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The service ends as it should; frees the socket."""
        self._send("STOPPING=1")
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def status(self, text: str) -> None:
        """One line that `systemctl status` shows."""
        self._send("STATUS=" + " ".join(text.split()))

    def alive(self) -> None:
        """One round of the loop is done; sent four times in the watchdog's interval at most."""
        now_s = time.monotonic()
        if self.is_watched and now_s >= self._next_s:
            self._next_s = now_s + self._every_s
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # systemd restarts itself now and then; the app goes on
                self._socket.sendto(text.encode(), self._address)


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """Seconds of WATCHDOG_USEC where it is meant for this process, else 0."""
    meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if meant and microseconds.isdigit() else 0.0
