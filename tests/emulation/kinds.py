"""What tells one emulated board from another: facts as data, in the formats captured from real boards.

The processor's features must fit the emulated core: engines choose their kernels by them, and an instruction that the
core does not know ends the process. What is not written here is the same on every board (facts.py).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TypeAlias

from tests.emulation.rootfs import BOOKWORM, BULLSEYE, TRIXIE, Suite

_A53 = "fp asimd evtstrm crc32 cpuid"
_A76 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
_PI_KERNEL = "6.6.31+rpt-rpi-v8"
_JETSON_KERNEL = "5.15.148-tegra"
_TEGRA = (
    "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
    "DATE: Wed Jan  8 01:49:37 UTC 2025\n"
)

Rails: TypeAlias = tuple[tuple[str, int, int], ...]
"""Rails of an INA3221: label, mV, mA."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One model of board; `cpu` is QEMU's name of the core, `midr` the register that Linux shows of it."""

    model: str
    compatible: tuple[str, ...]
    cpu: str
    features: str
    midr: int
    cores: int
    max_khz: int
    memory_kib: int
    kernel: str
    governor: str = "ondemand"
    suite: Suite = BOOKWORM
    zones: tuple[tuple[str, int], ...] = (("cpu-thermal", 48300),)  # name, thousandths of a degree Celsius
    rails: Rails = ()
    revision: str | None = None  # Raspberry Pi's code in /proc/cpuinfo
    pmic: bool = False
    nv_tegra_release: str | None = None


def _pi(model: str, tree: str, soc: str, revision: str, core: tuple[str, str, int], khz: int, mib: int) -> Kind:
    cpu, features, midr = core
    return Kind(
        model=model,
        compatible=(f"raspberrypi,{tree}", f"brcm,{soc}"),
        cpu=cpu,
        features=features,
        midr=midr,
        cores=4,
        max_khz=khz,
        memory_kib=mib * 1024,
        kernel=_PI_KERNEL,
        revision=revision,
        pmic=soc == "bcm2712",
    )


def _jetson(model: str, tree: tuple[str, ...], cores: int, khz: int, mib: int, rails: Rails) -> Kind:
    return Kind(
        model=model,
        compatible=(*tree, "nvidia,tegra234"),
        cpu="cortex-a76",  # the nearest core that QEMU has to the Cortex-A78AE
        features=_A76 + " uscat ilrcpc flagm paca pacg",
        midr=0x410FD421,
        cores=cores,
        max_khz=khz,
        memory_kib=mib * 1024,
        kernel=_JETSON_KERNEL,
        governor="schedutil",
        zones=(("cpu-thermal", 48562), ("gpu-thermal", 49625), ("soc0-thermal", 48625), ("tj-thermal", 49312)),
        rails=rails,
        nv_tegra_release=_TEGRA,
    )


_CORE_A53 = ("cortex-a53", _A53, 0x410FD034)
_CORE_A72 = ("cortex-a72", _A53, 0x410FD083)
_CORE_A76 = ("cortex-a76", _A76, 0x414FD0B1)
_PI4 = _pi("Raspberry Pi 4 Model B Rev 1.4", "4-model-b", "bcm2711", "c03114", _CORE_A72, 1500000, 3792)

KINDS: dict[str, Kind] = {
    "pi-zero-2": _pi("Raspberry Pi Zero 2 W Rev 1.0", "model-zero-2-w", "bcm2837", "902120", _CORE_A53, 1000000, 416),
    "pi3": _pi("Raspberry Pi 3 Model B Rev 1.2", "3-model-b", "bcm2837", "a02082", _CORE_A53, 1200000, 906),
    "pi4": _PI4,
    "pi5": _pi("Raspberry Pi 5 Model B Rev 1.0", "5-model-b", "bcm2712", "c04170", _CORE_A76, 2400000, 4045),
    "orin-nano": _jetson(
        "NVIDIA Jetson Orin Nano Developer Kit",
        ("nvidia,p3768-0000+p3767-0005", "nvidia,p3767-0005"),
        cores=6,
        khz=1510400,
        mib=7620,
        rails=(("VDD_IN", 5072, 1036), ("VDD_CPU_GPU_CV", 5072, 101), ("VDD_SOC", 5072, 536)),
    ),
    "pi4-bullseye": dataclasses.replace(_PI4, suite=BULLSEYE, kernel="6.1.21-v8+"),  # Raspberry Pi OS 11: Python 3.9
    "pi4-trixie": dataclasses.replace(_PI4, suite=TRIXIE, kernel="6.12.25+rpt-rpi-v8"),  # Python 3.13
}
