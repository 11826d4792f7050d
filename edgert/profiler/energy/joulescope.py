"""Joulescope, through the package `joulescope`. Tested with a scripted device, not with a real one."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from edgert.errors import DeviceError, MissingExtraError
from edgert.profiler.energy.gated import PowerSamples

__all__ = ["JoulescopeStream"]

_WAIT_S = 0.005
_FIELDS = ("power", "current_lsb")


class JoulescopeStream:
    """Power, at 100,000 samples a second; its general purpose input 0 is the gate."""

    name = "joulescope"
    accuracy = "that of its data sheet; current and voltage are both measured"
    leaves_out = "what is not supplied through the meter: a debug probe, or LEDs on another rail"
    rate_hz = 100_000.0

    def __init__(self, io_voltage: str = "3.3V") -> None:
        self._io_voltage = io_voltage
        self._device: Any = None  # Any: joulescope is optional and untyped
        self._next = 0

    def unavailable(self) -> str | None:
        """Why it cannot be read here, or None."""
        try:
            found = _package().scan(config="off")
        except MissingExtraError as error:
            return str(error)
        return None if found else "joulescope: none is connected"

    def open(self) -> None:
        """Begins to stream."""
        package = _package()
        try:
            self._device = device = package.scan_require_one(config="auto")
            device.open()
            device.parameter_set("io_voltage", self._io_voltage)
            device.parameter_set("current_lsb", "gpi0")
            device.parameter_set("sampling_frequency", int(self.rate_hz))
            device.start()
            self._next = device.stream_buffer.sample_id_range[1]
        except Exception as error:  # the package raises RuntimeError, OSError, IOError, KeyError ...
            self.close()
            raise DeviceError(f"joulescope: it cannot be opened ({error}); is exactly one connected?") from error

    def read(self) -> PowerSamples:
        """Returns what came since the last call.

        Raises:
            DeviceError: it is gone, or samples were lost because nobody read in time.
        """
        time.sleep(_WAIT_S)
        try:
            buffer = self._device.stream_buffer
            first, stop = buffer.sample_id_range
            signals = buffer.samples_get(self._next, stop, fields=list(_FIELDS))["signals"]
        except Exception as error:  # as above
            raise DeviceError(f"joulescope: the meter is gone ({error})") from error
        if first > self._next:
            raise DeviceError(f"joulescope: {first - self._next} samples were lost; the computer is too busy")
        self._next = stop
        power, gate = (np.asarray(signals[field]["value"]) for field in _FIELDS)
        power_mw = np.nan_to_num(power.astype(np.float64)) * 1000  # a dropped sample is NaN
        return PowerSamples(power_mw, gate != 0)

    def close(self) -> None:
        """Stops the stream."""
        device, self._device = self._device, None
        if device is not None:
            try:
                device.stop()
                device.close()
            except Exception:  # whatever it raises: it is unplugged
                return


def _package() -> Any:  # Any: the module
    try:
        import joulescope
    except ModuleNotFoundError as error:
        raise MissingExtraError("joulescope", "joulescope", "a Joulescope") from error
    return joulescope
