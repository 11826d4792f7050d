"""A discrete NVIDIA GPU through the driver's own library (NVML), by ctypes: no package is needed.

Source: NVIDIA, NVML API reference, nvmlDeviceGetTotalEnergyConsumption and nvmlDeviceGetPowerUsage.
"""

from __future__ import annotations

import ctypes
import time

import numpy as np

from edgert.errors import DeviceError, UsageError
from edgert.plugins import SensorKind, SensorReading
from edgert.profiler.energy.settings import SensorSettings

__all__ = ["NvmlSensor", "open_sensor"]

_LIBRARY = "libnvidia-ml.so.1"
_RATE_HZ = 20.0
_NAME_BYTES = 96


class NvmlSensor:
    """One GPU: its energy counter where it has one (Volta and later), else its power."""

    name = "nvml"
    accuracy = (
        "power within 5 % (stated for older GPUs only, taken for all); newer ones average it, some sample a part of "
        "the time only"
    )
    relative_accuracy: float | None = 0.05
    leaves_out = "the processor, its memory, disks, fans and power supply: everything but the graphics card"
    limit_mw = 2e6

    def __init__(self, index: int = 0, *, library: str = _LIBRARY, rate_hz: float = _RATE_HZ) -> None:
        self.rate_hz = rate_hz
        self.kind = SensorKind.COUNTER
        self.source = f"{library}, GPU {index}"
        self._index, self._library_name = index, library
        self._library: ctypes.CDLL | None = None
        self._handle = ctypes.c_void_p()
        self._rail = f"GPU {index}"

    @property
    def rails(self) -> tuple[str, ...]:
        """The GPU by name."""
        return (self._rail,)

    def unavailable(self) -> str | None:
        """Why it cannot be read, or None."""
        try:
            self.start()
        except DeviceError as error:
            return str(error)
        self.stop()
        return None

    def start(self) -> None:
        """Opens the library and finds out what the GPU can tell."""
        try:
            self._library = ctypes.CDLL(self._library_name)
        except OSError as error:
            raise DeviceError(f"nvml: no {self._library_name} (no NVIDIA driver)") from error
        self._call("nvmlInit_v2")
        try:
            self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(self._index), ctypes.byref(self._handle))
            text = ctypes.create_string_buffer(_NAME_BYTES)
            self._call("nvmlDeviceGetName", self._handle, text, ctypes.c_uint(_NAME_BYTES))
            self._rail = f"GPU {self._index} ({text.value.decode('utf-8', 'replace')})"
            self._find_kind()
        except DeviceError:
            self.stop()
            raise

    def read(self) -> SensorReading:
        """Returns one sample; its time is the middle of the call."""
        start_s = time.monotonic()
        value = self._energy_mj() if self.kind is SensorKind.COUNTER else self._power_mw()
        return SensorReading(np.array([(start_s + time.monotonic()) / 2]), np.array([[value]], np.float64))

    def stop(self) -> None:
        """Closes the library."""
        library, self._library = self._library, None
        if library is not None:
            library.nvmlShutdown()

    def _find_kind(self) -> None:
        try:
            self._energy_mj()
            self.kind = SensorKind.COUNTER
        except DeviceError:
            self._power_mw()
            self.kind = SensorKind.POLLED

    def _energy_mj(self) -> int:
        value = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", self._handle, ctypes.byref(value))
        return value.value

    def _power_mw(self) -> int:
        value = ctypes.c_uint()
        self._call("nvmlDeviceGetPowerUsage", self._handle, ctypes.byref(value))
        return value.value

    def _call(self, function: str, *arguments: object) -> None:
        if self._library is None:
            raise DeviceError("nvml: read before start")
        try:
            status = getattr(self._library, function)(*arguments)
        except AttributeError as error:
            raise DeviceError(f"nvml: this driver has no {function}") from error
        if status != 0:
            self._library.nvmlErrorString.restype = ctypes.c_char_p
            text = self._library.nvmlErrorString(status) or b""
            raise DeviceError(f"nvml: {function}: {text.decode('utf-8', 'replace')} ({status})")


def open_sensor(settings: SensorSettings) -> NvmlSensor:
    """Returns the GPU `nvml:INDEX` with `rate_hz`.

    Raises:
        UsageError: the index is no number.
    """
    index = settings.place or "0"
    if not index.isdigit():
        raise UsageError(f"nvml:{index}: the place is the number of a GPU, such as 0")
    return NvmlSensor(int(index), rate_hz=settings.number("rate_hz", _RATE_HZ, 0, 100))
