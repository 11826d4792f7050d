"""Readers of sensors, on the files, programs and lines that the real ones give; no sensor was at hand.

On each scripted curve the energy is within 1 % of the truth (`test_*_along_a_curve`).
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from edgert.errors import DeviceError, MissingExtraError, UsageError
from edgert.plugins import EnergySensor, SensorKind, SensorReading
from edgert.profiler.energy import AUTO, SENSORS, choose_sensor, get_sensor
from edgert.profiler.energy.battery import BatterySensor
from edgert.profiler.energy.curve import build_curve
from edgert.profiler.energy.ina2xx import CHIPS, Ina2xxSensor
from edgert.profiler.energy.ina3221 import Ina3221Sensor
from edgert.profiler.energy.jetson_rails import choose_rails
from edgert.profiler.energy.meters import open_meter, open_meter_sensor
from edgert.profiler.energy.nvml import NvmlSensor
from edgert.profiler.energy.pmic import PmicSensor, parse_adc
from edgert.profiler.energy.sampler import Sampler, join_readings
from edgert.profiler.energy.tegrastats import TegrastatsSensor, parse_line
from tests.energy_example import Curve, needs_a_quiet_moment

CURVE = Curve()
ALONG_S = 2.5
ORIN_NANO = (
    "10-08-2026 04:38:21 RAM 1343/7620MB (lfb 157x4MB) SWAP 165/3810MB (cached 3MB) CPU [0%@1497,0%@729,off,off] "
    "EMC_FREQ 15%@204 GR3D_FREQ 0%@[305] NVDEC off APE 200 cpu@48.562C tj@49.312C "
    "VDD_IN {}mW/8535mW VDD_CPU_GPU_CV 512mW/1944mW VDD_SOC 2720mW/3659mW"
)
AGX_ORIN = (
    "10-08-2026 04:38:21 RAM 3021/30697MB (lfb 6x4MB) SWAP 0/15348MB (cached 0MB) CPU [2%@729,0%@729] EMC_FREQ 0%@2133 "
    "GR3D_FREQ 0%@[0,0] CV0@-256C CPU@46.9C VDD_GPU_SOC 2779mW/2779mW VDD_CPU_CV 397mW/397mW VIN_SYS_5V0 3028mW/3028mW"
)
NANO = (
    "RAM 1342/3956MB (lfb 425x4MB) SWAP 0/1978MB (cached 0MB) IRAM 0/252kB(lfb 252kB) CPU [14%@1479,off,off,5%@1479] "
    "EMC_FREQ 5%@1600 GR3D_FREQ 0%@76 APE 25 PLL@31C CPU@35.5C POM_5V_IN 900/943 POM_5V_GPU 0/0 POM_5V_CPU 123/123"
)


def energy_error(sensor: EnergySensor, given: SensorReading, truth: Callable[[float, float], float]) -> float:
    """The relative error of the energy between two moments that are no samples' own."""
    curve, faults = build_curve(given, sensor.kind, sensor.limit_mw)
    assert not faults
    assert not given.faults
    start_s, stop_s = float(curve.time_s[1]) + 0.013, float(curve.time_s[-2]) - 0.017
    exact = truth(start_s, stop_s)
    return abs(curve.energy_between_mj(start_s, stop_s) - exact) / exact


def sampled(sensor: EnergySensor, duration_s: float = ALONG_S) -> SensorReading:
    sampler = Sampler(sensor)
    sampler.start()
    time.sleep(duration_s)
    return sampler.stop()


# Jetson: INA3221


def ina3221_tree(root: Path, chips: dict[str, dict[str, tuple[int, int]]], driver: str = "ina3221") -> list[Path]:
    folders = []
    for index, (address, rails) in enumerate(chips.items()):
        folder = root / f"sys/bus/i2c/drivers/{driver}/{address}/hwmon/hwmon{index + 3}"
        folder.mkdir(parents=True)
        (folder / "name").write_text("ina3221\n")
        for channel, (label, (voltage_mv, current_ma)) in enumerate(rails.items(), 1):
            (folder / f"in{channel}_label").write_text(f"{label}\n")
            (folder / f"in{channel}_input").write_text(f"{voltage_mv}\n")
            (folder / f"curr{channel}_input").write_text(f"{current_ma}\n")
        (folder / "in7_label").write_text("sum of shunt voltages\n")
        folders.append(folder)
    return folders


