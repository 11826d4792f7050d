"""Apps as systemd services of a booted machine: started, watched, limited, up after a reboot, gone without a trace.

The app is a stand-in of some forty lines (stand_in.py); the services, systemd and the kernel are real.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgert.devices.board_part import board_part
from tests.emulation.capability import why_no_machine
from tests.emulation.laptop import Laptop
from tests.emulation.machine import Machine
from tests.emulation.rootfs import BuildError
from tests.emulation.waiting import wait_for

pytestmark = pytest.mark.slow  # a machine takes minutes to start where its computer is busy
FIRST, SECOND = "1" * 16, "2" * 16
PATIENCE_S = 900.0
UNITS = "/home/pi/.config/systemd/user"
# what an administrator of a company's boards may have written
NO_LINGER = """polkit.addRule(function(action) {
    if (action.id == "org.freedesktop.login1.set-self-linger") return polkit.Result.NO;
});
"""
_SHA = board_part().sha256


class Pi:
    """A user's login at the machine, kept open, and what serves a laptop there."""

    def __init__(self, machine: Machine, laptop: Laptop) -> None:
        self.machine, self._laptop = machine, laptop
        control = f"Host *\n  ControlMaster auto\n  ControlPath {laptop.home}/control\n  ControlPersist 900\n"
        laptop.write_config(f"{control}  LogLevel ERROR\n")
        laptop.trust(machine)

    def run(self, command: str) -> str:
        """Runs a shell command as pi; returns its output.

        Raises:
            AssertionError: its exit status is not 0.
        """
        done = self._laptop.ssh(self.machine, command, timeout_s=PATIENCE_S)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def log_out(self) -> None:
        """Ends the login."""
        subprocess.run(["ssh", "-O", "exit", self.machine.url], check=False, capture_output=True, env=self._laptop.env)

    def install_code(self) -> None:
        """Brings edgert's board part and the stand-in."""
        part = self._laptop.home / "part.zip"
        part.write_bytes(board_part().data)
        stand_in = Path(__file__).with_name("stand_in.py")
        with subprocess.Popen(
            ["ssh", self.machine.url, "cat >part.zip"], stdin=subprocess.PIPE, env=self._laptop.env
        ) as copying:
            copying.communicate(board_part().data, timeout=PATIENCE_S)
        with subprocess.Popen(
            ["ssh", self.machine.url, "cat >stand_in.py"], stdin=subprocess.PIPE, env=self._laptop.env
        ) as copying:
            copying.communicate(stand_in.read_bytes(), timeout=PATIENCE_S)
        self.run(f"python3 -m zipfile -e part.zip .local/share/edgert/code/{_SHA} && rm part.zip")

    def call(self, call: str, name: str, *words: str) -> Any:  # Any: JSON values
        """What stand_in.py gives."""
        base = "/home/pi/.local/share/edgert"
        own = f"PYTHONPATH={base}/code/{_SHA} python3 stand_in.py {base}"
        return json.loads(self.run(" ".join([own, call, name, *words])))

    def start(self, name: str, release: str = FIRST) -> dict[str, Any]:  # Any: JSON values
        """Places a release, starts it, waits until it is ready; returns the service's status."""
        self.call("place", name, release)
        self.call("restart", name)
        self.await_active(name)
        status: dict[str, Any] = self.call("status", name)
        assert status["is_ready"], status
        return status

    def await_active(self, name: str, restarts: int = 0) -> None:
        """Waits until it is ready, after so many restarts by itself."""
        show = f"systemctl --user show edgert-{name} --property=ActiveState --property=NRestarts"
        words = f"ActiveState=active NRestarts={restarts}"
        self.run(f'until [ "$(echo $({show} | sort))" = "{words}" ]; do sleep 1; done')

    def tell(self, name: str, signal: str) -> None:
        """Sends a signal to the app."""
        self.run(f"systemctl --user kill --kill-whom=main --signal={signal} edgert-{name}")


@pytest.fixture(scope="session")
def machines(emulation: None) -> None:
    """Skips where machines cannot be started."""
    reason = why_no_machine()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def start_machine(machines: None, laptop_key: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pi]:
    """Starts a machine with edgert's code on it; takes Machine's arguments."""

    def start(machine: Machine) -> Pi:
        pi = Pi(machine, Laptop(tmp_path_factory.mktemp("home"), laptop_key))
        pi.install_code()
        return pi

    return start


