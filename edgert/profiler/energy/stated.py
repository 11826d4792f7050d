"""The user's own statement of a sensor's accuracy (`?accuracy=0.01`), which goes before what the sensor says."""

from __future__ import annotations

from edgert.plugins import EnergySensor
from edgert.profiler.energy.settings import SensorSettings

__all__ = ["state_accuracy"]


def state_accuracy(sensor: EnergySensor, settings: SensorSettings) -> None:
    """Takes the setting `accuracy`, a share of the value, where it is given."""
    share = settings.number("accuracy", 0.0, 0, 0.5)
    if share:
        sensor.relative_accuracy = share
        sensor.accuracy = f"within {share:.3%} as the user states"
