"""What a wheel for a board must fit, and which target fits a board."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from edgert.devices.packages import PACKAGES, System, download_wheels, environment_name, package_of, system_of
from edgert.devices.setup import fitting_target
from edgert.errors import DeviceError, EngineError, UsageError
from edgert.target import EngineFacts

PI = {
    "bits": 64,
    "libc": ["glibc", "2.36"],
    "python": "3.11.2",
    "python_implementation": "cpython",
    "machine": "aarch64",
    "compatible": ["raspberrypi,5-model-b", "brcm,bcm2712"],
}


def pi(**changes: Any) -> dict[str, Any]:  # Any: JSON values
    return {**PI, **changes}


def test_a_system_and_its_wheels() -> None:
    system = system_of(PI, "pi")
    assert system == System((3, 11), "aarch64", (2, 36))
    tags = system.platforms()
    assert tags[0] == "manylinux_2_36_aarch64"
    assert "manylinux_2_17_aarch64" in tags
    assert "manylinux_2_16_aarch64" not in tags
    assert "manylinux_2_37_aarch64" not in tags


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bits": 32}, "pi: its system is 32-bit, engines have no wheels for that; write the 64-bit image"),
        ({"libc": ["musl", "1.2"]}, "its C library is musl"),
        ({"libc": ["unknown", ""]}, "its C library is unknown"),
        ({"python_implementation": "pypy"}, "its Python is pypy"),
    ],
)
def test_systems_without_wheels_are_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        system_of(pi(**changes), "pi")


@pytest.mark.parametrize(
    ("compatible", "machine", "target"),
    [
        (["raspberrypi,5-model-b", "brcm,bcm2712"], "aarch64", "raspberry-pi-5"),
        (["raspberrypi,something-new", "brcm,bcm2711"], "aarch64", "raspberry-pi-4"),
        (["raspberrypi,model-zero-2-w", "brcm,bcm2837"], "aarch64", "raspberry-pi-zero-2"),
        (["raspberrypi,3-model-b-plus", "brcm,bcm2837"], "aarch64", "raspberry-pi-3"),
        (["nvidia,p3768-0000+p3767-0005", "nvidia,p3767-0005", "nvidia,tegra234"], "aarch64", "jetson-orin-nano"),
        (["nvidia,p3737-0000+p3701-0005", "nvidia,p3701-0005", "nvidia,tegra234"], "aarch64", "jetson-agx-orin"),
        (["nvidia,p3767-0001", "nvidia,tegra234"], "aarch64", "jetson"),
        (["friendlyarm,nanopc-t6", "rockchip,rk3588"], "aarch64", "arm-cpu"),
        ([], "x86_64", "host"),
    ],
)
def test_the_target_that_fits_a_board(compatible: list[str], machine: str, target: str) -> None:
    assert fitting_target(pi(compatible=compatible, machine=machine)) == target


def test_a_board_that_no_target_fits() -> None:
    with pytest.raises(DeviceError, match="no target for boards with riscv64; it knows aarch64, x86_64"):
        fitting_target(pi(compatible=[], machine="riscv64"))


def test_packages_of_engines() -> None:
    assert package_of("litert") == PACKAGES["litert"]
    jetson = EngineFacts("onnxruntime", "1.17.0", package="onnxruntime-gpu")
    assert package_of("onnxruntime", jetson).requirement == "onnxruntime-gpu"
    with pytest.raises(UsageError, match="no engine 'onnxruntim' that devices setup can install.*'onnxruntime'"):
        package_of("onnxruntim")


def test_wheels_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    mine = tmp_path / "mine"
    mine.mkdir()
    sources = ["--no-index", "--find-links", str(mine)]
    system = System((3, 11), "aarch64", (2, 36))
    with pytest.raises(EngineError, match=r"no wheels of tiny for Python 3.11, aarch64, glibc 2.36: .*--wheels FOLDER"):
        download_wheels(["tiny"], system, sources)
    write_wheel(mine / "tiny-1.0-cp311-cp311-manylinux_2_17_aarch64.whl")
    (wheel,) = download_wheels(["tiny"], system, sources)
    assert wheel.parent == tmp_path / "cache" / "edgert" / "wheels"
    assert environment_name([wheel], "a") == environment_name([wheel], "a") != environment_name([wheel], "b")


def write_wheel(path: Path) -> None:
    name, version = path.name.split("-")[:2]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "")
        archive.writestr(
            f"{name}-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\n"
        )
        archive.writestr(f"{name}-{version}.dist-info/RECORD", "")