@pytest.fixture(scope="module")
def pi(start_machine: Callable[..., Pi], laptop_key: Path) -> Iterator[Pi]:
    """One machine for the module, whose user lingers; tests leave it as it was."""
    try:
        with Machine(authorized_key=laptop_key.with_suffix(".pub").read_text()) as machine:
            pi = start_machine(machine)
            assert pi.call("linger", "any") is None, "polkit lets a user switch lingering on"
            yield pi
            pi.log_out()
    except BuildError as error:
        pytest.skip(f"no disk for an emulated machine: {error}")


def test_an_app_is_started_ready_and_shut_in(pi: Pi) -> None:
    pi.machine.shell("mknod -m 660 /dev/edgert-camera c 1 3; chgrp video /dev/edgert-camera; touch /tmp/of-another")
    status = pi.start("shut-in")
    assert (status["kind"], status["is_active"], status["release"], status["restarts"]) == ("systemd", True, FIRST, 0)
    assert (status["starts_at_boot"], status["starts_at_boot_reason"]) == (True, None)
    found = pi.call("health", "shut-in")
    assert (found["pid"], found["release"]) == (status["pid"], FIRST)
    assert (found["no_new_privileges"], found["seccomp"]) == ("1", "2")
    for place in ("home", "release_folder", "code"):
        assert found[place] == "Read-only file system", place
    assert (found["cache"], found["own_tmp"], found["tmp"]) == (True, True, [])
    assert found["device"] is True  # cameras, sound cards and serial ports stay usable
    assert found["manager"] == "Permission denied"  # which would start anything, unlimited
    assert found["limits"] == "Read-only file system"
    assert found["realtime"] == "Operation not permitted"
    assert f"stand-in: up, release {FIRST}" in pi.call("log", "shut-in", "20")
    pi.call("remove", "shut-in")


def test_a_restart_takes_the_release_that_is_current_then(pi: Pi) -> None:
    before = pi.start("switched")
    after = pi.start("switched", SECOND)
    assert (after["release"], after["restarts"], after["last_status"]) == (SECOND, 0, None)
    assert after["pid"] != before["pid"]
    pi.call("stop", "switched")
    pi.call("stop", "switched")
    stopped = pi.call("status", "switched")
    assert (stopped["is_active"], stopped["pid"], stopped["starts_at_boot"]) == (False, None, False)
    assert pi.start("switched", SECOND)["starts_at_boot"]
    pi.call("remove", "switched")


def test_an_app_that_falls_silent_is_started_again(pi: Pi) -> None:
    before = pi.start("silent")
    pi.tell("silent", "USR1")
    pi.await_active("silent", restarts=1)
    after = pi.call("status", "silent")
    assert after["pid"] != before["pid"]
    assert after["last_status"] == -6  # SIGABRT, by which systemd ends what is silent
    assert "Watchdog timeout" in pi.call("log", "silent", "20")
    pi.call("remove", "silent")


def test_an_app_that_ends_is_started_again_and_again(pi: Pi) -> None:
    pi.start("crashing")
    for restarts in (1, 2, 3):
        pi.tell("crashing", "USR2")
        pi.await_active("crashing", restarts)
    assert pi.call("status", "crashing")["last_status"] == 7
    pi.call("remove", "crashing")


def test_an_app_that_takes_too_much_memory_goes_and_the_board_stays(pi: Pi) -> None:
    assert pi.call("facts", "any")["service"]["limits"] == ["memory", "cpu", "pids"]
    pi.start("greedy")
    pi.tell("greedy", "WINCH")
    pi.await_active("greedy", restarts=1)
    assert pi.call("status", "greedy")["last_status"] == -9
    assert "Failed with result 'oom-kill'" in pi.call("log", "greedy", "20")
    pi.call("remove", "greedy")


def test_what_a_power_cut_left_half_done_is_mended(pi: Pi) -> None:
    pi.start("half")
    pi.run(f"systemctl --user stop edgert-half; rm {UNITS}/default.target.wants/edgert-half.service")
    pi.run(f"echo '[Serv' >{UNITS}/edgert-half.new; echo >{UNITS}/edgert-half.service; systemctl --user daemon-reload")
    assert pi.start("half")["starts_at_boot"]
    pi.call("remove", "half")


