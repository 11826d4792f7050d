"""`edgert doctor`: what this computer has, lacks and hides, with one copyable line for each finding."""

from __future__ import annotations

import argparse
import importlib.util
import platform
import sys

import numpy as np

import edgert
from edgert.codec import JsonValue, to_plain
from edgert.commands.checks import Check, check_text, environment_checks, sensor_checks
from edgert.commands.console import Console
from edgert.profiler.device_facts import read_device
from edgert.profiler.energy import sensor_reasons
from edgert.profiler.environment import EnvironmentReader
from edgert.runtime.cpu import dot_product, needs_x64_quant_precision
from edgert.runtime.engines import ENGINES, EXTRAS, ONLY_BY_NAME, get_engine

__all__ = ["add_arguments", "doctor", "execute"]

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Takes no arguments of its own."""
    del parser


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    del arguments
    checks = doctor()
    findings = sum(check.finding for check in checks)
    plain: JsonValue = {"findings": findings, "checks": [to_plain(check) for check in checks]}
    console.result(plain, check_text(checks))
    return 1 if findings else 0


def doctor() -> tuple[Check, ...]:
    """Returns every check of this computer; reads only, loads engines to learn their versions."""
    return (*_software(), *_numerics(), *_measuring(), *_extras())


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
    return [*environment_checks(EnvironmentReader().sample()), *sensor_checks(sensor_reasons())]


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
