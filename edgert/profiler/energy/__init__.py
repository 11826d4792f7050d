"""Energy sensors: one file and one line each. One that cannot be read says why; nothing is ever guessed or zero.

Packages add sensors through the entry point group `edgert.energy_sensors`: each names a callable that takes a
`SensorSettings` and returns an `edgert.plugins.EnergySensor`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable

from edgert.errors import UsageError, did_you_mean
from edgert.plugins import EnergySensor
from edgert.profiler.energy.settings import SensorSettings, parse_words
from edgert.profiler.energy.stated import state_accuracy

__all__ = ["AUTO", "SENSORS", "SensorSettings", "choose_sensor", "get_sensor", "sensor_reasons"]

SENSORS = {
    "ina3221": "edgert.profiler.energy.ina3221",
    "tegrastats": "edgert.profiler.energy.tegrastats",
    "pmic": "edgert.profiler.energy.pmic",
    "rapl": "edgert.profiler.energy.rapl",
    "nvml": "edgert.profiler.energy.nvml",
    "battery": "edgert.profiler.energy.battery",
    "ina219": "edgert.profiler.energy.ina2xx",
    "ina226": "edgert.profiler.energy.ina2xx",
    "ina228": "edgert.profiler.energy.ina2xx",
}
"""Name -> module, whose `open_sensor` makes the sensor."""

AUTO = ("ina3221", "tegrastats", "pmic", "rapl")
"""What `auto` tries, the best first: what needs no word of how it is wired, and sees what a model on the CPU draws."""

_GROUP = "edgert.energy_sensors"


def get_sensor(words: str) -> EnergySensor:
    """Returns the sensor that the words name, readable or not.

    Raises:
        UsageError: there is no such sensor, or no such setting.
    """
    settings = parse_words(words)
    open_sensor = _opener(settings.name)
    sensor = open_sensor(settings)
    state_accuracy(sensor, settings)
    settings.finish()
    return sensor


def sensor_reasons() -> dict[str, str | None]:
    """Returns for every sensor why it cannot be read here, or None where it can."""
    return {name: get_sensor(name).unavailable() for name in SENSORS}


def choose_sensor(wanted: str) -> tuple[EnergySensor | None, str]:
    """Returns the sensor for `auto`, `none` or its words, or None and the reason why there is none."""
    if wanted == "none":
        return None, "switched off (--energy none)"
    reasons = []
    for words in AUTO if wanted == "auto" else [wanted]:
        sensor = get_sensor(words)
        reason = sensor.unavailable()
        if reason is None:
            return sensor, ""
        reasons.append(f"{sensor.name}: {reason}")
    return None, "; ".join(reasons)


def _opener(name: str) -> Callable[[SensorSettings], EnergySensor]:
    if name in SENSORS:
        opener: Callable[[SensorSettings], EnergySensor] = importlib.import_module(SENSORS[name]).open_sensor
        return opener
    from importlib.metadata import entry_points  # 25 ms that only a sensor of another package needs

    entries = {entry.name: entry for entry in entry_points(group=_GROUP)}
    if name in entries:
        added: Callable[[SensorSettings], EnergySensor] = entries[name].load()
        return added
    raise _unknown(name, [*SENSORS, *entries])


def _unknown(name: str, known: Iterable[str]) -> UsageError:
    return UsageError(f"no energy sensor {name!r}{did_you_mean(name, [*known, 'auto', 'none'])}")