ORIN_NANO_RAILS = {"1-0040": {"VDD_IN": (5072, 1036), "VDD_CPU_GPU_CV": (5072, 101), "VDD_SOC": (5072, 536)}}
AGX_RAILS = {
    "1-0040": {"VDD_GPU_SOC": (19_000, 200), "VDD_CPU_CV": (19_000, 50), "VIN_SYS_5V0": (5000, 600)},
    "1-0041": {"NC": (0, 0), "VDDQ_VDD2_1V8AO": (5000, 100)},
}


def test_ina3221_takes_the_total_alone(tmp_path: Path) -> None:
    ina3221_tree(tmp_path, ORIN_NANO_RAILS)
    sensor = Ina3221Sensor(tmp_path)
    assert sensor.unavailable() is None
    assert sensor.rails == ("VDD_IN",)
    assert sensor.read().values.tolist() == [[5072 * 1036 / 1000]]
    assert sensor.source.endswith("1-0040/hwmon/hwmon3")
    assert "carrier board" in sensor.leaves_out


def test_ina3221_adds_rails_that_are_no_part_of_each_other(tmp_path: Path) -> None:
    ina3221_tree(tmp_path, AGX_RAILS, driver="ina3221x")
    sensor = Ina3221Sensor(tmp_path)
    assert sensor.rails == ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
    assert sensor.read().values.tolist() == [[3800.0, 950.0, 3000.0]]
    assert Ina3221Sensor(tmp_path, rails="VDD_CPU_CV").rails == ("VDD_CPU_CV",)


def test_ina3221_along_a_curve(tmp_path: Path) -> None:
    (folder,) = ina3221_tree(tmp_path, ORIN_NANO_RAILS)
    now_s = 0.0

    def clock() -> float:
        nonlocal now_s
        now_s += 0.0004  # what reading a file over I2C takes
        (folder / "curr1_input").write_text(f"{CURVE.power_mw(now_s) / 5.072:.0f}\n")
        return now_s

    sensor = Ina3221Sensor(tmp_path, clock=clock)
    readings = []
    while now_s < 10.0:
        readings.append(sensor.read())
        now_s += 1 / sensor.rate_hz
    assert energy_error(sensor, join_readings(readings, 1), CURVE.energy_mj) < 0.01


def test_ina3221_that_cannot_be_read(tmp_path: Path) -> None:
    assert "not a Jetson" in str(Ina3221Sensor(tmp_path).unavailable())
    (folder,) = ina3221_tree(tmp_path, {"1-0040": {"VDD_NEW": (5000, 1), "VDD_OTHER": (5000, 1)}})
    assert "VDD_NEW, VDD_OTHER) may be added is not known; name them: ?rails=" in str(
        Ina3221Sensor(tmp_path).unavailable()
    )
    assert "no rail 'VDD_X'; there are VDD_NEW" in str(Ina3221Sensor(tmp_path, rails="VDD_X").unavailable())
    sensor = Ina3221Sensor(tmp_path, rails="VDD_NEW+VDD_OTHER")
    (folder / "curr2_input").write_text("")
    assert "cannot be read" in str(sensor.unavailable())
    assert [fault.code for fault in sensor.read().faults] == ["sensor-garbage"]
    (folder / "curr2_input").unlink()
    with pytest.raises(DeviceError, match="curr2_input is gone"):
        sensor.read()


# Jetson: tegrastats


def test_lines_of_tegrastats() -> None:
    assert parse_line(ORIN_NANO.format(5251)) == {"VDD_IN": 5251, "VDD_CPU_GPU_CV": 512, "VDD_SOC": 2720}
    assert parse_line(AGX_ORIN) == {"VDD_GPU_SOC": 2779, "VDD_CPU_CV": 397, "VIN_SYS_5V0": 3028}
    assert parse_line(NANO) == {"POM_5V_IN": 900, "POM_5V_GPU": 0, "POM_5V_CPU": 123}
    assert choose_rails(parse_line(NANO)) == (("POM_5V_IN",), None)
    assert choose_rails(parse_line(AGX_ORIN))[0] == ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
    assert parse_line("") == {}


