"""One connection to a Linux board: the OpenSSH client as a child, frames over its stdin and stdout.

Every wait has a deadline that holds when the link goes silent: the board answers a heartbeat every few seconds, and
without any byte for as long as edgert.devices.silence says, the client is ended and LinkLostError raised wherever
somebody waits. What the board does then is in edgert.onboard.server: it ends what it started, and keeps what was
uploaded.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, cast

from edgert.codec import JsonValue
from edgert.devices.board_part import board_part, bootstrap_text
from edgert.devices.link_channel import LinkChannel
from edgert.devices.silence import read_limits
from edgert.devices.ssh_login import Login
from edgert.devices.ssh_words import UnreachableError, add_remedy, explain, has_used_password
from edgert.errors import DeviceError
from edgert.onboard.frames import Frame, FrameError, Kind, read_frame, write_frame

__all__ = ["Link", "LinkLostError"]

_POLL_S = 0.2
_START_WITH_TERMINAL_S = 300.0  # somebody may have to look up a password
_LAST_LINES = 60
_END_S = 3.0
_TERMINATED_S = 1.0


class LinkLostError(DeviceError):
    """The connection ended or fell silent; what was asked for may or may not have happened."""


class Link:
    """A connection. Close it, or use it as a context manager."""

    def __init__(self, login: Login, name: str) -> None:
        """Logs in, brings edgert's board part where it is missing, and waits until it answers.

        Raises:
            DeviceError: the board cannot be reached, refuses, or has no Python that will do.
        """
        self.name = name
        self._login = login
        self._limits = read_limits()
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._sending = threading.Lock()
        self.lock = threading.Condition()
        self._channels: dict[int, LinkChannel] = {}
        self._last_channel = 0
        self._failure: DeviceError | None = None
        self._is_closed = False
        part = board_part()
        words = [bootstrap_text(), part.sha256, str(len(part.packed)), f"{self._limits.board_silence_s:g}"]
        remote = f"python3 -I -c {shlex.join(words)}"
        try:
            self._child = subprocess.Popen(
                login.command(remote),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=login.is_unattended,  # out of reach of the terminal's Ctrl-C
            )
        except OSError as error:
            raise DeviceError(f"{name}: ssh cannot be started ({error.strerror or error})") from error
        self._input = cast("BinaryIO", self._child.stdin)
        self._output = cast("BinaryIO", self._child.stdout)
        self._errors = threading.Thread(target=self._keep_lines, daemon=True)
        self._errors.start()
        try:
            self._begin(part.packed)
        except BaseException:
            self.close()
            self._output.close()
            raise
        self._heard_s = time.monotonic()
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    @property
    def used_password(self) -> bool:
        """True where the login needed a password."""
        return has_used_password(list(self._lines))

    def request(self, call: str, timeout_s: float, body: Mapping[str, JsonValue] | None = None) -> dict[str, Any]:
        """Asks the board for something and returns its answer. Any: JSON values.

        Raises:
            LinkLostError: the connection ended or fell silent.
            DeviceError: the board refuses, or takes longer than `timeout_s`.
        """
        with self.open_channel() as channel:
            return channel.request(call, timeout_s, body)

    def open_channel(self) -> LinkChannel:
        """Returns a new channel."""
        with self.lock:
            self._last_channel += 1
            channel = LinkChannel(self, self._last_channel)
            self._channels[self._last_channel] = channel
        return channel

    def send(self, frame: Frame) -> None:
        """Sends a frame.

        Raises:
            LinkLostError: the connection has ended.
        """
        self.check()
        try:
            with self._sending:
                write_frame(self._input, frame)
        except (OSError, ValueError) as error:
            self._fail(self._ended())
            raise self.lost() from error

    def check(self) -> None:
        """Raises LinkLostError where the connection has ended or is silent."""
        silence_s = self._limits.silence_s
        if self._failure is None and time.monotonic() - self._heard_s > silence_s:
            self._fail(LinkLostError(f"{self.name}: no answer for {silence_s:g} s; is it on, is the network up?"))
        if self._failure is not None:
            raise self.lost()

    def lost(self) -> DeviceError:
        """Returns a new error that says why the connection is no more."""
        return LinkLostError(str(self._failure))

    def await_change(self, is_done: Callable[[], bool], timeout_s: float | None, what: str) -> None:
        """Waits until `is_done`.

        Raises:
            LinkLostError: the connection ended or fell silent.
            DeviceError: it takes longer than `timeout_s`.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self.lock:
            while not is_done():
                self.check()
                if deadline_s is not None and time.monotonic() > deadline_s:
                    raise DeviceError(f"{self.name}: {what} did not finish within {timeout_s:g} s")
                self.lock.wait(_POLL_S)

    def forget(self, channel: int) -> None:
        """Takes no more frames for a channel."""
        with self.lock:
            self._channels.pop(channel, None)

    def close(self) -> None:
        """Ends the connection and with it everything on the board; safe to call twice."""
        self._is_closed = True
        with contextlib.suppress(OSError, ValueError):
            if self._sending.acquire(timeout=0.1):  # a writer may be stuck on a silent link
                try:
                    self._input.close()
                finally:
                    self._sending.release()
        try:
            self._child.wait(_END_S if self._failure is None else 0.0)
        except subprocess.TimeoutExpired:
            self._end_client()
        self._errors.join(1.0)
        self._fail(LinkLostError(f"{self.name}: the connection was closed"))

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, part: bytes) -> None:
        limit_s = self._limits.start_s
        first_s = max(limit_s, _START_WITH_TERMINAL_S) if sys.stdin.isatty() else limit_s
        said = self._read_line(first_s)
        if "need" in said:
            threading.Thread(target=self._send_part, args=(part,), daemon=True).start()
            while "need" in said or "left" in said:
                said = self._read_line(limit_s)
        if "too_old" in said:
            raise DeviceError(f"{self.name}: {_too_old(said)}")
        if "error" in said:
            text = add_remedy(str(said["error"]))
            raise DeviceError(f"{self.name}: edgert cannot be brought to the board: {text}")

    def _end_client(self) -> None:
        """Ends the client: on SIGTERM it ends the programs of its ProxyJump or ProxyCommand as well."""
        self._child.terminate()
        try:
            self._child.wait(_TERMINATED_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _send_part(self, part: bytes) -> None:
        with contextlib.suppress(OSError), self._sending:  # whoever reads hears of it
            self._input.write(part)
            self._input.flush()

    def _read_line(self, limit_s: float) -> dict[str, Any]:
        """Returns the next thing that the board says before frames begin; with the limit, the client ends."""
        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()
            self._end_client()

        watchdog = threading.Timer(limit_s, give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            while line := self._output.readline(1 << 16):
                if line.startswith(b"edgert:"):
                    found: dict[str, Any] = json.loads(line[len(b"edgert:") :])
                    return found
        finally:
            watchdog.cancel()
        if is_late.is_set():
            raise UnreachableError(f"{self.name}: no answer for {limit_s:g} s; is it on, is the network up?")
        raise self._ended()

    def _ended(self) -> DeviceError:
        try:
            status = self._child.wait(_END_S)
        except subprocess.TimeoutExpired:
            status = None
        self._errors.join(1.0)
        return explain(self._login, list(self._lines), self.name, status)

    def _fail(self, error: DeviceError) -> None:
        with self.lock:
            if self._failure is None:
                self._failure = error
            self.lock.notify_all()
        if self._child.poll() is None:
            self._end_client()

    def _listen(self) -> None:
        try:
            with self._output:
                while (frame := read_frame(self._output)) is not None:
                    self._heard_s = time.monotonic()
                    with self.lock:
                        channel = self._channels.get(frame.channel)
                        if channel is not None:
                            channel.take(frame)
                        self.lock.notify_all()
        except (FrameError, OSError, ValueError) as error:
            self._fail(LinkLostError(f"{self.name}: the connection broke ({error})"))
        if not self._is_closed:
            self._fail(self._ended())

    def _beat(self) -> None:
        while self._failure is None:
            with contextlib.suppress(DeviceError):
                self.check()
            if self._sending.acquire(blocking=False):  # else something is under way, which is as good
                try:
                    write_frame(self._input, Frame(Kind.BEAT))
                except (OSError, ValueError):
                    return  # the listener tells why
                finally:
                    self._sending.release()
            time.sleep(self._limits.beat_s)

    def _keep_lines(self) -> None:
        with cast("BinaryIO", self._child.stderr) as lines:
            for line in lines:
                self._lines.append(line.decode(errors="replace").rstrip())


def _too_old(said: Mapping[str, JsonValue]) -> str:
    """What can be done about a board whose Python is below the floor."""
    where = said.get("board") or "this board"
    system = said.get("jetson_release") or said.get("system") or "its system"
    return (
        f"{where} has Python {said['too_old']} ({system}); edgert needs 3.10 or newer on a board. Possible: a newer "
        "system (JetPack 6, Raspberry Pi OS 12), a python3.10 or newer in PATH beside the old one, or files for its "
        "own engines: edgert unpack BUNDLE takes the .onnx and .tflite out. Nothing was set up"
    )
