"""Writes what a board of a kind shows in /sys and /proc and what its maker's tools print.

Two folders result: `sys`, shown as /sys, and `state`, shown as /run/fakeboard, from which the stand-ins of vcgencmd,
tegrastats and nvpmodel print. Both may be changed while the board runs (controls.py).
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.emulation.kinds import Kind

_SERIAL = "10000000deadbeef"
INA3221 = "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
FIRMWARE_THROTTLED = "devices/platform/soc/soc:firmware/get_throttled"
_MEMINFO = ("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapTotal", "SwapFree")

_VCGENCMD = """#!/bin/sh
S=/run/fakeboard
case "$1" in
get_throttled) echo "throttled=$(cat $S/throttled)" ;;
measure_temp) echo "temp=$(cat $S/temperature)'C" ;;
measure_clock) case "$2" in arm) echo "frequency(48)=$(cat $S/arm_hz)" ;; *) echo 'frequency(1)=500000992' ;; esac ;;
measure_volts) echo 'volt=0.8500V' ;;
pmic_read_adc) if [ -e $S/pmic ]; then cat $S/pmic; else echo 'error=1 error_msg="Command not registered"'; fi ;;
*) echo 'error=1 error_msg="Command not registered"' ;;
esac
"""
# the line without its date is read anew each time, so that its figures can be scripted
_TEGRASTATS = """#!/bin/sh
interval=1000
while [ $# -gt 0 ]; do
    case "$1" in --interval) interval=$2; shift ;; esac
    shift
done
while :; do
    echo "$(date '+%m-%d-%Y %H:%M:%S') $(cat /run/fakeboard/tegrastats)"
    sleep "$(awk "BEGIN { print $interval / 1000 }")" || exit
done
"""
_NVPMODEL = """#!/bin/sh
cat /run/fakeboard/nvpmodel
"""
_TEGRASTATS_LINE = (
    "RAM 1343/7620MB (lfb 157x4MB) SWAP 165/3810MB (cached 3MB) CPU [0%@1497,0%@729,0%@729,0%@729,0%@729,0%@729] "
    "EMC_FREQ 15%@204 GR3D_FREQ 0%@[305] NVDEC off NVJPG off VIC off OFA off APE 200 cpu@48.562C soc2@46.593C "
    "soc0@48.625C gpu@49.625C tj@49.312C soc1@47.937C "
)
_PMIC = """ 3V7_WL_SW_A current(0)=0.09466522A
   3V3_SYS_A current(1)=0.08197812A
   1V8_SYS_A current(2)=0.15029320A
  DDR_VDD2_A current(3)=0.00390372A
  DDR_VDDQ_A current(4)=0.00000000A
   1V1_SYS_A current(5)=0.20299340A
    0V8_SW_A current(6)=0.30546610A
  VDD_CORE_A current(7)=1.11625000A
   3V3_DAC_A current(17)=0.00000000A
   3V3_ADC_A current(18)=0.00018315A
   0V8_AON_A current(16)=0.00274725A
      HDMI_A current(22)=0.01660560A
 3V7_WL_SW_V volt(8)=3.62925200V
   3V3_SYS_V volt(9)=3.31652900V
   1V8_SYS_V volt(10)=1.79877700V
  DDR_VDD2_V volt(11)=1.10146400V
  DDR_VDDQ_V volt(12)=0.60622650V
   1V1_SYS_V volt(13)=1.10402800V
    0V8_SW_V volt(14)=0.79853400V
  VDD_CORE_V volt(15)=0.74944980V
   3V3_DAC_V volt(20)=3.31043600V
   3V3_ADC_V volt(21)=3.31684600V
   0V8_AON_V volt(19)=0.79794790V
      HDMI_V volt(23)=5.10138000V
     EXT5V_V volt(24)=5.08530000V
      BATT_V volt(25)=0.00000000V