def program(folder: Path, name: str, body: str) -> str:
    """A program of that name, by this interpreter; -S -E so that it starts fast."""
    path = folder / name
    path.write_text(f"#!{sys.executable} -SE\n{body}")
    path.chmod(0o755)
    return str(path)


TEGRASTATS = """
import math, sys, time
interval_s = int(sys.argv[sys.argv.index("--interval") + 1]) / 1000
line = {line!r}
start = time.monotonic()
for index in range(10000):
    power = {mean} * (1 + {swing} * math.sin(2 * math.pi * time.monotonic() / {period}))
    print(line.format(round(power)), flush=True)
    time.sleep(max(start + (index + 1) * interval_s - time.monotonic(), 0))
"""


def tegrastats(folder: Path, line: str) -> str:
    body = TEGRASTATS.format(line=line, mean=CURVE.mean_mw, swing=CURVE.swing, period=CURVE.period_s)
    return program(folder, "tegrastats", body)


@needs_a_quiet_moment
def test_tegrastats_along_a_curve(tmp_path: Path) -> None:
    sensor = TegrastatsSensor(tegrastats(tmp_path, ORIN_NANO))
    assert sensor.unavailable() is None
    assert (sensor.rails, sensor.kind) == (("VDD_IN",), SensorKind.STREAM)
    assert energy_error(sensor, sampled(sensor), CURVE.energy_mj) < 0.01
    assert sensor.source.endswith("tegrastats --interval 100")


def test_tegrastats_that_prints_something_else(tmp_path: Path) -> None:
    silent = TegrastatsSensor(program(tmp_path, "tegrastats", "print('RAM 1343/7620MB')\n"))
    assert silent.unavailable() == "tegrastats ended without a line"
    assert TegrastatsSensor("tegrastats-that-is-nowhere").unavailable() == "no program tegrastats (not a Jetson)"
    body = f"print({NANO!r}, flush=True)\nprint('garbage', flush=True)\nraise SystemExit(3)\n"
    sensor = TegrastatsSensor(program(tmp_path, "tegrastats", body))
    assert sensor.unavailable() is None
    given = sampled(sensor, 0.5)
    assert given.values.tolist() == [[900.0]]
    assert [fault.code for fault in given.faults] == ["sensor-garbage", "sensor-stopped"]
    assert "ended with status 3" in given.faults[1].text


def test_tegrastats_leaves_no_process(tmp_path: Path) -> None:
    body = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    body += f"print({NANO!r}, os.getpid(), flush=True)\ntime.sleep(60)\n"
    sensor = TegrastatsSensor(program(tmp_path, "tegrastats", body))
    sensor.start()
    process = sensor._process
    assert process is not None
    sensor.stop()
    assert process.returncode is not None


# Raspberry Pi 5


ADC = """\
 3V7_WL_SW_A current(0)=0.09466522A
   3V3_SYS_A current(1)=0.08197812A
  VDD_CORE_A current(7)={current:.8f}A
 3V7_WL_SW_V volt(8)=3.62925200V
   3V3_SYS_V volt(9)=3.31652900V
  VDD_CORE_V volt(15)=0.74944980V
     EXT5V_V volt(24)=5.08530000V
      BATT_V volt(25)=0.00000000V
"""
ADC_REST_MW = 1000 * (0.09466522 * 3.62925200 + 0.08197812 * 3.31652900)


def test_lines_of_the_pmic() -> None:
    powers = parse_adc(ADC.format(current=1.11625))
    assert list(powers) == ["3V7_WL_SW", "3V3_SYS", "VDD_CORE"]  # EXT5V and BATT have no current
    assert powers["VDD_CORE"] == pytest.approx(1000 * 1.11625 * 0.7494498)
    for text, said in (("", "no rail with"), ("EXT5V_V volt(24)=5.0V", "no rail with"), ("error=1", "is no voltage")):
        with pytest.raises(ValueError, match=said):
            parse_adc(text)
    with pytest.raises(ValueError, match="is no voltage or current"):
        parse_adc("VDD_CORE_A current(7)=1.1V")


