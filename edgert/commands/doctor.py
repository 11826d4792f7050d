"""`edgert doctor`: what this computer has, lacks and hides, with one copyable line for each finding."""

from __future__ import annotations

import argparse
import importlib.util
import platform
import sys
from dataclasses import dataclass

import numpy as np

import edgert
from edgert.codec import JsonValue, to_plain
from edgert.commands.console import Console
from edgert.profiler.device_facts import read_device
from edgert.profiler.energy import sensor_reasons
from edgert.profiler.environment import EnvironmentReader
from edgert.runtime.cpu import dot_product, needs_x64_quant_precision
from edgert.runtime.engines import ENGINES, EXTRAS, ONLY_BY_NAME, get_engine

__all__ = ["Check", "add_arguments", "doctor", "execute"]

_EXTRAS = {
    "ort": ("onnxruntime",),
    "litert": ("ai_edge_litert",),
    "convert": ("onnx", "onnx_ir", "onnxscript", "tflite", "flatbuffers"),
    "openvino": ("openvino",),
    "torch": ("torch",),
    "vision": ("cv2",),
    "parquet": ("pyarrow",),
}
_OPTIONAL = {"litert", "openvino", "torch", "vision", "parquet"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `finding` marks what stands in the way; `remedy` is a line to copy, where there is one."""

    name: str
    value: str
    finding: bool = False
    remedy: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Takes no arguments of its own."""
    del parser


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    del arguments
    checks = doctor()
    findings = sum(check.finding for check in checks)
    plain: JsonValue = {"findings": findings, "checks": [to_plain(check) for check in checks]}
    width = max(len(check.name) for check in checks)
    lines = [line for check in checks for line in _lines(check, width)]
    summary = "nothing stands in the way" if not findings else f"{findings} finding{'s' if findings > 1 else ''}"
    console.result(plain, "\n".join([*lines, "", summary]))
    return 1 if findings else 0


def doctor() -> tuple[Check, ...]:
    """Returns every check of this computer; reads only, loads engines to learn their versions."""
    return (*_software(), *_numerics(), *_measuring(), *_sensors(), *_extras())


def _software() -> list[Check]:
    old = sys.version_info < (3, 10)
    python = platform.python_version()
    checks = [
        Check("edgert", edgert.__version__),
        Check("python", python, old, "install Python 3.10 or later" if old else None),
        Check("numpy", np.__version__),
        Check("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        Check("device", read_device().name),
    ]
    versions = {name: get_engine(name).version() for name in ENGINES}
    nothing_runs = not any(version for name, version in versions.items() if name not in ONLY_BY_NAME)
    for name, version in versions.items():
        if version is not None:
            checks.append(Check(f"engine {name}", version))
        elif name in ONLY_BY_NAME:
            checks.append(Check(f"engine {name}", "not installed (optional)"))
        else:
            remedy = _install(EXTRAS[name]) if nothing_runs else None
            checks.append(Check(f"engine {name}", "not installed", nothing_runs, remedy))
    return checks


def _numerics() -> list[Check]:
    needed = needs_x64_quant_precision()
    how = "needed, and set by edgert: U8S8 kernels would saturate at 16 bits" if needed else "not needed"
    return [Check("dot-product instructions", dot_product().value), Check("x64quantprecision", how)]


def _measuring() -> list[Check]:
    sample = EnvironmentReader().sample()
    governors = sorted(set(sample.governors))
    wrong = bool(governors) and governors != ["performance"]  # matters to profiles only, so no finding
    remedy = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor" if wrong else None
    clocks = f"{max(sample.clocks_mhz):.0f} MHz" if sample.clocks_mhz else "unreadable: profiles will say degraded"
    temperatures = sample.temperatures_c
    hottest = f"{max(temperatures.values()):.0f} C at most" if temperatures else "unreadable"
    return [
        Check("cpu governor", ", ".join(governors) or "unreadable", False, remedy),
        Check("cpu clocks", clocks),
        Check("temperatures", hottest),
    ]


def _sensors() -> list[Check]:
    return [Check(f"energy {name}", reason or "readable") for name, reason in sensor_reasons().items()]


def _extras() -> list[Check]:
    checks = []
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if not missing:
            checks.append(Check(f"extra {extra}", "installed"))
            continue
        value = f"{', '.join(missing)} not installed{' (optional)' if extra in _OPTIONAL else ''}"
        checks.append(Check(f"extra {extra}", value, False, _install(extra)))
    return checks


def _install(extra: str) -> str:
    return f"pip install 'edgert[{extra}]'"


def _lines(check: Check, width: int) -> list[str]:
    mark = "!" if check.finding else " "
    lines = [f"{mark} {check.name.ljust(width)}  {check.value}"]
    if check.remedy:
        lines.append(f"  {' ' * width}  -> {check.remedy}")
    return lines
