"""Energy by a power meter that also records a digital input: only what is drawn while that input is high counts.

The firmware raises a pin around inferences (`marker` in target.toml); a wire leads from it to the meter's input. Start
and end of the interval are then known to one sample, whatever the computer that reads the meter is doing.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgert.errors import DeviceError

__all__ = ["GatedSensor", "PowerSamples", "PowerStream", "Pulse", "find_pulses", "idle_power_mw"]

_STOP_S = 10.0


@dataclass(frozen=True, slots=True)
class PowerSamples:
    """Consecutive samples of a meter: `power_mw` float64[N], `gate` bool[N]."""

    power_mw: NDArray[np.float64]
    gate: NDArray[np.bool_]


class PowerStream(Protocol):
    """A power meter that streams. `accuracy` and `leaves_out` are sentences that stand in every record."""

    name: str
    accuracy: str
    leaves_out: str
    rate_hz: float

    def unavailable(self) -> str | None:
        """Why it cannot be read here, or None."""
        ...

    def open(self) -> None:
        """Begins to stream.

        Raises:
            DeviceError: the meter does not answer.
            MissingExtraError: its package is not installed.
        """
        ...

    def read(self) -> PowerSamples:
        """Returns what came since the last call, perhaps after a short wait, perhaps nothing.

        Raises:
            DeviceError: the meter is gone, or sent something else than samples.
        """
        ...

    def close(self) -> None:
        """Ends the stream; safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class Pulse:
    """One stretch with the gate high."""

    duration_s: float
    energy_mj: float


class GatedSensor:
    """A power meter beside a board that shows its runs on a pin; `pulses` and `idle_mw` tell of the last interval."""

    def __init__(self, stream: PowerStream) -> None:
        self.name, self.accuracy, self.leaves_out = stream.name, stream.accuracy, stream.leaves_out
        self.rate_hz = stream.rate_hz
        self.pulses: tuple[Pulse, ...] = ()
        self.idle_mw: float | None = None
        self._stream = stream
        self._samples: list[PowerSamples] = []
        self._error: DeviceError | None = None
        self._ending = threading.Event()
        self._reader: threading.Thread | None = None

    @property
    def rails(self) -> tuple[str, ...]:
        """What the meter's leads are clipped to."""
        return ("supply of the board",)

    def unavailable(self) -> str | None:
        """Why it cannot be read here, or None."""
        return self._stream.unavailable()

    def start(self) -> None:
        """Begins an interval: a thread reads the meter, whose own memory is small."""
        self._samples, self._error = [], None
        self._ending.clear()
        self._stream.open()
        self._reader = threading.Thread(target=self._read, name="power meter", daemon=True)
        self._reader.start()

    def stop_mj(self) -> float:
        """Returns the energy of all pulses since `start` in millijoule.

        Raises:
            DeviceError: the meter failed, or its gate was never high, or never low.
        """
        self.abandon()
        if self._error is not None:
            raise self._error
        power = np.concatenate([chunk.power_mw for chunk in self._samples] or [np.zeros(0)])
        gate = np.concatenate([chunk.gate for chunk in self._samples] or [np.zeros(0, np.bool_)])
        self.pulses = find_pulses(power, gate, self.rate_hz)
        if not self.pulses:
            raise DeviceError(
                f"{self.name}: its gate was never high and low again in {gate.size} samples; wire the board's marker "
                "pin (docs/devices.md) to the meter's digital input, and join the grounds"
            )
        self.idle_mw = idle_power_mw(power, gate)
        return sum(pulse.energy_mj for pulse in self.pulses)

    def abandon(self) -> None:
        """Ends an interval without an answer."""
        self._ending.set()
        if self._reader is not None:
            self._reader.join(_STOP_S)
            self._reader = None
        self._stream.close()

    def _read(self) -> None:
        try:
            while not self._ending.is_set():
                self._samples.append(self._stream.read())
            self._samples.append(self._stream.read())
        except DeviceError as error:
            self._error = error


def find_pulses(power_mw: NDArray[np.float64], gate: NDArray[np.bool_], rate_hz: float) -> tuple[Pulse, ...]:
    """Returns every stretch with the gate high that begins and ends within the samples."""
    edges = np.diff(gate.astype(np.int8))
    rises, falls = np.flatnonzero(edges == 1) + 1, np.flatnonzero(edges == -1) + 1
    if rises.size:
        falls = falls[falls > rises[0]]
    return tuple(
        Pulse((stop - start) / rate_hz, float(power_mw[start:stop].sum()) / rate_hz)
        for start, stop in zip(rises.tolist(), falls.tolist(), strict=False)
    )


def idle_power_mw(power_mw: NDArray[np.float64], gate: NDArray[np.bool_]) -> float:
    """Returns the mean power with the gate low before its first pulse: the board waits, its line is quiet.

    Raises:
        DeviceError: there is no such sample.
    """
    first = int(np.argmax(gate)) if gate.any() else gate.size
    if first == 0:
        raise DeviceError("the power meter's gate was high from the first sample on; is it wired to the marker pin?")
    return float(power_mw[:first].mean())
