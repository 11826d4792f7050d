"""Energy of a whole profile: a sensor of the device, a meter here and the model elsewhere, estimates, duty cycles."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgert.cli import main
from edgert.codec import to_plain
from edgert.commands.energy_arguments import energy_lines, parse_duty, with_asked_duty
from edgert.commands.profile import profile
from edgert.errors import UsageError
from edgert.plugins import SensorReading
from edgert.profiler.energy.clock import align_clock, join_alignments
from edgert.profiler.energy.duty import estimate_from_power
from edgert.profiler.energy.evaluate import EnergyOutcome, Interval, Intervals
from edgert.profiler.energy.laptop import profile_with_energy
from edgert.profiler.energy.measurement import open_measurement
from edgert.profiler.energy.sampler import Sampler
from edgert.profiler.energy.schedule import Schedule
from edgert.profiler.record import ClockAlignment, EnergyRecord, Reason, Verdict
from edgert.profiler.request import ProfileRequest
from edgert.runtime.wire import Message
from tests import record_example
from tests.energy_example import Script, needs_a_quiet_moment, reading

IDLE_MW, BUSY_MW = 1000.0, 4000.0


# on the device


def measured(sensor: Script, run: Callable[[], object]) -> EnergyOutcome:
    measurement = open_measurement((sensor, ""), 0.5)
    assert measurement.schedule == Schedule(10, 0.2, 2.0)
    measurement.schedule = Schedule(5, 0.1, 0.3)  # shorter, for the test's sake
    measurement.measure_idle()
    return measurement.measure_runs(run)


@needs_a_quiet_moment
def test_a_sensor_of_the_device() -> None:
    last_run_s = -1e9
    spans: list[float] = []

    def run() -> None:
        nonlocal last_run_s
        start_s = time.monotonic()
        time.sleep(0.002)
        last_run_s = time.monotonic()
        spans.append(last_run_s - start_s)

    def power() -> SensorReading:
        now_s = time.monotonic()
        return reading([now_s], [BUSY_MW if now_s - last_run_s < 0.2 else IDLE_MW])

    sensor = Script(power, rate_hz=100.0, relative_accuracy=0.01)
    outcome = measured(sensor, run)
    record = outcome.record
    assert record is not None
    assert not sensor.is_started
    one_s = float(np.mean(spans))
    assert record.gross_mj == pytest.approx(BUSY_MW * one_s, rel=0.03)
    assert record.net_mj == pytest.approx((BUSY_MW - IDLE_MW) * one_s, rel=0.03)
    assert record.idle_mw == pytest.approx(IDLE_MW, rel=0.01)


@needs_a_quiet_moment
def test_a_sensor_that_is_slower_than_it_says() -> None:
    def slow() -> SensorReading:
        time.sleep(0.05)
        return reading([time.monotonic()], [IDLE_MW])

    measurement = open_measurement((Script(slow, rate_hz=100.0), ""), 0.5)
    measurement.schedule = Schedule(5, 0.1, 0.5)
    measurement.measure_idle()
    assert 0.4 <= measurement.schedule.window_s < 1.0  # eight samples of 50 ms, and what sleep adds
    assert measurement.measure_runs(lambda: time.sleep(0.01)).record is not None


def test_a_sensor_that_fails_in_the_middle() -> None:
    left = iter(range(20))

    def fail() -> SensorReading:
        if next(left, None) is None:
            raise OSError("the bus is gone")
        return reading([time.monotonic()], [IDLE_MW])

    outcome = measured(Script(fail, rate_hz=100.0), lambda: time.sleep(0.001))
    assert outcome.record is None
    assert str(outcome.reason).startswith("sensor-stopped: script does not answer (the bus is gone)")
    assert outcome.reasons[0].code == "sensor-stopped"


def test_a_sensor_that_does_not_start() -> None:
    sensor = Script(lambda: reading([time.monotonic()], [1.0]), rate_hz=100.0)

    def refuse() -> None:
        raise PermissionError(13, "not yours")

    sensor.start = refuse  # type: ignore[method-assign]
    assert "sensor-stopped: script does not answer" in str(measured(sensor, lambda: None).reason)


def test_no_sensor_and_one_that_is_too_slow() -> None:
    none = open_measurement((None, "none here"), 1.0)
    none.measure_idle()
    assert none.measure_runs(lambda: None) == EnergyOutcome(None, "none here")
    slow = open_measurement((Script(rate_hz=0.01), ""), 1.0)
    slow.measure_idle()
    outcome = slow.measure_runs(lambda: None)
    assert (outcome.record, outcome.reasons[0].code) == (None, "sensor-too-slow")


def test_the_last_sample_lies_after_the_end() -> None:
    sampler = Sampler(Script(lambda: reading([time.monotonic()], [1.0]), rate_hz=20.0))
    sampler.start()
    end_s = time.monotonic()
    assert sampler.stop().time_s[-1] > end_s


# clocks


def test_the_shortest_round_trip_sets_the_clock() -> None:
    rng = np.random.default_rng(0)
    now_s, offset_s = 0.0, 1234.5

    def clock() -> float:
        return now_s

    def ask() -> float:
        nonlocal now_s
        there_s, back_s = rng.exponential(0.02, 2) + 0.001
        now_s += there_s
        answer = now_s + offset_s
        now_s += back_s
        return float(answer)

    found = align_clock(ask, clock)
    assert abs(found.offset_s - offset_s) <= found.error_s < 0.02


def test_two_alignments_hold_the_drift() -> None:
    both = join_alignments(ClockAlignment(10.0, 0.001), ClockAlignment(10.004, 0.002))
    assert (both.offset_s, both.error_s) == pytest.approx((10.002, 0.004))


# a meter on the laptop


class OtherDevice:
    """A worker whose clock is elsewhere; what it draws shows on the meter while it runs."""

    OFFSET_S = 86_400.0

    def __init__(self) -> None:
        self.power_mw = IDLE_MW
        self.asked: list[ProfileRequest] = []
        self.runs = 0

    def call(self, name: str, body: Any = None, arrays: Any = None, **_: object) -> Message:
        if name == "clock":
            return Message({"monotonic_s": time.monotonic() + self.OFFSET_S})
        schedule = body["schedule"]
        idle = [self._spend(IDLE_MW, 0.5)]
        time.sleep(0.1)
        windows = [self._spend(BUSY_MW, 0.2, runs=10) for _ in range(schedule["windows"] if schedule else 0)]
        self.power_mw = IDLE_MW
        time.sleep(0.1)
        idle.append(self._spend(IDLE_MW, 0.5))
        record = record_example.record(energy=None, energy_reason="another computer reads the meter")
        intervals = to_plain(Intervals(tuple(idle), tuple(windows)))
        return Message({"record": to_plain(record), "intervals": intervals, "tuned": None})

    def _spend(self, power_mw: float, duration_s: float, runs: int = 0) -> Interval:
        self.power_mw = power_mw
        start_s = time.monotonic() + self.OFFSET_S
        time.sleep(duration_s)
        return Interval(start_s, time.monotonic() + self.OFFSET_S, runs)


@pytest.fixture
def device() -> OtherDevice:
    return OtherDevice()


@pytest.fixture
def meter(device: OtherDevice) -> Iterator[str]:
    """A serial meter on a pseudo-terminal, with the words for --energy."""
    pty, tty = pytest.importorskip("pty"), pytest.importorskip("tty")
    ours, theirs = pty.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    ending = threading.Event()

    def write() -> None:
        while not ending.wait(0.02):
            os.write(ours, b"%.1f\n" % device.power_mw)

    thread = threading.Thread(target=write)
    thread.start()
    yield f"serial-meter:serial://{os.ttyname(theirs)}?rate_hz=50&accuracy=0.01"
    ending.set()
    thread.join()
    os.close(ours)
    os.close(theirs)


@needs_a_quiet_moment
def test_a_meter_here_while_the_model_runs_elsewhere(device: OtherDevice, meter: str) -> None:
    request = ProfileRequest("model", "2026-01-01", energy=meter, duration_s=1.0)
    record, _ = profile_with_energy(device, request, {}, 60.0)  # type: ignore[arg-type]
    energy = record.energy
    assert energy is not None
    assert energy.gross_mj == pytest.approx(BUSY_MW * 0.02, rel=0.05)  # a tenth of 0.2 s and what sleep adds
    assert energy.net_mj == pytest.approx((BUSY_MW - IDLE_MW) * 0.02, rel=0.05)
    assert energy.clock is not None
    assert abs(energy.clock.offset_s - OtherDevice.OFFSET_S) < energy.clock.error_s + 0.001
    assert (energy.sensor, energy.relative_accuracy, record.energy_reason) == ("serial-meter", 0.01, None)


def test_a_meter_that_is_not_there(device: OtherDevice) -> None:
    request = ProfileRequest("model", "2026-01-01", energy="serial-meter:serial:///dev/none?rate_hz=100")
    record, _ = profile_with_energy(device, request, {}, 60.0)  # type: ignore[arg-type]
    assert record.energy is None
    assert "sensor-stopped: serial-meter does not answer (serial:///dev/none: cannot be opened" in str(
        record.energy_reason
    )
    assert (record.verdict, record.reasons[-1].code) == (Verdict.DEGRADED, "sensor-stopped")


def test_a_meter_that_is_too_slow(device: OtherDevice) -> None:
    request = ProfileRequest("model", "2026-01-01", energy="um25c:serial:///dev/none?rate_hz=0.1")
    record, _ = profile_with_energy(device, request, {}, 60.0)  # type: ignore[arg-type]
    assert (record.energy, record.reasons[-1].code) == (None, "sensor-too-slow")


@needs_a_quiet_moment
def test_a_real_worker_with_a_sensor_of_its_own(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines of a Jetson, printed by a program on the path of the worker, through the whole verb."""
    script = tmp_path / "tegrastats"
    body = "import time\nwhile True:\n    print('VDD_IN 5000mW/4000mW VDD_SOC 1mW/1mW', flush=True)\n    "
    body += "time.sleep(0.05)\n"
    script.write_text(f"#!{sys.executable} -SE\n{body}")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    model = str(zoo / "models/resnet20_cifar10.onnx")
    words = ["--energy", "tegrastats?rate_hz=20", "--rate", "2/s", "--battery", "10Wh", "--duration", "0.2s"]
    assert main(["profile", model, "--threads", "1", "--no-layers", "--no-record", "--json", *words]) == 0
    record = json.loads(capsys.readouterr().out)
    energy = record["energy"]
    assert (energy["sensor"], energy["rails"]) == ("tegrastats", ["VDD_IN"])
    assert energy["idle_mw"] == pytest.approx(5000.0)
    assert energy["net_mj"] == pytest.approx(0.0, abs=1e-6)
    assert (energy["duty"]["mean_mw"], energy["duty"]["hours"]) == pytest.approx((5000.0, 2.0))
    assert "sensor-stuck" in {reason["code"] for reason in record["reasons"]}


