"""The board's side of `edgert selftest`: `python -m edgert.profiler.card_worker`, a worker with a few more calls.

Nothing here needs root, and nothing is touched but processes of edgert and files that edgert brought to the board.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import platform
import re
import signal
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edgert.codec import to_plain
from edgert.errors import UsageError
from edgert.profiler.card import Machine, Surroundings
from edgert.profiler.device_facts import read_device
from edgert.profiler.system_files import read_text
from edgert.runtime.wire import Message
from edgert.runtime.worker import SessionHandlers, serve_stdio

__all__ = ["main", "private_words", "read_surroundings"]

_ROOT = Path("/")
_OWN_FILE = re.compile(r".*/edgert/(files/[0-9a-f]{64}/[^/]+|incoming/[0-9a-f]{64})")
_EMULATED_TREES = ("linux,dummy-virt", "QEMU")
_HARNESS_MARK = "run/fakeboard"
_ELF_NAMES = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
"""e_machine of a program. Source: System V ABI, ELF header."""
_NATIVE = {"x86_64": (62, 3), "aarch64": (183, 40), "i686": (3,), "armv7l": (40,), "riscv64": (243,)}
"""uname -m -> programs that it runs by itself: a 64-bit kernel may have 32-bit programs above it."""
_SERIALS = ("proc/device-tree/serial-number", "etc/machine-id", "sys/class/dmi/id/product_serial")
_LOOKED_AT = (
    "the program file of the parent process (another processor's: user-mode emulation)",
    "/proc/cpuinfo (QEMU, hypervisor)",
    "/sys/class/dmi/id and /proc/device-tree/model (QEMU)",
    "/sys/firmware/qemu_fw_cfg",
    f"/{_HARNESS_MARK} (the mark of edgert's own emulated boards)",
)


def read_surroundings(root: Path = _ROOT, machine: str | None = None) -> Surroundings:
    """Returns signs of an emulator or a virtual machine; `machine` is what uname says."""
    emulated = tuple(_emulator_signs(root, machine or platform.machine()))
    virtual = tuple(_virtual_signs(root))
    kind = Machine.EMULATED if emulated else Machine.VIRTUAL if virtual else Machine.HARDWARE
    return Surroundings(kind, (*emulated, *virtual), _LOOKED_AT)


def private_words(root: Path = _ROOT) -> list[str]:
    """Returns words that must stand in no card: names of host and user, serial numbers, hardware addresses."""
    serials = [read_text(root / path) for path in _SERIALS]
    cpuinfo = read_text(root / "proc/cpuinfo") or ""
    serials += re.findall(r"^Serial\s*:\s*(\S+)", cpuinfo, re.MULTILINE)
    addresses = [read_text(path) for path in sorted((root / "sys/class/net").glob("*/address"))]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user number without a name
        user = ""
    return sorted({word for word in (platform.node(), user, *serials, *addresses) if word})


class CardHandlers(SessionHandlers):
    """A worker's calls, and those of the self-test."""

    def table(self) -> dict[str, Callable[[Message], Message]]:
        """The calls this object answers."""
        more = {
            "here": self.here,
            "linger": self.linger,
            "kill": self.kill,
            "digest": self.digest,
            "existing": self.existing,
            "remove": self.remove,
        }
        return {**SessionHandlers.table(self), **more}

    def here(self, _: Message) -> Message:
        """Returns this process, the device, the signs of an emulator, and what must stand in no card."""
        return Message(
            {
                "pid": os.getpid(),
                "tmp": tempfile.gettempdir(),
                "python": platform.python_version(),
                "device": to_plain(read_device()),
                "surroundings": to_plain(read_surroundings()),
                "private": private_words(),
            }
        )

    def linger(self, request: Message) -> Message:
        """Runs the loaded model again and again for `seconds`: something to be killed in the middle of."""
        deadline_s = time.monotonic() + float(request.body["seconds"])
        while time.monotonic() < deadline_s:
            self.run(request)
        return Message({})

    def kill(self, request: Message) -> Message:
        """Kills another worker of this self-test, as the kernel does when memory runs out."""
        pid = int(request.body["pid"])
        if not _is_own_worker(pid):
            raise UsageError(f"process {pid} is no worker of this self-test")
        os.kill(pid, signal.SIGKILL)
        return Message({})

    def digest(self, request: Message) -> Message:
        """Returns the SHA-256 of a file."""
        return Message({"sha256": hashlib.sha256(Path(request.body["path"]).read_bytes()).hexdigest()})

    def existing(self, request: Message) -> Message:
        """Returns those of the paths that exist."""
        return Message({"paths": [path for path in request.body["paths"] if os.path.lexists(path)]})

    def remove(self, request: Message) -> Message:
        """Removes files that the self-test brought; nothing outside edgert's own folder."""
        for word in request.body["paths"]:
            if _OWN_FILE.fullmatch(word) is None:
                raise UsageError(f"{word!r} is no file that edgert brought to this board")
            path = Path(word)
            path.unlink(missing_ok=True)
            if path.parent.name != "incoming":
                with contextlib.suppress(OSError):  # another name of the same content
                    path.parent.rmdir()
        return Message({})


def main() -> int:
    """Runs the worker."""
    return serve_stdio(CardHandlers().table())


def _is_own_worker(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"edgert.profiler.card_worker" in words and pid != os.getpid()


def _emulator_signs(root: Path, machine: str) -> Iterator[str]:
    foreign = _foreign_parent(machine)
    if foreign is not None:
        yield foreign
    if "QEMU" in (read_text(root / "proc/cpuinfo") or ""):
        yield "/proc/cpuinfo names QEMU"
    for path in ("proc/device-tree/model", "sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name"):
        text = read_text(root / path) or ""
        if any(sign in text for sign in _EMULATED_TREES):
            yield f"/{path} is {text!r}"
    for path in ("sys/firmware/qemu_fw_cfg", _HARNESS_MARK):
        if (root / path).exists():
            yield f"/{path} is there"


def _foreign_parent(machine: str) -> str | None:
    """QEMU in user mode hides itself from a process that looks at itself, not from its children."""
    try:
        with open(f"/proc/{os.getppid()}/exe", "rb") as stream:
            head = stream.read(20)
    except OSError:
        return None
    if len(head) < 20 or not head.startswith(b"\x7fELF") or machine not in _NATIVE:
        return None
    found = struct.unpack_from("<H" if head[5] == 1 else ">H", head, 18)[0]
    if found in _NATIVE[machine]:
        return None
    return f"the parent process runs a program for {_ELF_NAMES.get(found, f'ELF machine {found}')} on {machine}"


def _virtual_signs(root: Path) -> Iterator[str]:
    flags = re.search(r"^flags\s*:(.*)$", read_text(root / "proc/cpuinfo") or "", re.MULTILINE)
    if flags is not None and "hypervisor" in flags[1].split():
        yield "/proc/cpuinfo has the flag hypervisor: a virtual machine"
    kind = read_text(root / "sys/hypervisor/type")
    if kind:
        yield f"/sys/hypervisor/type is {kind!r}"


if __name__ == "__main__":
    raise SystemExit(main())
