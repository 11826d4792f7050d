"""What `edgert doctor` and `edgert devices doctor` find, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgert.profiler.record import EnvironmentSample

__all__ = ["Check", "check_text", "environment_checks", "sensor_checks", "service_checks"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `finding` marks what stands in the way; `remedy` is a line to copy, where there is one."""

    name: str
    value: str
    finding: bool = False
    remedy: str | None = None


def environment_checks(sample: EnvironmentSample) -> Iterator[Check]:
    """What of the device's state matters to measurements; none of it is a finding."""
    governors = sorted(set(sample.governors))
    wrong = bool(governors) and governors != ["performance"]
    remedy = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor" if wrong else None
    yield Check("cpu governor", ", ".join(governors) or "unreadable", False, remedy)
    clocks = f"{max(sample.clocks_mhz):.0f} MHz" if sample.clocks_mhz else "unreadable: profiles will say degraded"
    yield Check("cpu clocks", clocks)
    temperatures = sample.temperatures_c
    yield Check("temperatures", f"{max(temperatures.values()):.0f} C at most" if temperatures else "unreadable")


def sensor_checks(reasons: Mapping[str, str | None]) -> Iterator[Check]:
    """Which energy sensors can be read, and why not the others."""
    for name, reason in reasons.items():
        yield Check(f"energy {name}", reason or "readable")


_DELEGATE = (
    "printf '[Service]\\nDelegate=cpu memory pids\\n' | sudo install -D -m 644 /dev/stdin "
    "/etc/systemd/system/user@.service.d/delegate.conf, then restart the board"
)
_MEMORY = (
    "add cgroup_enable=memory to the line of /boot/firmware/cmdline.txt (/boot/cmdline.txt before Debian 12; "
    "elsewhere, to the kernel's command line), then restart the board"
)


def service_checks(service: Mapping[str, Any] | None) -> Iterator[Check]:  # Any: JSON values
    """What keeps deployed apps running on a board, and which of their limits it ignores; none of it is a finding."""
    if service is None:
        return
    if service["systemd"] is None:
        starts = "cron starts it" if service["cron"] else "nothing starts it at boot (edgert deploy tells the command)"
        yield Check("apps", f"no systemd manager of the user: edgert's own supervisor; {starts}")
        yield Check("app limits", "none: they need systemd")
        return
    yield Check("apps", f"systemd {service['systemd']}")
    lingers = service["linger"]
    remedy = None if lingers else "edgert deploy switches it on; by hand: sudo loginctl enable-linger USER"
    yield Check("apps at boot", "start with nobody logged in" if lingers else "wait for a login", False, remedy)
    ignored = [name for name in ("memory", "cpu", "pids") if name not in service["limits"]]
    words = f"ignored: {', '.join(ignored)}" if ignored else "memory, cpu, pids"
    remedy = None if not ignored else _DELEGATE if service["memory_controller"] else _MEMORY
    yield Check("app limits", words, False, remedy)


def check_text(checks: Sequence[Check]) -> str:
    """Returns all checks, one a line, and a summary."""
    findings = sum(check.finding for check in checks)
    width = max(len(check.name) for check in checks)
    lines = [line for check in checks for line in _lines(check, width)]
    summary = "nothing stands in the way" if not findings else f"{findings} finding{'s' if findings > 1 else ''}"
    return "\n".join([*lines, "", summary])


def _lines(check: Check, width: int) -> list[str]:
    mark = "!" if check.finding else " "
    lines = [f"{mark} {check.name.ljust(width)}  {check.value}"]
    if check.remedy:
        lines.append(f"  {' ' * width}  -> {check.remedy}")
    return lines
