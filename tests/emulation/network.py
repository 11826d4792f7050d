"""The link between this machine and one emulated board, and what may happen to it.

The board's end is `eth0` in a network namespace of its own; addresses are of 198.18.0.0/15, which RFC 2544 sets aside
for tests. A link that is down is silent: frames vanish in both directions and nobody is told.
"""

from __future__ import annotations

import ipaddress
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.emulation.remains import namespace

_NETWORK = ipaddress.ip_network("198.18.0.0/15")
_SHIM = Path(__file__).with_name("shim.py")


class Link:
    """The link of board `number`; its methods are the faults, `close` removes it."""

    def __init__(self, number: int) -> None:
        first = _NETWORK.network_address + 4 * number
        self.laptop_address = str(first + 1)
        self.address = str(first + 2)
        self._device = f"edgert{number}"
        self._namespace = namespace(number)
        self._shim: subprocess.Popen[bytes] | None = None
        _ip("netns", "add", self._namespace)
        _ip("-n", self._namespace, "link", "set", "lo", "up")
        self._connect()

    def down(self) -> None:
        """Loses every frame from now on, without a sign to either end."""
        for chain in ("INPUT", "OUTPUT"):
            self._iptables("--insert", chain, "1", "--jump", "DROP", "--match", "comment", "--comment", "down")

    def up(self) -> None:
        """Ends `down`; without it, does nothing."""
        for chain in ("INPUT", "OUTPUT"):
            rule = [chain, "--jump", "DROP", "--match", "comment", "--comment", "down"]
            if self._iptables("--check", *rule, check=False) == 0:
                self._iptables("--delete", *rule)

    def unplug(self) -> None:
        """Takes the carrier away, which both ends see; `plug` ends it."""
        _ip("-n", self._namespace, "link", "set", "eth0", "down")

    def plug(self) -> None:
        _ip("-n", self._namespace, "link", "set", "eth0", "up")

    @contextmanager
    def flapping(self, up_s: float, down_s: float) -> Iterator[None]:
        """Inside the block, the link is up for `up_s` seconds, then down for `down_s`, and so on; it ends up."""
        stop = threading.Event()

        def flap() -> None:
            while not stop.wait(up_s):
                self.down()
                stop.wait(down_s)
                self.up()

        thread = threading.Thread(target=flap)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def limit_rate(self, bits_per_s: int) -> None:
        """Lets at most so many bits per second through in each direction, from now on."""
        shape = ["root", "tbf", "rate", f"{bits_per_s}bit", "burst", "16kb", "latency", "400ms"]
        _run("tc", "qdisc", "replace", "dev", self._device, *shape)
        _run("tc", "-n", self._namespace, "qdisc", "replace", "dev", "eth0", *shape)

    def lose(self, share: float) -> None:
        """Loses a random share of packets in each direction, from now on."""
        random = ["--match", "statistic", "--mode", "random", "--probability", str(share)]
        for chain in ("INPUT", "OUTPUT"):
            self._iptables("--append", chain, *random, "--jump", "DROP")

    def lost(self) -> int:
        """Returns how many packets `lose` has lost since it was called."""
        command = ["ip", "netns", "exec", self._namespace, "iptables", "--list", "--verbose", "--exact", "--numeric"]
        counted = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return sum(int(line.split()[0]) for line in counted.splitlines() if "statistic" in line)

    def delay(self, delay_ms: float, *, jitter_ms: float = 0.0, loss: float = 0.0) -> None:
        """Delays every frame by `delay_ms` in each direction and loses a share of them; open connections stay."""
        self._disconnect()
        ends = (self._device, f"{self.laptop_address}/30", self._namespace, "eth0", f"{self.address}/30")
        command = [sys.executable, str(_SHIM), *ends, str(delay_ms), str(jitter_ms), str(loss)]
        self._shim = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._shim.stdout is not None
        if self._shim.stdout.readline() != b"ready\n":
            raise AssertionError("the shim did not start")

    def restore(self) -> None:
        """Ends all faults."""
        self._iptables("--flush")
        self.plug()
        if self._shim is not None:
            self._disconnect()
            self._connect()
        for words in (["dev", self._device], ["dev", "eth0"]):
            prefix = ["-n", self._namespace] if words[1] == "eth0" else []
            subprocess.run(["tc", *prefix, "qdisc", "delete", *words, "root"], check=False, stderr=subprocess.DEVNULL)

    def close(self) -> None:
        """Removes the link; the namespace goes with the board."""
        self._disconnect()

    def _connect(self) -> None:
        _ip("link", "add", self._device, "type", "veth", "peer", "name", "eth0", "netns", self._namespace)
        _ip("address", "add", f"{self.laptop_address}/30", "dev", self._device)
        _ip("-n", self._namespace, "address", "add", f"{self.address}/30", "dev", "eth0")
        _ip("link", "set", self._device, "up")
        _ip("-n", self._namespace, "link", "set", "eth0", "up")

    def _disconnect(self) -> None:
        """Removes the devices; a TAP device goes with the process that holds it."""
        if self._shim is None:
            _ip("link", "delete", self._device)
            return
        self._shim.communicate()
        self._shim = None

    def _iptables(self, *words: str, check: bool = True) -> int:
        command = ["ip", "netns", "exec", self._namespace, "iptables", "--wait", *words]
        return subprocess.run(command, check=check, stderr=None if check else subprocess.DEVNULL).returncode


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str) -> None:
    subprocess.run(words, check=True)