@needs_a_quiet_moment
def test_a_real_worker_beside_a_meter(zoo: Path, meter: str) -> None:
    record = profile(zoo / "models/resnet20_cifar10.onnx", threads=1, duration_s=0.5, energy=meter, layers=False)
    energy = record.energy
    assert energy is not None
    assert "sensor-stuck" in {reason.code for reason in energy.reasons}  # it shows idle power all the time
    assert energy.net_mj == pytest.approx(0.0, abs=1e-6)
    assert energy.idle_mw == pytest.approx(IDLE_MW)
    assert energy.clock is not None
    assert energy.clock.offset_s == pytest.approx(0.0, abs=0.1)  # both clocks are this computer's
    assert record.verdict is not Verdict.VALID


# computed, not measured


def energy_record(**changes: object) -> EnergyRecord:
    base = EnergyRecord("pmic", ("VDD_CORE",), 5.0, "none", "USB", 2000.0, 60.0, 40.0, (39.0, 41.0), (59.0, 61.0))
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def asked(rate: str | None, battery: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(rate=rate, battery=battery)


def test_duty_cycle() -> None:
    record = record_example.record(10.0, energy=energy_record(), energy_reason=None)
    busy = with_asked_duty(record, asked("5/s", "10Wh"))
    assert busy.energy is not None
    duty = busy.energy.duty
    assert duty is not None
    assert duty.mean_mw == pytest.approx(2000.0 + 40.0 * 5)
    assert duty.hours == pytest.approx(10_000 / 2200)
    assert duty.busy_share == pytest.approx(5 * record.latency.mean_ms / 1000)
    assert "at 5 runs a second 2200 mW on average; 10 Wh last 4.55 h" in "\n".join(energy_lines(busy))
    assert with_asked_duty(record, asked(None)) is record
    none = record_example.record(energy=None, energy_reason="no sensor")
    assert with_asked_duty(none, asked("5/s")) is none
    too_often = with_asked_duty(record, asked("1000/s")).energy
    assert too_often is not None
    assert (too_often.duty, too_often.reasons[0].code) == (None, "rate-too-high")


def test_duty_cycle_of_a_microcontroller() -> None:
    board = record_example.board_record(energy=energy_record(), energy_reason=None)
    board = dataclasses.replace(board, source="measured", instructions=None, cycles=64_000, clock_hz=64_000_000)
    energy = with_asked_duty(board, asked("5/s")).energy
    assert energy is not None
    assert energy.duty is not None
    assert energy.duty.busy_share == pytest.approx(0.005)
    assert (energy.duty.mean_mw, energy.duty.hours) == (2200.0, None)


def test_estimates_are_marked_and_only_made_when_asked_for(device: OtherDevice) -> None:
    request = ProfileRequest("model", "2026-01-01", energy="estimated:5W?idle=2W")
    record, _ = profile_with_energy(device, request, {}, 60.0)  # type: ignore[arg-type]
    energy = record.energy
    assert energy is not None
    assert (energy.source, energy.net_ci95_mj, energy.rails) == ("estimated", None, ())
    assert energy.gross_mj == pytest.approx(5.0 * record.latency.mean_ms)
    assert energy.net_mj == pytest.approx(3.0 * record.latency.mean_ms)
    assert "estimated, not measured: stated by the user: 5 W running, 2 W at rest" in energy_lines(record)[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("estimated", "'' is no power; write --energy 'estimated:5W\\?idle=2W'"),
        ("estimated:5W", "'' is no power"),
        ("estimated:much?idle=2W", "'much' is no power"),
        ("estimated:2W?idle=5W", "2 W while it runs is less than 5 W at rest"),
        ("estimated:5W?idle=2W&x=1", "estimated has no setting 'x'"),
    ],
)
def test_estimates_without_a_figure_are_refused(words: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        estimate_from_power(words, 1.0)


@pytest.mark.parametrize(
    ("rate", "battery", "said"),
    [
        ("5", None, "--rate 5: no rate; write 1/s, 5/min or 20/h"),
        ("-1/s", None, "no rate"),
        ("1/day", None, "no rate"),
        ("1/s", "10Ah", "--battery 10Ah: no battery; write 10Wh"),
        ("1/s", "0Wh", "no battery"),
        (None, "10Wh", "--battery needs --rate"),
    ],
)
def test_rates_and_batteries_that_are_none(rate: str | None, battery: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_duty(rate, battery)


def test_rates() -> None:
    assert parse_duty("30/min", "2.5Wh") == (0.5, 2.5)
    assert parse_duty(None, None) == (None, None)


def test_lines_of_a_measured_energy() -> None:
    energy = energy_record(reasons=(Reason("idle-drift", "it moved"),))
    lines = "\n".join(energy_lines(record_example.record(energy=energy, energy_reason=None)))
    assert "40 mJ per inference above idle (95 % interval 39 to 41), 60 mJ with it" in lines
    assert "idle-drift: it moved" in lines


def test_a_device_without_sensors_gets_one_short_line() -> None:
    every = "; ".join(f"{name}: not here" for name in ("ina3221", "tegrastats", "pmic", "rapl"))
    record = dataclasses.replace(record_example.record(), energy=None, energy_reason=every)
    (line,) = energy_lines(record)
    assert "none of 4 kinds of sensors is here (edgert doctor" in line
    assert energy_lines(dataclasses.replace(record, energy_reason="rapl: needs root"))[0].endswith("rapl: needs root")
