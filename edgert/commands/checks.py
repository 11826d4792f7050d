"""What `edgert doctor` and `edgert devices doctor` find, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgert.profiler.record import EnvironmentSample

__all__ = ["Check", "check_text", "environment_checks", "sensor_checks"]


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