"""


def write_sys(kind: Kind, folder: Path) -> None:
    """Writes the tree that the board shows as /sys."""
    tree = "firmware/devicetree/base"
    _write(folder / tree / "model", kind.model + "\0")
    _write(folder / tree / "compatible", "".join(name + "\0" for name in kind.compatible))
    _write(folder / tree / "serial-number", _SERIAL + "\0")
    _write_cpus(kind, folder / "devices/system/cpu")
    for number, (name, value) in enumerate(kind.zones):
        _write(folder / f"class/thermal/thermal_zone{number}/type", name)
        _write(folder / f"class/thermal/thermal_zone{number}/temp", value)
    if kind.revision:
        _write(folder / FIRMWARE_THROTTLED, "0")
    if kind.rails:
        _write_ina3221(kind, folder)


def _write_cpus(kind: Kind, folder: Path) -> None:
    for name in ("possible", "present", "online"):
        _write(folder / name, f"0-{kind.cores - 1}")
    _write(folder / "kernel_max", 255)
    for number in range(kind.cores):
        cpu = folder / f"cpu{number}"
        _write(cpu / "regs/identification/midr_el1", f"0x{kind.midr:016x}")
        _write(cpu / "cpufreq/scaling_governor", kind.governor)
        governors = "conservative ondemand userspace powersave performance schedutil"
        _write(cpu / "cpufreq/scaling_available_governors", governors)
        for name in ("scaling_cur_freq", "scaling_max_freq", "cpuinfo_max_freq"):
            _write(cpu / "cpufreq" / name, kind.max_khz)
        for name in ("scaling_min_freq", "cpuinfo_min_freq"):
            _write(cpu / "cpufreq" / name, 600000)


def _write_ina3221(kind: Kind, folder: Path) -> None:
    chip = folder / INA3221
    _write(chip / "name", "ina3221")
    for number, (label, mv, ma) in enumerate(kind.rails, 1):
        _write(chip / f"in{number}_label", label)
        _write(chip / f"in{number}_input", mv)
        _write(chip / f"curr{number}_input", ma)
        _write(chip / f"curr{number}_max", 32760)
        _write(chip / f"curr{number}_crit", 32760)
    link = folder / "class/hwmon/hwmon1"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(chip, link.parent))


def write_state(kind: Kind, folder: Path) -> None:
    """Writes the files of /run/fakeboard; those below its `proc` stand for files of /proc."""
    _write(folder / "proc/cpuinfo", _cpuinfo(kind), end="")
    _write(folder / "proc/meminfo", meminfo(kind, kind.memory_kib * 3 // 4), end="")
    _write(folder / "proc/stat", "cpu  0 0 0 0 0 0 0 0 0 0")  # feeder.py keeps it up
    for name in ("cpu", "io", "memory"):
        _write(folder / "proc/pressure" / name, pressure(0.0), end="")
    if kind.revision:
        _write(folder / "throttled", "0x0")
        _write(folder / "temperature", f"{kind.zones[0][1] / 1000:.1f}")
        _write(folder / "arm_hz", kind.max_khz * 1000)
    if kind.pmic:
        _write(folder / "pmic", _PMIC, end="")
    if kind.rails:
        _write(folder / "tegrastats", tegrastats_line({label: mv * ma // 1000 for label, mv, ma in kind.rails}))
        _write(folder / "nvpmodel", "NV Power Mode: 15W\n0")


def write_tools(kind: Kind, folder: Path) -> None:
    """Writes the stand-ins of the maker's tools, for /usr/local/bin."""
    tools = {"vcgencmd": _VCGENCMD} if kind.revision else {"tegrastats": _TEGRASTATS, "nvpmodel": _NVPMODEL}
    for name, script in tools.items():
        _write(folder / name, script, end="")
        (folder / name).chmod(0o755)


def tegrastats_line(rails_mw: dict[str, int]) -> str:
    """Returns a line of tegrastats without its date, as an Orin Nano prints it; average equals present power."""
    return _TEGRASTATS_LINE + " ".join(f"{name} {mw}mW/{mw}mW" for name, mw in rails_mw.items())


def meminfo(kind: Kind, available_kib: int) -> str:
    """Returns /proc/meminfo of the board, in the kernel's format, without swap."""
    values = (kind.memory_kib, available_kib // 2, available_kib, 0, available_kib // 2, 0, 0)
    return "".join(f"{name + ':':<15} {value:>8} kB\n" for name, value in zip(_MEMINFO, values, strict=True))


def pressure(avg10: float) -> str:
    """Returns a file of /proc/pressure, in the kernel's format."""
    return "".join(f"{who} avg10={avg10:.2f} avg60=0.00 avg300=0.00 total=0\n" for who in ("some", "full"))


def _cpuinfo(kind: Kind) -> str:
    variant, part, revision = kind.midr >> 20 & 0xF, kind.midr >> 4 & 0xFFF, kind.midr & 0xF
    lines = []
    for number in range(kind.cores):
        lines.append(f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: {kind.features}\n")
        lines.append("CPU implementer\t: 0x41\nCPU architecture: 8\n")
        lines.append(f"CPU variant\t: 0x{variant:x}\nCPU part\t: 0x{part:03x}\nCPU revision\t: {revision}\n\n")
    if kind.revision:
        lines.append(f"Revision\t: {kind.revision}\nSerial\t\t: {_SERIAL}\nModel\t\t: {kind.model}\n")
    return "".join(lines)


def _write(path: Path, value: object, end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}{'' if str(value).endswith(chr(0)) else end}")
