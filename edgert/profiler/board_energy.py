"""Energy of inferences on a microcontroller: runs repeated with a pin high, a power meter gated by that pin."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from edgert.devices.board import BoardClient
from edgert.devices.protocol import Ticks
from edgert.errors import DeviceError, UsageError
from edgert.profiler.energy.gated import GatedSensor
from edgert.profiler.record import EnergyRecord
from edgert.profiler.statistics import mean_interval

__all__ = ["PULSES", "measure_energy"]

PULSES = 5
_PULSE_S = 1.0
_IDLE_S = 0.5
_GAP_S = 0.05
_MOST_RUNS = 65_535


def measure_energy(
    client: BoardClient, inputs: bytes, sensor: GatedSensor, *, sleep: Callable[[float], None] = time.sleep
) -> EnergyRecord:
    """Returns the energy of one inference, from five pulses of about a second each.

    The reports that a board sends once a second while it runs are in it.

    Args:
        client: a real board whose target has a marker pin.
        inputs: all inputs in order.
        sensor: reads the board's supply; its gate is wired to the marker pin.
        sleep: waits, in seconds.

    Raises:
        UsageError: the board is emulated: it draws no power.
        DeviceError: board or meter do not answer, or the meter saw other pulses than the board made.
    """
    if client.description.ticks is Ticks.VIRTUAL:
        raise UsageError("an emulated board draws no power; --energy is for real ones")
    one_s = client.run(inputs).ticks / client.description.ticks_hz
    times = min(max(round(_PULSE_S / max(one_s, 1e-6)), 1), _MOST_RUNS)
    sensor.start()
    try:
        sleep(_IDLE_S)
        for _ in range(PULSES):
            client.repeat(inputs, times)
            sleep(_GAP_S)
    except BaseException:
        sensor.abandon()
        raise
    total_mj = sensor.stop_mj()
    if len(sensor.pulses) != PULSES or sensor.idle_mw is None:
        raise DeviceError(
            f"{sensor.name}: saw {len(sensor.pulses)} pulses where {PULSES} were made; is the wire loose?"
        )
    net = np.array([pulse.energy_mj - sensor.idle_mw * pulse.duration_s for pulse in sensor.pulses]) / times
    return EnergyRecord(
        sensor=sensor.name,
        rails=sensor.rails,
        rate_hz=sensor.rate_hz,
        accuracy=sensor.accuracy,
        leaves_out=sensor.leaves_out,
        idle_mw=sensor.idle_mw,
        gross_mj=total_mj / PULSES / times,
        net_mj=float(net.mean()),
        net_ci95_mj=mean_interval([net]),
    )