VCGENCMD = """
import math, sys, time
assert sys.argv[1:] == ["pmic_read_adc"]
power = {mean} * (1 + {swing} * math.sin(2 * math.pi * time.monotonic() / {period}))
print({adc!r}.format(current=power / 749.4498), end="")
"""


@needs_a_quiet_moment
def test_pmic_along_a_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = VCGENCMD.format(adc=ADC, mean=CURVE.mean_mw, swing=CURVE.swing, period=CURVE.period_s)
    program(tmp_path, "vcgencmd", body)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    sensor = get_sensor("pmic?rate_hz=10")
    assert sensor.unavailable() is None
    assert sensor.rails == ("3V7_WL_SW", "3V3_SYS", "VDD_CORE")
    assert "everything at 5 V" in sensor.leaves_out
    assert energy_error(sensor, sampled(sensor), lambda a, b: CURVE.energy_mj(a, b) + ADC_REST_MW * (b - a)) < 0.01


def test_a_raspberry_pi_without_the_command(tmp_path: Path) -> None:
    body = "print('error=1 error_msg=\"Command not registered\"')\n"
    sensor = PmicSensor(program(tmp_path, "vcgencmd", body))
    assert "Command not registered" in str(sensor.unavailable())
    assert "only a Raspberry Pi 5 has it" in str(sensor.unavailable())
    assert "not a Raspberry Pi" in str(PmicSensor("vcgencmd-that-is-nowhere").unavailable())
    given = sampled(sensor, 1.5)
    assert {fault.code for fault in given.faults} == {"sensor-garbage", "sensor-stopped"}


# INA2xx on I2C: scripted registers


class Bus:
    """A chip's registers, as smbus2 gives them."""

    registers: ClassVar[dict[int, bytes]] = {}
    written: ClassVar[list[tuple[int, int]]] = []
    number: ClassVar[int] = -1

    def __init__(self, number: int) -> None:
        Bus.number = number

    def read_i2c_block_data(self, address: int, register: int, count: int) -> list[int]:
        assert address == 0x41
        if register not in self.registers:
            raise OSError(121, "Remote I/O error")
        assert len(self.registers[register]) == count
        return list(self.registers[register])

    def write_i2c_block_data(self, address: int, register: int, data: list[int]) -> None:
        self.written.append((register, int.from_bytes(bytes(data), "big")))

    def close(self) -> None:
        pass


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> type[Bus]:
    package = ModuleType("smbus2")
    package.SMBus = Bus  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "smbus2", package)
    Bus.registers.clear()
    Bus.written.clear()
    return Bus


def test_ina219(bus: type[Bus]) -> None:
    sensor = get_sensor("ina219:3?address=0x41&shunt_mohm=100")
    bus.registers.update({0x01: (1000).to_bytes(2, "big"), 0x02: ((1250 << 3) | 2).to_bytes(2, "big")})
    sensor.start()
    assert (bus.number, bus.written) == (3, [(0, 0x3E67)])
    assert sensor.read().values.item() == pytest.approx(1000 * 5.0 * 0.1)  # 5 V, 10 mV over 100 mOhm
    bus.registers[0x01] = (-1000).to_bytes(2, "big", signed=True)
    assert sensor.read().values.item() == pytest.approx(-500.0)
    assert sensor.relative_accuracy == pytest.approx(0.02)
    bus.registers.pop(0x02)
    with pytest.raises(DeviceError, match="no answer at /dev/i2c-3, address 0x41, shunt 100 mOhm any more"):
        sensor.read()


def test_ina226(bus: type[Bus]) -> None:
    sensor = get_sensor("ina226:/dev/i2c-1?address=65&shunt_mohm=10&accuracy=0.005")
    assert "no answer at /dev/i2c-1" in str(sensor.unavailable())
    bus.registers.update(
        {0xFE: b"TI", 0xFF: b"\x22\x60", 0x01: (4000).to_bytes(2, "big"), 0x02: (4000).to_bytes(2, "big")}
    )
    assert sensor.unavailable() is None
    sensor.start()
    assert sensor.read().values.item() == pytest.approx(1000 * 5.0 * 0.01 / 0.01)
    assert (sensor.relative_accuracy, sensor.accuracy) == (0.005, "within 0.500% as the user states")
    bus.registers[0xFF] = b"\x22\x70"
    assert "says 0x2270 in register 0xff; it is another one" in str(sensor.unavailable())