def test_remove_leaves_no_trace(pi: Pi) -> None:
    traces = "find /home/pi /run/user/1000 /dev/shm -name '*vanishing*' -not -path '*/apps/*'; "
    traces += "systemctl --user list-units --all --plain --no-legend 'edgert-vanishing*'; "
    traces += "ls -d /sys/fs/cgroup/*/*/*/*/*vanishing*"
    pi.start("vanishing")
    assert "edgert-vanishing.service" in pi.run(f"{traces}; true")
    for _ in range(2):
        pi.call("remove", "vanishing")
    assert pi.run(f"({traces}) 2>/dev/null; true") == ""


def test_a_user_who_may_not_linger_is_told_the_command(pi: Pi) -> None:
    pi.start("waiting")
    rule = "/etc/polkit-1/rules.d/00-no-linger.rules"
    pi.machine.shell(f"cat >{rule} <<'E'\n{NO_LINGER}E\nsystemctl restart polkit; loginctl disable-linger pi")
    try:
        assert pi.call("linger", "any") == "sudo loginctl enable-linger pi"
        status = pi.call("status", "waiting")
        assert not status["starts_at_boot"]
        assert status["starts_at_boot_reason"] == "it waits for a login -> sudo loginctl enable-linger pi"
    finally:
        pi.machine.shell(f"rm {rule}; systemctl restart polkit")
    assert pi.call("linger", "any") is None
    assert pi.call("status", "waiting")["starts_at_boot"]
    pi.call("remove", "waiting")


def test_a_user_who_may_not_read_the_journal_is_told_what_to_do(pi: Pi) -> None:
    pi.start("secret")
    pi.log_out()
    pi.machine.shell("gpasswd -d pi adm")
    try:
        assert "-> sudo usermod -aG systemd-journal pi, then log in anew" in pi.call("log", "secret", "20")
        pi.machine.shell("mkdir -p /var/log/journal; systemctl restart systemd-journald; journalctl --flush")
        pi.tell("secret", "USR2")
        pi.await_active("secret", restarts=1)
        assert f"stand-in: up, release {FIRST}" in pi.call("log", "secret", "20")
    finally:
        pi.log_out()
        pi.machine.shell("usermod -aG adm pi; rm -rf /var/log/journal; systemctl restart systemd-journald")
    pi.call("remove", "secret")


@pytest.mark.parametrize("way", ["reboot", "power cut"])
def test_a_machine_that_starts_anew_runs_the_app_with_nobody_logged_in(pi: Pi, way: str) -> None:
    pi.start("at-boot")
    pi.log_out()
    pi.machine.shell("sync")
    if way == "reboot":
        pi.machine.reboot()
    else:
        pi.machine.power_cut()
        pi.machine.power_on()
    health = "/run/user/1000/edgert-at-boot/health.json"
    wait_for(lambda: pi.machine.shell(f"cat {health} || true") != "", "the app is not up", PATIENCE_S)
    assert "pi" not in pi.machine.shell("loginctl list-sessions --no-legend")
    up_s = json.loads(pi.machine.shell(f"cat {health}"))["monotonic_s"]
    asked = "systemctl show systemd-user-sessions -P ActiveEnterTimestampMonotonic"
    logins_s = int(pi.machine.shell(asked)) / 1e6
    print(f"\nup {up_s:.0f} s after the kernel began, which took logins after {logins_s:.0f} s")  # noqa: T201
    assert up_s - logins_s < 60.0
    pi.await_active("at-boot")
    assert pi.call("status", "at-boot")["release"] == FIRST
    pi.call("remove", "at-boot")


def test_a_memory_limit_that_the_kernel_ignores_is_reported(start_machine: Callable[..., Pi], laptop_key: Path) -> None:
    key = laptop_key.with_suffix(".pub").read_text()
    raspberry_pi_os = "cgroup_disable=memory"
    with Machine(authorized_key=key, kernel_options=raspberry_pi_os) as machine:
        pi = start_machine(machine)
        found = pi.call("facts", "any")["service"]
        assert (found["limits"], found["memory_controller"]) == (["cpu", "pids"], False)
        assert pi.start("unlimited")["is_ready"]
        pi.log_out()
