from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgert.bundle import Bundle
from edgert.codec import to_plain
from edgert.profiler.device_facts import read_device
from edgert.profiler.environment import EnvironmentReader
from edgert.profiler.report import build_report
from edgert.profiler.throttling import ThrottleReader, read_power_mode
from tests import bundle_example
from tests import record_example as example

PI_4 = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/device-tree/compatible": "raspberrypi,4-model-b\0brcm,bcm2711\0",
    "proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian"\n',
}
JETSON = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0",
    "proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n",
    "var/lib/nvpmodel/status": "pmode:0002 fmode:quiet",
    "sys/class/devfreq/17000000.gpu/cur_freq": "624750000\n",
    "sys/class/thermal/thermal_zone0/temp": "49625\n",
    "sys/class/thermal/thermal_zone0/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "-256000\n",
    "sys/class/thermal/thermal_zone1/type": "cv0-thermal\n",
    "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
    "sys/class/thermal/cooling_device0/cur_state": "3\n",
    "sys/class/thermal/cooling_device1/type": "cpu-throttle-alert\n",
    "sys/class/thermal/cooling_device1/cur_state": "1\n",
    "sys/class/thermal/cooling_device2/type": "devfreq-17000000.gpu\n",
    "sys/class/thermal/cooling_device2/cur_state": "0\n",
    "sys/class/hwmon/hwmon4/oc3_event_cnt": "7\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "1510400\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1510400\n",
}


def board(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def vcgencmd(root: Path, script: str) -> Path:
    program = root / "usr/bin/vcgencmd"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_the_flags_of_a_raspberry_pi_come_from_vcgencmd(tmp_path: Path) -> None:
    state = tmp_path / "flags"
    state.write_text("0x0")
    vcgencmd(board(tmp_path, PI_4), f'[ "$1" = get_throttled ] && echo "throttled=$(cat {state})"')
    reader = EnvironmentReader(tmp_path)
    before = reader.sample()
    state.write_text("0x50005")
    during = reader.sample()
    record = reader.record(before, [during])
    assert [sample.throttle_flags for sample in record.samples()] == ["0x0", "0x50005", "0x50005"]
    assert record.unreadable == ()


def test_a_vcgencmd_that_may_not_ask_is_asked_once(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    vcgencmd(board(tmp_path, PI_4), f"echo >> {calls}; echo VCHI initialization failed; exit 255")
    reader = ThrottleReader(tmp_path)
    assert [reader.flags(), reader.flags()] == [None, None]
    assert reader.unreadable == ("throttle flags: vcgencmd get_throttled said 'VCHI initialization failed'",)
    assert len(calls.read_text()) == 1


def test_a_vcgencmd_that_hangs_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgert.profiler.throttling._PROGRAM_LIMIT_S", 0.2)
    vcgencmd(board(tmp_path, PI_4), "exec sleep 60")
    reader = ThrottleReader(tmp_path)
    assert reader.flags() is None
    assert reader.unreadable == ("throttle flags: vcgencmd get_throttled said 'nothing within 0.2 s'",)


def test_a_raspberry_pi_without_vcgencmd_says_so_and_another_board_does_not(tmp_path: Path) -> None:
    pi, jetson = board(tmp_path / "pi", PI_4), board(tmp_path / "jetson", JETSON)
    assert ThrottleReader(pi).unreadable[0].endswith("vcgencmd is not installed")
    assert ThrottleReader(jetson).unreadable == ()


def test_a_jetson_is_read(tmp_path: Path) -> None:
    root = board(tmp_path, JETSON)
    reader = EnvironmentReader(root)
    sample = reader.sample()
    assert sample.temperatures_c == {"thermal_zone0:gpu-thermal": 49.625}
    assert sample.cooling == {"cooling_device1:cpu-throttle-alert": 1, "cooling_device2:devfreq-17000000.gpu": 0}
    assert sample.throttle_counts == {"class/hwmon/hwmon4/oc3_event_cnt": 7}
    assert sample.gpu_clock_mhz == 624.75
    assert sample.clocks_locked is True
    assert reader.record(sample, []).power_mode == "MAXN_SUPER"
    device = read_device(root, target="jetson-orin-nano")
    assert (device.soc, device.core, device.release) == ("NVIDIA Tegra234 (Orin)", "Cortex-A78AE", "L4T R36.4.3")
    assert device.target == "jetson-orin-nano"


def test_the_power_mode_is_asked_for_where_no_file_tells(tmp_path: Path) -> None:
    assert read_power_mode(tmp_path) is None
    program = tmp_path / "usr/sbin/nvpmodel"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\n[ "$1" = -q ] && printf "NV Power Mode: MAXN\\n0\\n"\n')
    program.chmod(0o755)
    assert read_power_mode(tmp_path) == "MAXN"


def test_counters_of_an_x86_processor(tmp_path: Path) -> None:
    root = board(tmp_path, {"sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "4\n"})
    assert ThrottleReader(root).counts() == {"devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": 4}


@pytest.mark.parametrize(
    ("cpuinfo", "core"),
    [
        ("CPU implementer : 0x41\nCPU part : 0xd08\n" * 4, "Cortex-A72"),
        ("CPU implementer : 0x41\nCPU part : 0xd05\nCPU implementer : 0x41\nCPU part : 0xd0b\n" * 4,
         "4x Cortex-A55 + 4x Cortex-A76"),
        ("CPU implementer : 0x99\nCPU part : 0x123\n", "implementer 0x99 part 0x123"),
        ("model name : AMD EPYC\n", None),
    ],
)  # fmt: skip
def test_cores_have_names(tmp_path: Path, cpuinfo: str, core: str | None) -> None:
    assert read_device(board(tmp_path, {"proc/cpuinfo": cpuinfo})).core == core


def test_a_soc_that_no_table_knows_keeps_its_string(tmp_path: Path) -> None:
    root = board(tmp_path, {"proc/device-tree/compatible": "acme,board\0acme,chip-9\0"})
    assert read_device(root).soc == "acme,chip-9"


def test_the_new_facts_do_not_change_who_may_be_compared() -> None:
    told = dataclasses.replace(example.DEVICE, core="Cortex-A72", target="raspberry-pi-4", release="Debian 12")
    assert told.identity() == example.DEVICE.identity()


def test_the_report_shows_board_mode_and_flags(tmp_path: Path) -> None:
    bundle = bundle_example.write(tmp_path)
    device = dataclasses.replace(example.DEVICE, core="Cortex-A78AE", release="L4T R36.4.3")
    quiet = example.environment(example.sample(1, throttle_flags="0x50005"))
    with Bundle.open(bundle) as opened:
        variant = opened.manifest.variant("onnx-fp32")
        model = dataclasses.replace(example.record().model, variant_sha256=opened.manifest.files[variant.path].sha256)
        environment = dataclasses.replace(quiet, power_mode="MAXN_SUPER")
        record = example.record(device=device, environment=environment, model=model, variant="onnx-fp32")
        page = build_report(opened, [to_plain(record)])
    assert all(word in page for word in ("Cortex-A78AE", "L4T R36.4.3", "power mode MAXN_SUPER", "flags 0x0, 0x50005"))
