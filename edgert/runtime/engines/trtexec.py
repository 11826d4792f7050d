"""The program `trtexec` as an engine that gives times and no outputs.

For a Jetson whose Python cannot import `tensorrt`. It feeds random values of its own, so there is nothing to verify
or to run an application with; every run of the program builds the engine again. What can be asked of it is
`measure_ms` (latency of single runs) and `layer_times`.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Variant
from edgert.codec import JsonValue
from edgert.errors import EngineError
from edgert.plugins import EngineOptions, Executor, LayerTime
from edgert.runtime.engines.tensorrt import affine_reason
from edgert.runtime.engines.tensorrt_build import OPTIONS, build_settings
from edgert.runtime.engines.trtexec_output import (
    Summary,
    parse_layers,
    parse_summary,
    parse_times_ms,
    parse_version,
)

__all__ = ["OPTIONS", "TrtexecEngine", "command_line", "find_trtexec"]

_PLACES = ("/usr/src/tensorrt/bin",)
"""Where JetPack puts the program; it is not in PATH there."""
_HINT = "the program trtexec is neither in PATH nor in /usr/src/tensorrt/bin; on a Jetson: sudo apt install tensorrt"
_HELP_TIMEOUT_S = 60.0
_BUILD_TIMEOUT_S = 1800.0
_NO_OUTPUTS = (
    "trtexec gives times only: it feeds random values and keeps no outputs, so it cannot run, verify or be raced; "
    "take --engine tensorrt or onnxruntime for that"
)
_STRONGLY_TYPED_FROM = 11


def find_trtexec() -> Path | None:
    """Returns the program, or None where it is not installed."""
    found = shutil.which("trtexec") or next((path for path in map(_in_place, _PLACES) if path), None)
    return None if found is None else Path(found)


class TrtexecEngine:
    """Times ONNX files with trtexec. Chosen by name only."""

    name = "trtexec"

    def version(self) -> str | None:
        """The version of TensorRT that its banner names, or None."""
        program = find_trtexec()
        if program is None:
            return None
        try:
            return parse_version(_output([str(program), "--help"], _HELP_TIMEOUT_S))
        except EngineError:
            return None

    def accelerators(self) -> tuple[str, ...]:
        """What it runs models on besides the CPU."""
        return ("cuda",)

    def refusal(self, variant: Variant) -> str | None:
        """Why a variant cannot be timed here: another format, integers with zero points, or the program is missing."""
        if variant.format != "onnx":
            return f"reads onnx, not {variant.format}"
        return affine_reason(variant) or (None if find_trtexec() else _HINT)

    def load(self, model: bytes, variant: Variant, options: EngineOptions) -> Executor:
        """Puts the model where trtexec finds it; see Engine.load.

        Raises:
            UsageError: an unknown option or value.
            EngineError: the program is missing.
        """
        settings = build_settings(options.options, variant, model)
        program = find_trtexec()
        if program is None:
            raise EngineError(_HINT)
        return _TrtexecExecutor(program, self.version() or "unknown", model, variant, settings)


class _TrtexecExecutor:
    """A model in a folder of its own; each measurement starts the program."""

    def __init__(self, program: Path, version: str, model: bytes, variant: Variant, settings: dict[str, str]) -> None:
        self.inputs, self.outputs = variant.inputs, variant.outputs
        self._program, self._version, self._settings = program, version, settings
        self._folder = Path(tempfile.mkdtemp(prefix="edgert-trtexec-"))
        self._model = self._folder / "model.onnx"
        self._model.write_bytes(model)
        self._layers: tuple[LayerTime, ...] | None = None
        self._summary: Summary | None = None

    def run(self, inputs: Sequence[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """Never runs.

        Raises:
            EngineError: always: trtexec has no outputs.
        """
        del inputs
        raise EngineError(_NO_OUTPUTS)

    def measure_ms(self, duration_s: float, warmup_s: float) -> NDArray[np.float64]:
        """Builds, warms up, runs, and returns the latency of every run, float64[runs]: copies in and out included.

        Raises:
            EngineError: trtexec failed; its own words are kept.
        """
        times, profile = self._folder / "times.json", self._folder / "profile.json"
        command = command_line(self._program, self._model, self._settings, self._version)
        command += [f"--duration={max(1, round(duration_s))}", f"--warmUp={round(warmup_s * 1000)}"]
        command += [f"--exportTimes={times}", f"--exportProfile={profile}", "--separateProfileRun"]
        self._summary = parse_summary(_output(command, _BUILD_TIMEOUT_S + duration_s))
        dla = self._settings["dla_core"]
        self._layers = parse_layers(_read(profile), None if dla == "none" else f"DLA {dla}")
        return parse_times_ms(_read(times))

    def layer_times(self) -> tuple[LayerTime, ...]:
        """Mean times per fused layer, of a separate run inside of trtexec."""
        if self._layers is None:
            self.measure_ms(1.0, 0.2)
        return self._layers or ()

    def facts(self) -> dict[str, JsonValue]:
        """Engine, version, options, and what it cannot do; after a measurement the program's own summary."""
        facts: dict[str, JsonValue] = {
            "engine": TrtexecEngine.name,
            "version": self._version,
            "providers": ["GPU" if self._settings["dla_core"] == "none" else f"DLA {self._settings['dla_core']}"],
            "accelerator": "cuda",
            "threads": None,
            "options": dict(self._settings),
            "limits": _NO_OUTPUTS,
        }
        if self._summary is not None:
            facts["throughput_per_s"] = self._summary.throughput_per_s
            facts["gpu_ms"] = dict(self._summary.gpu_ms)
        return facts

    def close(self) -> None:
        """Removes the model's folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


def command_line(program: Path, model: Path, settings: dict[str, str], version: str) -> list[str]:
    """Returns the words that make trtexec build the engine that `--engine tensorrt` would build."""
    words = [str(program), f"--onnx={model}", f"--memPoolSize=workspace:{settings['workspace_mb']}"]
    words.append(f"--builderOptimizationLevel={settings['optimization_level']}")
    if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) < _STRONGLY_TYPED_FROM:
        words += ["--fp16"] if settings["float_precision"] == "fp16" else []
        words += ["--int8"] if settings["int8"] == "1" else []
    words += [] if settings["tf32"] == "1" else ["--noTF32"]
    if settings["dla_core"] != "none":
        words += [f"--useDLACore={settings['dla_core']}", "--allowGPUFallback"]
    return words


def _in_place(folder: str) -> str | None:
    return shutil.which("trtexec", path=folder)


def _output(command: Sequence[str], timeout_s: float) -> str:
    """What the program wrote to either stream.

    Raises:
        EngineError: it does not start, or not end in time.
    """
    try:
        done = subprocess.run(  # an argument list, never a shell
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"trtexec did not finish within {timeout_s:g} s and was ended") from error
    except OSError as error:
        raise EngineError(f"trtexec does not start ({error.strerror or error})") from error
    return done.stdout.decode("utf-8", "replace")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise EngineError(f"trtexec left no file {path.name} ({error.strerror or error})") from error
