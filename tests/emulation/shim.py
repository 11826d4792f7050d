"""A link with delay, jitter and loss to a board: two TAP devices and a process that passes frames between them.

The kernel's own `tc netem` does the same where it is built in; in many containers and small machines it is not.

    python shim.py LAPTOP_DEVICE LAPTOP_ADDRESS NAMESPACE BOARD_DEVICE BOARD_ADDRESS DELAY_MS JITTER_MS LOSS

Addresses carry their prefix length; LOSS is a share of frames in each direction. Prints `ready` when both devices are
up. The frames that are lost are the same in each run (seed 1). Ends with its standard input.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 2, 0x1000
_FRAME = 65536


class Shim:
    """Passes frames between two open TAP devices; those under way wait in a heap by the time at which they arrive."""

    def __init__(self, ends: tuple[int, int], delay_s: float, jitter_s: float, loss: float) -> None:
        self._other = {ends[0]: ends[1], ends[1]: ends[0]}
        self._delay_s = delay_s
        self._jitter_s = jitter_s
        self._loss = loss
        self._random = random.Random(1)
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._count = 0

    def run(self) -> None:
        """Passes frames until standard input ends."""
        while True:
            wait_s = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None
            ready, _, _ = select.select([*self._other, 0], [], [], wait_s)
            if 0 in ready:
                return
            for end in ready:
                self._take(end)
            self._deliver()

    def _take(self, end: int) -> None:
        while True:
            try:
                frame = os.read(end, _FRAME)
            except BlockingIOError:
                return
            if self._random.random() < self._loss:
                continue
            self._count += 1
            arrival_s = time.monotonic() + self._delay_s + self._random.uniform(-self._jitter_s, self._jitter_s)
            heapq.heappush(self._waiting, (arrival_s, self._count, self._other[end], frame))

    def _deliver(self) -> None:
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _, _, end, frame = heapq.heappop(self._waiting)
            with contextlib.suppress(OSError):  # device down or its queue full: the frame is lost, as on a wire
                os.write(end, frame)


def open_tap(device: str, address: str) -> int:
    """Returns the descriptor of a new TAP device of this network namespace that is up and has the address."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TAP | _IFF_NO_PI))
    subprocess.run(["ip", "address", "add", address, "dev", device], check=True)
    subprocess.run(["ip", "link", "set", device, "up"], check=True)
    return descriptor


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def main() -> None:
    laptop_device, laptop_address, namespace, board_device, board_address, *figures = sys.argv[1:]
    delay_ms, jitter_ms, loss = map(float, figures)
    laptop = open_tap(laptop_device, laptop_address)
    with Path("/proc/self/ns/net").open() as own, Path("/run/netns", namespace).open() as other:
        _enter(other.fileno())
        board = open_tap(board_device, board_address)
        _enter(own.fileno())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    Shim((laptop, board), delay_ms / 1000, jitter_ms / 1000, loss).run()


if __name__ == "__main__":
    main()
