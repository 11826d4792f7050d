"""Power meters by the words of `--energy`: `ppk2[:PORT]`, `joulescope`, `serial-meter:URL`; `?name=value` sets them."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl

from edgert.errors import UsageError, did_you_mean
from edgert.profiler.energy.gated import GatedSensor, PowerStream
from edgert.profiler.energy.joulescope import JoulescopeStream
from edgert.profiler.energy.ppk2 import Ppk2Stream
from edgert.profiler.energy.serial_meter import SerialMeterStream

__all__ = ["METERS", "open_meter"]

Settings = dict[str, str]


def _ppk2(place: str, settings: Settings) -> PowerStream:
    voltage_mv = int(_number(settings.pop("voltage_mv", "3300")))
    return Ppk2Stream(place, voltage_mv=voltage_mv, mode=settings.pop("mode", "source"))


def _joulescope(place: str, settings: Settings) -> PowerStream:
    if place:
        raise UsageError("joulescope takes no port; connect exactly one")
    return JoulescopeStream(settings.pop("io_voltage", "3.3V"))


def _serial_meter(place: str, settings: Settings) -> PowerStream:
    if not place or "rate_hz" not in settings:
        raise UsageError("write --energy 'serial-meter:serial:///dev/ttyUSB0?rate_hz=1000'")
    rate_hz = _number(settings.pop("rate_hz"))
    baud = settings.pop("baud", None)
    return SerialMeterStream(place if baud is None else f"{place}?baud={baud}", rate_hz)


METERS: dict[str, Callable[[str, Settings], PowerStream]] = {
    "ppk2": _ppk2,
    "joulescope": _joulescope,
    "serial-meter": _serial_meter,
}
"""Name -> what makes the meter from the words behind it."""


def open_meter(words: str) -> GatedSensor:
    """Returns the power meter that the words name; it is opened when it starts.

    Raises:
        UsageError: there is no such meter, or no such setting.
    """
    head, _, query = words.partition("?")
    name, _, place = head.partition(":")
    if name not in METERS:
        raise UsageError(f"no power meter {name!r}{did_you_mean(name, METERS)}")
    settings = dict(parse_qsl(query))
    stream = METERS[name](place, settings)
    if settings:
        raise UsageError(f"{name} has no setting {next(iter(settings))!r}")
    return GatedSensor(stream)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no number") from error