def test_ina228_counts_energy(bus: type[Bus]) -> None:
    sensor = Ina2xxSensor("ina228", address=0x41, shunt_mohm=15.0)
    bus.registers.update({0x3E: b"TI", 0x3F: b"\x22\x81", 0x09: bytes(5)})
    sensor.start()
    assert (0x02, 4096) in bus.written
    assert (sensor.kind, sensor.read().values.item()) == (SensorKind.COUNTER, 0.0)
    bus.registers[0x09] = (1_000_000).to_bytes(5, "big")
    step_a = 0.16384 / 0.015 / 2**19
    assert 13107.2e6 * step_a * 0.015 == pytest.approx(4096)  # SHUNT_CAL of the data sheet
    assert sensor.read().values.item() == pytest.approx(1000 * 16 * 3.2 * step_a * 1_000_000)


def test_what_an_i2c_sensor_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smbus2", None)
    assert "edgert[i2c]" in str(get_sensor("ina219").unavailable())
    with pytest.raises(MissingExtraError):
        get_sensor("ina219").start()
    assert set(CHIPS) <= set(SENSORS)


# battery, NVML


def test_a_battery(tmp_path: Path) -> None:
    assert "no battery under" in str(BatterySensor(tmp_path).unavailable())
    for name, files in {
        "AC": {"type": "Mains"},
        "BAT0": {"type": "Battery", "status": "Discharging", "power_now": "7500000"},
        "BAT1": {"type": "Battery", "status": "Discharging", "current_now": "-500000", "voltage_now": "12000000"},
        "hid-mouse": {"type": "Battery", "scope": "Device", "status": "Discharging"},
    }.items():
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(f"{text}\n")
    sensor = BatterySensor(tmp_path)
    assert (sensor.unavailable(), sensor.rails) == (None, ("BAT0", "BAT1"))
    assert sensor.read().values.tolist() == [[7500.0, 6000.0]]
    (tmp_path / "BAT0/power_now").write_text("")
    assert [fault.code for fault in sensor.read().faults] == ["sensor-garbage"]
    (tmp_path / "BAT1/status").write_text("Charging\n")
    assert "BAT1 is charging; unplug the charger" in str(sensor.unavailable())
    with pytest.raises(DeviceError, match="unplug the charger"):
        sensor.read()


NVML = r"""
static unsigned long long energy = 1000;
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) { *handle = (void *)&energy; return index ? 6 : 0; }
int nvmlDeviceGetName(void *handle, char *name, unsigned size) {
  const char *text = "Scripted"; unsigned i = 0;
  while (i + 1 < size && text[i]) { name[i] = text[i]; i++; }
  name[i] = 0; return handle == (void *)&energy ? 0 : 2; }
int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *value) {
  energy += 250; *value = energy; return handle == (void *)&energy ? COUNTS : 2; }
int nvmlDeviceGetPowerUsage(void *handle, unsigned *value) { *value = 71000; return handle == (void *)&energy ? 0 : 2; }
const char *nvmlErrorString(int status) { return status == 6 ? "Not Found" : "Not Supported"; }
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_nvml(tmp_path: Path) -> None:
    """Against a library with the same functions, so that the calls' arguments are what C expects."""
    for counts in (0, 3):
        source = tmp_path / f"nvml{counts}.c"
        source.write_text(NVML)
        subprocess.run(
            ["cc", f"-DCOUNTS={counts}", "-shared", "-fPIC", "-o", source.with_suffix(".so"), source], check=True
        )
    counter = NvmlSensor(library=str(tmp_path / "nvml0.so"))
    assert counter.unavailable() is None
    counter.start()
    assert (counter.kind, counter.rails) == (SensorKind.COUNTER, ("GPU 0 (Scripted)",))
    first, second = (counter.read().values.item() for _ in range(2))
    assert second - first == 250.0
    counter.stop()
    power = NvmlSensor(library=str(tmp_path / "nvml3.so"))
    power.start()
    assert (power.kind, power.read().values.item()) == (SensorKind.POLLED, 71_000.0)
    power.stop()
    assert "nvmlDeviceGetHandleByIndex_v2: Not Found (6)" in str(
        NvmlSensor(1, library=str(tmp_path / "nvml0.so")).unavailable()
    )
    assert "no NVIDIA driver" in str(NvmlSensor(library="libnvidia-that-is-nowhere.so").unavailable())


