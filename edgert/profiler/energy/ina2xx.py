"""INA219, INA226 and INA228 power monitors on an I2C bus of the board, through the package `smbus2`.

Source: Texas Instruments data sheets INA219 (SBOS448), INA226 (SBOS547), INA228 (SLYS021): registers, steps, gain
errors. INA219 and INA226 are read as shunt and bus voltage, which need no calibration register; the INA228 adds up
the energy itself, so nothing between two readings is missed. Tested with scripted registers, not with a real chip.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgert.errors import DeviceError, MissingExtraError, UsageError, did_you_mean
from edgert.plugins import SensorKind, SensorReading
from edgert.profiler.energy.settings import SensorSettings

__all__ = ["CHIPS", "Chip", "Ina2xxSensor", "open_sensor"]

_SHUNT_CAL = 4096
_RATE_HZ = 20.0
_TEXAS_INSTRUMENTS = 0x5449


@dataclass(frozen=True, slots=True)
class Chip:
    """What the data sheet says of one chip; voltages in V, registers big-endian.

    `setup` are (register, value) pairs that average 16 conversions. `identity` are (register, mask, value) triples.
    `shunt` and `bus` are (register, bytes, bits to the right, step). `counts` where it adds up energy.
    """

    setup: tuple[tuple[int, int], ...]
    shunt: tuple[int, int, int, float]
    bus: tuple[int, int, int, float]
    shunt_limit_v: float
    bus_limit_v: float
    gain_error: float
    identity: tuple[tuple[int, int, int], ...] = ()
    counts: bool = False


CHIPS = {
    "ina219": Chip(
        setup=((0x00, 0x3E67),),  # 32 V, 320 mV, 16 conversions of 12 bits averaged, continuous
        shunt=(0x01, 2, 0, 10e-6),
        bus=(0x02, 2, 3, 4e-3),
        shunt_limit_v=0.32,
        bus_limit_v=32.0,
        gain_error=0.01,  # bus and shunt, 0.5 % each at 25 C
    ),
    "ina226": Chip(
        setup=((0x00, 0x4527),),  # 16 averages, 1.1 ms each for bus and shunt, continuous
        shunt=(0x01, 2, 0, 2.5e-6),
        bus=(0x02, 2, 0, 1.25e-3),
        shunt_limit_v=0.08192,
        bus_limit_v=36.0,
        gain_error=0.002,  # 0.1 % each
        identity=((0xFE, 0xFFFF, _TEXAS_INSTRUMENTS), (0xFF, 0xFFF0, 0x2260)),
    ),
    "ina228": Chip(
        setup=((0x00, 0x0000), (0x01, 0xBB6A), (0x02, _SHUNT_CAL), (0x00, 0x4000)),  # last: energy starts at 0
        shunt=(0x04, 3, 4, 312.5e-9),
        bus=(0x05, 3, 4, 195.3125e-6),
        shunt_limit_v=0.16384,
        bus_limit_v=85.0,
        gain_error=0.005,  # of the energy, at 25 C
        identity=((0x3E, 0xFFFF, _TEXAS_INSTRUMENTS), (0x3F, 0xFFF0, 0x2280)),
        counts=True,
    ),
}
_ENERGY = (0x09, 5)


class Ina2xxSensor:
    """One chip with a shunt of known size in the supply of whatever is measured."""

    leaves_out = "what is not supplied through the shunt"

    def __init__(  # noqa: PLR0913  # one keyword per setting of the chip
        self,
        chip: str,
        *,
        bus: int = 1,
        address: int = 0x40,
        shunt_mohm: float = 100.0,
        shunt_tolerance: float = 0.01,
        rate_hz: float = _RATE_HZ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.rate_hz = chip, rate_hz
        self._chip, self._bus_number, self._address = CHIPS[chip], bus, address
        self._shunt_ohm, self._clock = shunt_mohm / 1000, clock
        self.kind = SensorKind.COUNTER if self._chip.counts else SensorKind.POLLED
        self.relative_accuracy: float | None = self._chip.gain_error + shunt_tolerance
        gain, shunt = f"{self._chip.gain_error:.1%}", f"{shunt_tolerance:.1%}"
        self.accuracy = f"gain errors of {gain} together (data sheet, 25 C) and a shunt within {shunt}"
        self.limit_mw = 1000 * self._chip.bus_limit_v * self._chip.shunt_limit_v / self._shunt_ohm
        self.source = f"/dev/i2c-{bus}, address {address:#04x}, shunt {shunt_mohm:g} mOhm"
        self._bus: Any = None  # Any: smbus2.SMBus; smbus2 is optional

    @property
    def rails(self) -> tuple[str, ...]:
        """What the shunt is in."""
        return ("supply through the shunt",)

    def unavailable(self) -> str | None:
        """Why it cannot be read, or None."""
        try:
            self.start()
        except (MissingExtraError, DeviceError) as error:
            return str(error)
        self.stop()
        return None

    def start(self) -> None:
        """Opens the bus, looks whether the chip is the one that was named, and sets it up."""
        package = _package()
        try:
            self._bus = package.SMBus(self._bus_number)
            self._check_identity()
            for register, value in self._chip.setup:
                self._bus.write_i2c_block_data(self._address, register, list(value.to_bytes(2, "big")))
        except OSError as error:
            self.stop()
            raise DeviceError(f"{self.name}: no answer at {self.source} ({error}); is I2C switched on?") from error
        except DeviceError:
            self.stop()
            raise

    def read(self) -> SensorReading:
        """Returns one sample; its time is the middle of the reading."""
        start_s = self._clock()
        try:
            value = self._energy_mj() if self._chip.counts else self._power_mw()
        except OSError as error:
            raise DeviceError(f"{self.name}: no answer at {self.source} any more ({error})") from error
        return SensorReading(np.array([(start_s + self._clock()) / 2]), np.array([[value]]))

    def stop(self) -> None:
        """Closes the bus."""
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.close()

    def _check_identity(self) -> None:
        for register, mask, value in self._chip.identity:
            found = self._unsigned(register, 2)
            if found & mask != value:
                says = f"{found:#06x} in register {register:#04x}"
                raise DeviceError(f"{self.name}: the chip at {self.source} says {says}; it is another one")

    def _power_mw(self) -> float:
        shunt_v, bus_v = self._voltage(self._chip.shunt, signed=True), self._voltage(self._chip.bus, signed=False)
        return 1000 * bus_v * shunt_v / self._shunt_ohm

    def _energy_mj(self) -> float:
        """Sixteen times 3.2 times the step of the current, per count (INA228 data sheet, section 8.1.2)."""
        current_step_a = self._chip.shunt_limit_v / self._shunt_ohm / (1 << 19)
        return 1000 * 16 * 3.2 * current_step_a * self._unsigned(*_ENERGY)

    def _voltage(self, field: tuple[int, int, int, float], *, signed: bool) -> float:
        register, count, right, step_v = field
        return (int.from_bytes(self._bytes(register, count), "big", signed=signed) >> right) * step_v

    def _unsigned(self, register: int, count: int) -> int:
        return int.from_bytes(self._bytes(register, count), "big")

    def _bytes(self, register: int, count: int) -> bytes:
        return bytes(self._bus.read_i2c_block_data(self._address, register, count))


def open_sensor(settings: SensorSettings) -> Ina2xxSensor:
    """Returns the sensor of `ina226:1?address=0x41&shunt_mohm=10`; the place is the number of the bus.

    Raises:
        UsageError: there is no such chip or setting.
    """
    if settings.name not in CHIPS:
        raise UsageError(f"no chip {settings.name!r}{did_you_mean(settings.name, CHIPS)}")
    place = settings.place.removeprefix("/dev/i2c-") or "1"
    if not place.isdigit():
        raise UsageError(f"{settings.name}:{settings.place}: the place is a bus, such as 1 or /dev/i2c-1")
    return Ina2xxSensor(
        settings.name,
        bus=int(place),
        address=settings.integer("address", 0x40),
        shunt_mohm=settings.number("shunt_mohm", 100.0),
        shunt_tolerance=settings.number("shunt_tolerance", 0.01, 0, 0.5),
        rate_hz=settings.number("rate_hz", _RATE_HZ, 0, 200),
    )


def _package() -> Any:  # Any: the module
    try:
        import smbus2
    except ModuleNotFoundError as error:
        raise MissingExtraError("smbus2", "i2c", "a power monitor on the I2C bus") from error
    return smbus2
