"""Nordic Power Profiler Kit II, through the package `ppk2-api`. Tested with a scripted device, not with a real one."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from edgert.errors import DeviceError, MissingExtraError, UsageError
from edgert.profiler.energy.gated import PowerSamples

__all__ = ["Ppk2Stream"]

_WAIT_S = 0.002
_GATE_BIT = 1
_LOWEST_MV, _HIGHEST_MV = 800, 5000


class Ppk2Stream:
    """Current at 100,000 samples a second; its logic input D0 is the gate.

    `voltage_mv` is what it supplies the board with (mode `source`), or what the board is supplied with past it (mode
    `ampere`): the meter itself measures no voltage.
    """

    name = "ppk2"
    accuracy = "of current that of its user guide; the voltage is the nominal one, not measured"
    leaves_out = "what is not supplied through the meter: a debug probe, or LEDs on another rail"
    rate_hz = 100_000.0

    def __init__(self, port: str = "", *, voltage_mv: int = 3300, mode: str = "source") -> None:
        """Takes its serial port (empty: the only one that is found).

        Raises:
            UsageError: a voltage that it does not have, or an unknown mode.
        """
        if not _LOWEST_MV <= voltage_mv <= _HIGHEST_MV:
            raise UsageError(f"ppk2: voltage_mv is {voltage_mv}; it must be {_LOWEST_MV} to {_HIGHEST_MV}")
        if mode not in {"source", "ampere"}:
            raise UsageError(f"ppk2: mode is {mode!r}; it must be source or ampere")
        self._port, self._voltage_mv, self._mode = port, voltage_mv, mode
        self._device: Any = None  # Any: ppk2_api is optional and untyped

    def unavailable(self) -> str | None:
        """Why it cannot be read here, or None."""
        try:
            self._find(_api())
        except (MissingExtraError, DeviceError) as error:
            return str(error)
        return None

    def open(self) -> None:
        """Supplies the board, where it does that, and begins to stream."""
        api = _api()
        port = self._find(api)
        try:
            self._device = device = api.PPK2_API(port, timeout=1, write_timeout=1, exclusive=True)
            device.get_modifiers()
            device.set_source_voltage(self._voltage_mv)
            device.use_source_meter() if self._mode == "source" else device.use_ampere_meter()
            device.toggle_DUT_power("ON")
            device.start_measuring()
        except Exception as error:  # the package raises plain Exception, and pyserial's own
            self.close()
            raise DeviceError(f"ppk2: {port} does not answer as one ({error})") from error

    def read(self) -> PowerSamples:
        """Returns what came since the last call."""
        try:
            data = self._device.get_data()
            if not data:
                time.sleep(_WAIT_S)
                return PowerSamples(np.zeros(0), np.zeros(0, np.bool_))
            current_ua, bits = self._device.get_samples(data)
        except Exception as error:  # as above
            raise DeviceError(f"ppk2: the meter is gone ({error})") from error
        count = min(len(current_ua), len(bits))
        power_mw = np.asarray(current_ua[:count], np.float64) * self._voltage_mv / 1e6
        return PowerSamples(power_mw, np.asarray(bits[:count], np.int64) & _GATE_BIT != 0)

    def close(self) -> None:
        """Stops the stream; a board that it supplies stays on."""
        device, self._device = self._device, None
        if device is not None:
            try:
                device.stop_measuring()
                device.ser.close()
            except OSError:
                return  # unplugged

    def _find(self, api: Any) -> str:  # Any: the module
        found = [self._port] if self._port else [str(port) for port in api.PPK2_API.list_devices()]
        if not found:
            raise DeviceError("ppk2: no Power Profiler Kit II is connected")
        if len(found) > 1 and not self._port:
            raise DeviceError(f"ppk2: several ports ({', '.join(found)}); name one: --energy ppk2:{found[0]}")
        return found[0]


def _api() -> Any:  # Any: the module
    try:
        from ppk2_api import ppk2_api
    except ModuleNotFoundError as error:
        raise MissingExtraError("ppk2-api", "ppk2", "a Power Profiler Kit II") from error
    return ppk2_api
