"""Energy sensors: one file and one line each. One that cannot be read says why; nothing is ever guessed or zero."""

from __future__ import annotations

import importlib

from edgert.errors import UsageError, did_you_mean
from edgert.plugins import EnergySensor

__all__ = ["SENSORS", "choose_sensor", "get_sensor", "sensor_reasons"]

SENSORS = {
    "rapl": "edgert.profiler.energy.rapl:RaplSensor",
}
"""Name -> `module:class`, in order of preference for `auto`."""


def get_sensor(name: str) -> EnergySensor:
    """Returns a sensor, readable or not.

    Raises:
        UsageError: there is no sensor of that name.
    """
    if name not in SENSORS:
        raise UsageError(f"no energy sensor {name!r}{did_you_mean(name, [*SENSORS, 'auto', 'none'])}")
    module, _, attribute = SENSORS[name].partition(":")
    sensor: EnergySensor = getattr(importlib.import_module(module), attribute)()
    return sensor


def sensor_reasons() -> dict[str, str | None]:
    """Returns for every sensor why it cannot be read here, or None where it can."""
    return {name: get_sensor(name).unavailable() for name in SENSORS}


def choose_sensor(wanted: str) -> tuple[EnergySensor | None, str]:
    """Returns the sensor for `auto`, `none` or a name, or None and the reason why there is none."""
    if wanted == "none":
        return None, "switched off (--energy none)"
    reasons = []
    for name in SENSORS if wanted == "auto" else [wanted]:
        sensor = get_sensor(name)
        reason = sensor.unavailable()
        if reason is None:
            return sensor, ""
        reasons.append(f"{name}: {reason}")
    return None, "; ".join(reasons)