# meters on the laptop's serial port: a pseudo-terminal


@pytest.fixture
def port() -> Iterator[tuple[int, str]]:
    """The meter's end of a line, and the URL of the other."""
    pty = pytest.importorskip("pty")
    tty = pytest.importorskip("tty")
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    tty.setraw(ours)
    yield ours, f"serial://{os.ttyname(theirs)}"
    os.close(ours)
    os.close(theirs)


def along(write: Callable[[], None], rate_hz: float, ending: threading.Event) -> threading.Thread:
    """Writes at a rate until the end."""

    def loop() -> None:
        due_s = time.monotonic()
        while not ending.is_set():
            write()
            due_s += 1 / rate_hz
            ending.wait(max(due_s - time.monotonic(), 0))

    thread = threading.Thread(target=loop)
    thread.start()
    return thread


@needs_a_quiet_moment
def test_serial_meter_along_a_curve(port: tuple[int, str]) -> None:
    ours, url = port
    sensor = open_meter_sensor(f"serial-meter:{url}?rate_hz=50&baud=115200")
    ending = threading.Event()
    thread = along(lambda: os.write(ours, b"%.3f 0\r\n" % CURVE.power_mw(time.monotonic())) and None, 50.0, ending)
    try:
        assert energy_error(sensor, sampled(sensor), CURVE.energy_mj) < 0.01
    finally:
        ending.set()
        thread.join()


def test_a_serial_meter_that_sends_garbage(port: tuple[int, str]) -> None:
    ours, url = port
    sensor = open_meter_sensor(f"serial-meter:{url}?rate_hz=10")
    sampler = Sampler(sensor)
    sampler.start()
    os.write(ours, b"cut off\n12.5\n13.5 1\nx\xff1\n,\n14,0\n")
    time.sleep(0.3)
    given = sampler.stop()
    assert given.values[:, 0].tolist() == [12.5, 13.5, 14.0]
    assert [fault.code for fault in given.faults] == ["sensor-garbage"] * 2
    assert np.all(np.diff(given.time_s) > 0)


def test_a_meter_that_is_unplugged() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    sensor = open_meter_sensor(f"serial-meter:socket://127.0.0.1:{server.getsockname()[1]}?rate_hz=10")
    sampler = Sampler(sensor)
    sampler.start()
    connection, _ = server.accept()
    connection.sendall(b"1\n2\n3\n")
    connection.close()
    time.sleep(0.2)
    given = sampler.stop()
    server.close()
    assert given.values[:, 0].tolist() == [2.0, 3.0]
    assert [fault.code for fault in given.faults] == ["sensor-stopped"]
    assert "the line is gone" in given.faults[0].text


def answer(model: int, volts: int, amperes: int) -> bytes:
    """An answer of a UM meter: 130 bytes, the head filled in."""
    return struct.pack(">HHHI", model, volts, amperes, 0) + bytes(118) + b"\xff\xf1"


