from __future__ import annotations

import os
from pathlib import Path

from edgert.profiler.device_facts import read_device
from edgert.profiler.environment import EnvironmentReader, read_memory_bytes


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


RASPBERRY_PI = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0",
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n"
    "Hardware\t: BCM2835\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
    "proc/meminfo": "MemTotal:        4147216 kB\nMemAvailable:    3500000 kB\n",
    "proc/loadavg": "0.42 0.30 0.20 1/200 999\n",
    "proc/pressure/memory": "some avg10=1.50 avg60=0.00 avg300=0.00 total=0\n",
    "proc/stat": "cpu  100 0 50 9000 10 0 0 0 0 0\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "2400000\n",
    "sys/class/thermal/thermal_zone0/temp": "61250\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
}


def test_a_raspberry_pi_is_read(tmp_path: Path) -> None:
    root = write(tmp_path, RASPBERRY_PI)
    device = read_device(root)
    assert device.board == "Raspberry Pi 5 Model B Rev 1.0"
    assert device.soc == "Broadcom BCM2712"
    assert device.core == "Cortex-A76"
    assert device.ram_bytes == 4147216 * 1024
    sample = EnvironmentReader(root).sample()
    assert sample.governors == ("ondemand", "ondemand")
    assert sample.clocks_mhz == (1500.0, 2400.0)
    assert sample.temperatures_c == {"thermal_zone0:cpu-thermal": 61.25}
    assert sample.throttle_flags == "50005"
    assert sample.load_average_1m == 0.42
    assert sample.memory_available_bytes == 3500000 * 1024
    assert sample.memory_pressure_avg10 == 1.5


def test_a_system_that_shows_nothing(tmp_path: Path) -> None:
    reader = EnvironmentReader(tmp_path)
    for sample in (reader.sample(), reader.sample()):
        assert sample.governors == ()
        assert sample.clocks_mhz == ()
        assert sample.temperatures_c == {}
        assert sample.throttle_flags is sample.load_average_1m is sample.competing_cores is None
    assert read_device(tmp_path).name
    assert read_memory_bytes("VmRSS", tmp_path) is None


def test_damaged_files_count_as_unreadable(tmp_path: Path) -> None:
    broken = dict.fromkeys(RASPBERRY_PI, "\xff garbage \0")
    root = write(tmp_path, broken)
    sample = EnvironmentReader(root).sample()
    assert sample.clocks_mhz == ()
    assert sample.temperatures_c == {}
    assert sample.load_average_1m is None


def test_this_process_has_a_size() -> None:
    if not Path("/proc/self/status").exists():
        assert read_memory_bytes("VmRSS") is None
        return
    now, peak = read_memory_bytes("VmRSS"), read_memory_bytes("VmHWM")
    assert now is not None
    assert peak is not None
    assert 1 << 20 < now <= peak + (1 << 20)


def test_the_work_of_others_is_counted(tmp_path: Path) -> None:
    root = write(tmp_path, RASPBERRY_PI)
    reader = EnvironmentReader(root)
    assert reader.sample().competing_cores is None
    reader._last = (reader._last[0] - 10.0, *reader._last[1:])  # ten seconds ago
    ticks = os.sysconf("SC_CLK_TCK")
    (root / "proc/stat").write_text(f"cpu  {100 + 20 * ticks} 0 50 9000 10 0 0 0 0 0\n")
    competing = reader.sample().competing_cores
    assert competing is not None
    assert abs(competing - 2.0) < 0.1
