"""A real app on a booted machine: deployed, watched, up after a reboot and a power cut, rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import app_example
from tests.apps.boards import changed_bundle, plain_bundle
from tests.emulation import session
from tests.emulation.capability import why_no_machine
from tests.emulation.laptop import Laptop
from tests.emulation.machine import Machine
from tests.emulation.rootfs import BuildError
from tests.emulation.waiting import wait_for

pytestmark = [pytest.mark.emulation, pytest.mark.slow]

APP = app_example.ROOT / "apps/image_classify"
PATIENCE_S = 900.0
SLOW = (
    *("--set", "input=synthetic", "--set", "rate=2", "--set", "energy=none", "--set", "threads=1"),
    *("--set", "size=320x240", "--set", "port=0", "--ready-s", "300", "--alive-s", "5", "--slower", "20"),
)
"""Everything takes long in an emulator, and how long says nothing."""


@pytest.fixture(scope="module")
def machine(laptop_key: Path) -> Iterator[Machine]:
    reason = why_no_machine()
    if reason is not None:
        pytest.skip(reason)
    try:
        with Machine(authorized_key=laptop_key.with_suffix(".pub").read_text(), memory_mib=2048) as machine:
            yield machine
    except BuildError as error:
        pytest.skip(f"no disk for an emulated machine: {error}")


def edgert(laptop: Laptop, *words: object) -> session.Done:
    return session.edgert(laptop, *words, "--device", "pi", "--json", timeout_s=PATIENCE_S, EDGERT_SILENCE_S="120")


def deploy(laptop: Laptop, bundle: Path) -> tuple[int, dict[str, Any]]:  # Any: JSON
    done = edgert(laptop, "deploy", APP, "--offline", *SLOW, "--bundle", bundle)
    (found,) = done.json["devices"]
    return done.status, found


def status(laptop: Laptop) -> Any:  # Any: JSON
    (app,) = edgert(laptop, "status").json["apps"]
    return app


def await_release(laptop: Laptop, release: str) -> Any:  # Any: JSON
    """The app's status once it works with that release."""
    found: Any = None

    def works() -> bool:
        nonlocal found
        found = status(laptop)
        health = found["health"]
        return bool(health and health["is_healthy"] and health["release"] == release)

    wait_for(works, f"{release} does not work", PATIENCE_S)
    return found


def seconds_to_health(machine: Machine) -> tuple[float, float]:
    """After how many seconds of the machine's kernel it took logins, and its app was up; nobody logs in as pi."""
    unit = "systemctl --user --machine=pi@.host show edgert-image_classify"
    machine.shell(f'until [ "$({unit} -P ActiveState)" = active ]; do sleep 1; done')
    assert "pi" not in machine.shell("loginctl list-sessions --no-legend")
    logins = machine.shell("systemctl show systemd-user-sessions -P ActiveEnterTimestampMonotonic")
    return int(logins) / 1e6, int(machine.shell(f"{unit} -P ActiveEnterTimestampMonotonic")) / 1e6


def test_an_app_of_a_booted_machine(machine: Machine, laptop: Laptop, tmp_path: Path) -> None:
    laptop.trust(machine)
    done = session.edgert(laptop, "devices", "add", "pi", machine.url, timeout_s=PATIENCE_S, EDGERT_SILENCE_S="120")
    assert done.status == 0, done.err
    bundle = plain_bundle(tmp_path)
    code, first = deploy(laptop, bundle)
    assert (code, first["outcome"]) == (0, "deployed"), first
    before = await_release(laptop, first["release"])
    assert (before["service"]["kind"], before["service"]["starts_at_boot"]) == ("systemd", True)

    machine.shell("systemctl --user --machine=pi@.host kill --kill-whom=main --signal=STOP edgert-image_classify")
    restarted = "systemctl --user --machine=pi@.host show edgert-image_classify -P NRestarts"
    machine.shell(f'until [ "$({restarted})" = 1 ]; do sleep 1; done')
    assert await_release(laptop, first["release"])["service"]["pid"] != before["service"]["pid"]

    machine.shell("sync")
    for restart in (machine.reboot, lambda: (machine.power_cut(), machine.power_on())):
        restart()
        logins_s, up_s = seconds_to_health(machine)
        print(f"\nup {up_s:.0f} s after the kernel began, which took logins after {logins_s:.0f} s")  # noqa: T201
        await_release(laptop, first["release"])

    code, bad = deploy(laptop, changed_bundle(bundle, "bad.edge", "weights"))
    assert (code, bad["outcome"]) == (1, "rolled-back"), bad
    assert await_release(laptop, first["release"])["state"]["trial"] is None
    code, second = deploy(laptop, changed_bundle(bundle, "slow.edge", "slow"))
    assert (code, second["outcome"]) == (0, "deployed"), second
    done = edgert(laptop, "rollback")
    assert done.status == 0, done.out + done.err
    assert await_release(laptop, first["release"])["state"]["previous"] == second["release"]
    assert edgert(laptop, "undeploy").status == 0
    traces = "find /home/pi/.config /run/user/1000 /dev/shm -name '*image_classify*' 2>/dev/null; true"
    assert machine.shell(traces) == ""