@pytest.mark.parametrize(
    ("name", "head", "power_mw"),
    [
        ("um25c", (0x09C9, 5123, 10_000), 5123.0),
        ("um24c", (0x0963, 512, 1000), 5120.0),
        ("um34c", (0x0D4C, 512, 1000), 5120.0),
    ],
)
def test_usb_meters(port: tuple[int, str], name: str, head: tuple[int, int, int], power_mw: float) -> None:
    ours, url = port
    sensor = open_meter_sensor(f"{name}:{url}?accuracy=0.01")
    answers = [answer(*head), b"x" * 130, answer(*head)[:50], answer(*head)]

    def meter() -> None:
        for text in answers:
            assert os.read(ours, 1) == b"\xf0"
            os.write(ours, text)

    thread = threading.Thread(target=meter)
    thread.start()
    sensor.start()
    given = [sensor.read() for _ in answers]
    sensor.stop()
    thread.join()
    assert given[0].values.item() == pytest.approx(power_mw)
    assert "it starts with 0x7878, which is none of 0x0963, 0x09c9, 0x0d4c" in given[1].faults[0].text
    assert "50 bytes came; an answer has 130" in given[2].faults[0].text
    assert given[3].values.item() == pytest.approx(power_mw)
    assert (sensor.relative_accuracy, sensor.rate_hz) == (0.01, 4.0)


def test_an_instrument_that_speaks_scpi() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []

    def instrument() -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rwb") as line:
            for answer in (b"+5.000E+00\n", b"0.25\r\n", b"5.0\n", b"ERR\n"):
                asked.append(line.readline())
                line.write(answer)
                line.flush()

    thread = threading.Thread(target=instrument)
    thread.start()
    sensor = open_meter_sensor(f"scpi:socket://127.0.0.1:{server.getsockname()[1]}?amperes=MEAS:CURR? CH1&rate_hz=10")
    sensor.start()
    good, bad = sensor.read(), sensor.read()
    sensor.stop()
    thread.join()
    server.close()
    assert good.values.item() == pytest.approx(1250.0)
    assert asked == [b"MEAS:VOLT?\n", b"MEAS:CURR? CH1\n"] * 2
    assert "MEAS:CURR? CH1 was answered by 'ERR', which is no number" in bad.faults[0].text
    with pytest.raises(UsageError, match="write --energy 'scpi:socket"):
        open_meter_sensor("scpi")


# names and settings


def test_every_sensor_says_what_it_is() -> None:
    for name in SENSORS:
        sensor = get_sensor(name)
        assert sensor.name == name
        assert sensor.accuracy
        assert sensor.limit_mw > 0
        assert sensor.rate_hz > 0
        assert sensor.unavailable() is None or sensor.unavailable()
    assert set(AUTO) <= set(SENSORS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("inna226", "no energy sensor 'inna226'; did you mean 'ina226'"),
        ("ina226?shunt_ohm=3", "ina226 has no setting 'shunt_ohm'; did you mean 'shunt_mohm'"),
        ("ina226?address=x", "address is 'x'; it must be a whole number"),
        ("ina226:bus", "the place is a bus, such as 1"),
        ("ina226?shunt_mohm=0", "shunt_mohm is 0; it must be above 0"),
        ("rapl?rate_hz=9999", "rate_hz is 9999; it must be above 0 and at most 200"),
        ("rapl?accuracy=much", "'much' is no number"),
        ("nvml:first", "the place is the number of a GPU"),
    ],
)
def test_words_that_name_no_sensor(words: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        choose_sensor(words)


def test_a_usb_meter_has_no_gate() -> None:
    with pytest.raises(UsageError, match="um25c has no digital input for the marker pin; use one of ppk2"):
        open_meter("um25c:serial:///dev/rfcomm0")
    with pytest.raises(UsageError, match="write --energy 'um25c:serial:///dev/rfcomm0'"):
        open_meter_sensor("um25c")


class OtherSensor(Ina3221Sensor):
    name = "other"


def test_a_sensor_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with the entry point, on the path as pip would leave it."""
    folder = tmp_path / "their_sensor-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: their-sensor\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[edgert.energy_sensors]\nother = their_sensor:make\n")
    (tmp_path / "their_sensor.py").write_text(
        "from tests.unit.test_energy_sensors import OtherSensor\n"
        "def make(settings):\n    return OtherSensor(rate_hz=settings.number('rate_hz', 7.0))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    sensor: Any = get_sensor("other?rate_hz=3&accuracy=0.1")
    assert (sensor.name, sensor.rate_hz, sensor.relative_accuracy) == ("other", 3.0, 0.1)
    assert choose_sensor("other")[1].startswith("other: no INA3221 under")
