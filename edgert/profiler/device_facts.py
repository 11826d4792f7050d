"""What the system says about its board, its processor and its release; tables turn numbers into names."""

from __future__ import annotations

import collections
import os
import platform
from pathlib import Path

from edgert.profiler.record import DeviceFacts
from edgert.profiler.system_files import read_fields, read_text

__all__ = ["ARM_CORES", "SOCS", "read_device"]

_ROOT = Path("/")

ARM_CORES = {
    ("0x41", "0xc07"): "Cortex-A7",
    ("0x41", "0xc09"): "Cortex-A9",
    ("0x41", "0xc0f"): "Cortex-A15",
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd04"): "Cortex-A35",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0a"): "Cortex-A75",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd0d"): "Cortex-A77",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd41"): "Cortex-A78",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd44"): "Cortex-X1",
    ("0x41", "0xd46"): "Cortex-A510",
    ("0x41", "0xd47"): "Cortex-A710",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4d"): "Cortex-A715",
    ("0x41", "0xd4f"): "Neoverse-V2",
    ("0x41", "0xd80"): "Cortex-A520",
    ("0x41", "0xd81"): "Cortex-A720",
    ("0x4e", "0x003"): "Denver 2",
    ("0x4e", "0x004"): "Carmel",  # codespell:ignore
}
"""(CPU implementer, CPU part) of /proc/cpuinfo, that is of MIDR_EL1 -> core.

Source: Linux, arch/arm64/include/asm/cputype.h and arch/arm/include/asm/cputype.h.
"""

SOCS = {
    "brcm,bcm2711": "Broadcom BCM2711",
    "brcm,bcm2712": "Broadcom BCM2712",
    "brcm,bcm2835": "Broadcom BCM2835",
    "brcm,bcm2836": "Broadcom BCM2836",
    "brcm,bcm2837": "Broadcom BCM2837",
    "nvidia,tegra186": "NVIDIA Tegra186 (TX2)",
    "nvidia,tegra194": "NVIDIA Tegra194 (Xavier)",
    "nvidia,tegra210": "NVIDIA Tegra210 (TX1, Nano)",
    "nvidia,tegra234": "NVIDIA Tegra234 (Orin)",
    "rockchip,rk3588": "Rockchip RK3588",
    "rockchip,rk3588s": "Rockchip RK3588S",
}
"""Compatible string of the device tree -> system on chip; one that is not here keeps the string itself."""


def read_device(root: Path = _ROOT, target: str | None = None) -> DeviceFacts:
    """Returns what this system says about itself; `target` is what the laptop calls such boards."""
    board = read_text(root / "proc/device-tree/model") or read_text(root / "sys/class/dmi/id/product_name")
    cpuinfo = read_text(root / "proc/cpuinfo") or ""
    soc = _soc(root) or _cpu_name(cpuinfo) or platform.processor() or None
    core = _core(cpuinfo)
    memory = read_fields(root / "proc/meminfo").get("MemTotal")
    return DeviceFacts(
        name=board or soc or core or platform.machine(),
        board=board,
        soc=soc,
        architecture=platform.machine(),
        cores=os.cpu_count(),
        ram_bytes=None if memory is None else memory * 1024,
        system=platform.system(),
        kernel=platform.release(),
        core=core,
        target=target,
        release=_release(root),
    )


def _soc(root: Path) -> str | None:
    """The most general entry of the device tree's list stands last."""
    text = read_text(root / "proc/device-tree/compatible")
    if text is None:
        return None
    last = text.split("\0")[-1]
    return SOCS.get(last, last)


def _cpu_name(cpuinfo: str) -> str | None:
    return next((value for name, value in _pairs(cpuinfo) if name == "model name" and value), None)


def _core(cpuinfo: str) -> str | None:
    """`Cortex-A72`, or `4x Cortex-A55 + 4x Cortex-A76` where cores differ; numbers where the table does not know."""
    makers = [value for name, value in _pairs(cpuinfo) if name == "CPU implementer"]
    parts = [value for name, value in _pairs(cpuinfo) if name == "CPU part"]
    counts = collections.Counter(zip(makers, parts, strict=False))
    names = {key: ARM_CORES.get(key, f"implementer {key[0]} part {key[1]}") for key in counts}
    if len(names) == 1:
        return next(iter(names.values()))
    return " + ".join(f"{count}x {names[key]}" for key, count in sorted(counts.items())) or None


def _pairs(cpuinfo: str) -> list[tuple[str, str]]:
    parts = (line.partition(":") for line in cpuinfo.splitlines())
    return [(name.strip(), value.strip()) for name, _, value in parts]


def _release(root: Path) -> str | None:
    """The distribution, and on a Jetson the version of Linux for Tegra, whose file begins `# R36 (release), ...`."""
    lines = (read_text(root / "etc/os-release") or "").splitlines()
    named = [line.partition("=")[2].strip('"') for line in lines if line.startswith("PRETTY_NAME=")]
    words = (read_text(root / "etc/nv_tegra_release") or "").replace(",", " ").split()
    if len(words) > 4 and words[1].startswith("R") and words[3] == "REVISION:":
        named.append(f"L4T {words[1]}.{words[4]}")
    return ", ".join(named) or None
