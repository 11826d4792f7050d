"""Power meters on this computer by the words of `--energy`, such as `serial-meter:serial:///dev/ttyUSB0?rate_hz=10`.

Beside a microcontroller a wire from its marker pin gates them (`open_meter`); beside any other board its clock tells
when it ran (`open_meter_sensor`).
"""

from __future__ import annotations

from collections.abc import Callable

from edgert.errors import UsageError, did_you_mean
from edgert.plugins import EnergySensor
from edgert.profiler.energy.gated import GatedSensor, PowerStream
from edgert.profiler.energy.joulescope import JoulescopeStream
from edgert.profiler.energy.ppk2 import Ppk2Stream
from edgert.profiler.energy.scpi import open_sensor as open_scpi
from edgert.profiler.energy.serial_meter import SerialMeterSensor, SerialMeterStream
from edgert.profiler.energy.settings import SensorSettings, parse_words
from edgert.profiler.energy.stated import state_accuracy
from edgert.profiler.energy.stream_sensor import StreamSensor
from edgert.profiler.energy.um25c import MODELS, UsbMeterSensor

__all__ = ["METERS", "METER_SENSORS", "is_meter", "open_meter", "open_meter_sensor"]

_PPK2_LIMIT_MW = 5000.0 * 1.0
_JOULESCOPE_LIMIT_MW = 15_000.0 * 3.0
_USB_METER_BAUD = 9600
_USB_METER_RATE_HZ = 4.0


def _ppk2(settings: SensorSettings) -> PowerStream:
    voltage_mv = int(settings.number("voltage_mv", 3300.0))
    return Ppk2Stream(settings.place, voltage_mv=voltage_mv, mode=settings.text("mode", "source"))


def _joulescope(settings: SensorSettings) -> PowerStream:
    if settings.place:
        raise UsageError("joulescope takes no port; connect exactly one")
    return JoulescopeStream(settings.text("io_voltage", "3.3V"))


def _serial_meter(settings: SensorSettings) -> PowerStream:
    return SerialMeterStream(*_line_and_rate(settings))


def _serial_sensor(settings: SensorSettings) -> EnergySensor:
    url, rate_hz = _line_and_rate(settings)
    return SerialMeterSensor(url, rate_hz, settings.number("limit_mw", 1e6))


def _usb_meter(settings: SensorSettings) -> EnergySensor:
    if not settings.place:
        raise UsageError(f"write --energy '{settings.name}:serial:///dev/rfcomm0'")
    rate_hz = settings.number("rate_hz", _USB_METER_RATE_HZ, 0, 20)
    baud = settings.integer("baud", _USB_METER_BAUD)
    is_serial = settings.place.startswith("serial:")
    return UsbMeterSensor(settings.name, f"{settings.place}?baud={baud}" if is_serial else settings.place, rate_hz)


def _line_and_rate(settings: SensorSettings) -> tuple[str, float]:
    if not settings.place or "rate_hz" not in settings.values:
        raise UsageError("write --energy 'serial-meter:serial:///dev/ttyUSB0?rate_hz=1000'")
    rate_hz = settings.number("rate_hz", 0.0)
    baud = settings.text("baud", "")
    return (f"{settings.place}?baud={baud}" if baud else settings.place), rate_hz


METERS: dict[str, Callable[[SensorSettings], PowerStream]] = {
    "ppk2": _ppk2,
    "joulescope": _joulescope,
    "serial-meter": _serial_meter,
}
"""Name -> what makes the meter that a pin gates."""

METER_SENSORS: dict[str, Callable[[SensorSettings], EnergySensor]] = {
    "ppk2": lambda settings: StreamSensor(_ppk2(settings), _PPK2_LIMIT_MW),
    "joulescope": lambda settings: StreamSensor(_joulescope(settings), _JOULESCOPE_LIMIT_MW),
    "serial-meter": _serial_sensor,
    "scpi": open_scpi,
    **{model.name: _usb_meter for model in MODELS.values()},
}
"""Name -> what makes the meter beside a board with a clock."""


def is_meter(words: str) -> bool:
    """True where the words name a meter that this computer reads, not a sensor of the device."""
    return parse_words(words).name in METER_SENSORS


def open_meter(words: str) -> GatedSensor:
    """Returns the power meter that the words name, gated by a pin; it is opened when it starts.

    Raises:
        UsageError: there is no such meter, or no such setting.
    """
    settings = parse_words(words)
    if settings.name in METER_SENSORS and settings.name not in METERS:
        raise UsageError(f"{settings.name} has no digital input for the marker pin; use one of {', '.join(METERS)}")
    if settings.name not in METERS:
        raise UsageError(f"no power meter {settings.name!r}{did_you_mean(settings.name, METERS)}")
    stream = METERS[settings.name](settings)
    settings.finish()
    return GatedSensor(stream)


def open_meter_sensor(words: str) -> EnergySensor:
    """Returns the meter that the words name, beside a board with a clock; `accuracy` is the user's own statement.

    Raises:
        UsageError: there is no such setting.
    """
    settings = parse_words(words)
    sensor = METER_SENSORS[settings.name](settings)
    state_accuracy(sensor, settings)
    settings.finish()
    return sensor
