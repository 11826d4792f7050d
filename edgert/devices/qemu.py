"""Boards in QEMU: an emulator per connection, with a serial line and a clock that counts instructions."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from edgert.devices.stream import SocketStream
from edgert.errors import DeviceError, MissingToolError
from edgert.target import Target, get_target, list_targets

__all__ = ["Emulator", "emulated_target"]

PROGRAM = "qemu-system-arm"
_START_S = 10.0
_POLL_S = 0.02


class Emulator:
    """A machine that runs an ELF file until it is closed; its UART is `stream`."""

    def __init__(self, machine: str, elf: Path, options: Sequence[str] = ()) -> None:
        """Starts the emulator, with further `options` of its command line.

        Raises:
            MissingToolError: QEMU is not installed.
            DeviceError: it does not start; its last words are in the text.
        """
        program = shutil.which(PROGRAM)
        if program is None:
            raise MissingToolError(PROGRAM, "qemu-system-arm", "an emulated board")
        self._folder = tempfile.mkdtemp(prefix="edgert-qemu-")
        self.stream: SocketStream | None = None
        server, arguments = _listen(Path(self._folder) / "uart")
        command = [program, "-M", machine, "-display", "none", "-monitor", "none", "-icount", "shift=0"]
        command += ["-chardev", f"socket,id=uart,{arguments}", "-serial", "chardev:uart", "-kernel", str(elf)]
        command += options
        try:
            # its own session: Ctrl-C reaches this process only, which then ends the emulator
            self._process = subprocess.Popen(
                [*_keeper(), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self.stream = SocketStream(self._accept(server, machine), f"qemu:{machine}")
        except BaseException:
            self.close()
            raise
        finally:
            server.close()

    @property
    def running_stream(self) -> SocketStream:
        """The line; only while the emulator runs."""
        if self.stream is None:
            raise ValueError("this emulator was closed")
        return self.stream

    @property
    def pid(self) -> int:
        """The emulator's process."""
        return self._process.pid

    def close(self) -> None:
        """Ends the emulator; safe to call twice."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None
        process = getattr(self, "_process", None)
        if process is not None:
            process.kill()
            process.wait()
            process.stderr.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self, server: socket.socket, machine: str) -> socket.socket:
        deadline = time.monotonic() + _START_S
        server.settimeout(_POLL_S)
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(TimeoutError):
                return server.accept()[0]
        ended = self._process.poll() is not None
        said = self._process.stderr.read().decode(errors="replace").strip() if ended and self._process.stderr else ""
        raise DeviceError(f"qemu:{machine} does not start ({said[:300] or 'no reason given'})")


def emulated_target(machine: str) -> Target:
    """Returns the target that `qemu:NAME` is, by its name or its machine's.

    Raises:
        DeviceError: no target is that machine; those that are get listed.
    """
    known: dict[str, str] = {}
    for name in list_targets():
        board = get_target(name).microcontroller
        if board is not None and board.qemu_machine is not None:
            known[board.qemu_machine] = name
    if machine in known.values():
        return get_target(machine)
    if machine not in known:
        raise DeviceError(f"no emulated board 'qemu:{machine}'; known: {', '.join(f'qemu:{name}' for name in known)}")
    return get_target(known[machine])


def _keeper() -> list[str]:
    """What kills a command when this process is killed and can end nothing; only Linux has it, busybox has it not."""
    program = shutil.which("setpriv")
    is_whole = program is not None and Path(program).resolve().name == "setpriv"
    return [program, "--pdeathsig", "KILL", "--"] if program and is_whole else []


def _listen(path: Path) -> tuple[socket.socket, str]:
    """A listening socket and the words that make QEMU connect to it: Unix, or TCP where there is none."""
    if hasattr(socket, "AF_UNIX"):
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen(1)
        return server, f"path={path}"
    server = socket.create_server(("127.0.0.1", 0))
    return server, f"host=127.0.0.1,port={server.getsockname()[1]},nodelay=on"
