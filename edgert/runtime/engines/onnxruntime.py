"""ONNX Runtime as an engine: options, providers, errors and per-layer times."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Variant
from edgert.codec import JsonValue
from edgert.errors import EngineError, FallbackError, ModelError, UsageError
from edgert.plugins import EngineOptions, Executor, LayerTime
from edgert.runtime.cpu import dot_product, has_amx_int8, needs_x64_quant_precision
from edgert.runtime.engines.onnxruntime_profile import read_layer_times
from edgert.runtime.engines.onnxruntime_tensors import tensor_specs
from edgert.runtime.engines.options import OptionTable, checked_options, one_line

__all__ = ["OPTIONS", "OnnxRuntimeEngine", "import_onnxruntime"]

OPTIONS: OptionTable = {
    "graph_optimization": (
        "auto",
        ("auto", "disable", "basic", "extended", "all"),
        "how much the graph is rewritten; auto: all, but basic where the int8 kernels of that version are wrong",
    ),
    "execution_mode": ("sequential", ("sequential", "parallel"), "whether branches run at the same time"),
    "inter_op_threads": ("0", (), "threads over branches, with execution_mode=parallel; 0: the engine's default"),
    "allow_spinning": ("1", ("0", "1"), "whether idle threads spin (lower latency) or sleep (lower power)"),
    "memory_arena": (
        "1",
        ("0", "1", "shared"),
        "whether freed tensors are kept for the next run, or that of any session",
    ),
    "x64quantprecision": ("auto", ("auto", "0", "1"), "exact U8S8 kernels on x86; auto: unless VNNI is found"),
    "providers": ("CPUExecutionProvider", (), "execution providers in order of preference, comma-separated"),
    "external_data_folder": ("", (), "folder of the weights that a model keeps outside its own file"),
}
"""Option -> (default, allowed values or () for any, meaning)."""

_ACCELERATED = {"cuda": ("CUDAExecutionProvider", "TensorrtExecutionProvider")}
"""Accelerator -> providers, the first one is taken: that of TensorRT builds engines for minutes and keeps none."""
_ERRORS_ONLY = 3
_PRODUCTS_IN_FLOAT = "1"
"""How exactly 1.32 computes products of 16-bit activations and int8 weights; by itself it rounds those to 8 bits."""
_FIRST_WRONG_ON_AMX, _FIRST_MENDED = (1, 21), (1, 25)
_PACKAGE_HINT = "the package 'onnxruntime' is not installed; install it with: pip install 'edgert[ort]'"


def import_onnxruntime() -> Any:  # Any: untyped package
    """Returns the package `onnxruntime`, imported with its telemetry switched off.

    The Linux wheel 1.31.1 holds a telemetry client that on import already writes its session file `.ses` to the folder
    of temporary files. Only this variable, set before the import, prevents that; calling `disable_telemetry_events`
    comes too late. A value that the user set stays.

    Raises:
        ImportError: the package is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


class OnnxRuntimeEngine:
    """Runs ONNX files with ONNX Runtime."""

    name = "onnxruntime"

    def version(self) -> str | None:
        """The installed version, or None."""
        try:
            onnxruntime = import_onnxruntime()
        except ImportError:
            return None
        return str(onnxruntime.__version__)

    def accelerators(self) -> tuple[str, ...]:
        """What this build of it can run models on besides the CPU."""
        return tuple(accelerator for accelerator in _ACCELERATED if self.accelerator_options(accelerator))

    def accelerator_options(self, accelerator: str) -> dict[str, str]:
        """Returns the providers for an accelerator, the CPU last for what they do not know; {} without one."""
        try:
            available = import_onnxruntime().get_available_providers()
        except ImportError:
            return {}
        found = next((name for name in _ACCELERATED.get(accelerator, ()) if name in available), None)
        return {} if found is None else {"providers": f"{found},CPUExecutionProvider"}

    def refusal(self, variant: Variant) -> str | None:
        """Why a variant cannot run here: another file format."""
        return None if variant.format == "onnx" else f"reads onnx, not {variant.format}"

    def load(self, model: bytes, variant: Variant, options: EngineOptions) -> Executor:
        """Loads a model; see Engine.load.

        Raises:
            UsageError: an unknown option or value.
            EngineError: ONNX Runtime or an asked-for provider is missing.
            FallbackError: a provider did not start and the CPU would have done its work.
            ModelError: the model is damaged or holds something ONNX Runtime does not know.
        """
        settings = _checked_options(options.options)
        try:
            onnxruntime = import_onnxruntime()
        except ImportError as error:
            raise EngineError(_PACKAGE_HINT) from error
        providers = _checked_providers(settings["providers"], onnxruntime.get_available_providers())
        onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
        settings["graph_optimization"] = _graph_optimization(settings["graph_optimization"], onnxruntime.__version__)
        config = _session_options(onnxruntime, options.threads, settings)
        folder = None
        if options.profile_layers:
            folder = tempfile.mkdtemp(prefix="edgert-profile-")
            config.enable_profiling = True
            config.profile_file_prefix = f"{folder}/ort"
        try:
            session = _open_session(onnxruntime, model, config, providers, variant)
            session.disable_fallback()
            active = _require_active(session.get_providers(), providers)
            return _OrtExecutor(session, _facts(onnxruntime.__version__, active, options.threads, settings), folder)
        except BaseException:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            raise


class _OrtExecutor:
    """One loaded session. Not thread-safe: results of `layer_times` end its profiling."""

    def __init__(self, session: Any, facts: dict[str, JsonValue], folder: str | None) -> None:  # Any: untyped package
        self.inputs = tensor_specs(session.get_inputs())
        self.outputs = tensor_specs(session.get_outputs())
        self._run: Callable[[list[str], dict[str, NDArray[np.generic]]], list[NDArray[np.generic]]] = session.run
        self._session: Any = session  # Any: untyped package
        self._input_names = [spec.name for spec in self.inputs]
        self._output_names = [spec.name for spec in self.outputs]
        self._facts = facts
        self._folder = folder
        self._layers: tuple[LayerTime, ...] | None = None

    def run(self, inputs: Sequence[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """Runs once.

        Raises:
            EngineError: ONNX Runtime failed; its own text is kept.
        """
        try:
            return self._run(self._output_names, dict(zip(self._input_names, inputs)))  # noqa: B905  # speed; same length
        except Exception as error:  # its own error types share no base class of their own
            raise EngineError(f"onnxruntime failed while running: {one_line(error)}") from error

    def layer_times(self) -> tuple[LayerTime, ...]:
        """Mean time per executed node; nodes that ONNX Runtime fused or made carry its names.

        Raises:
            ValueError: the model was loaded without `profile_layers`.
        """
        if self._folder is None:
            raise ValueError("load with profile_layers=True to measure layers")
        if self._layers is None:
            self._layers = read_layer_times(self._session.end_profiling())
            shutil.rmtree(self._folder, ignore_errors=True)
        return self._layers

    def facts(self) -> dict[str, JsonValue]:
        """Engine, version, active providers, threads, options and the dot-product instructions they run on."""
        return dict(self._facts)

    def close(self) -> None:
        """Drops the session (and ends its profiling)."""
        if self._folder is not None and self._layers is None:
            self.layer_times()
        self._session = None
        del self._run


def _checked_options(given: dict[str, str]) -> dict[str, str]:
    settings = checked_options(OnnxRuntimeEngine.name, OPTIONS, given)
    if not settings["inter_op_threads"].isdigit():
        raise UsageError(f"onnxruntime option inter_op_threads is {settings['inter_op_threads']!r}; write a number")
    return settings


def _graph_optimization(choice: str, version: str) -> str:
    """What `auto` stands for: from 1.21 to 1.24 integer convolutions and products are wrong on processors with AMX.

    Differently so from run to run (https://github.com/microsoft/onnxruntime/issues/26324, mended in 1.25); `basic`
    leaves them as the float operators that they were written as.
    """
    if choice != "auto":
        return choice
    release = tuple(int(word) for word in version.split(".")[:2] if word.isdigit())
    return "basic" if _FIRST_WRONG_ON_AMX <= release < _FIRST_MENDED and has_amx_int8() else "all"


def _checked_providers(text: str, available: list[str]) -> list[str]:
    asked = [name.strip() for name in text.split(",") if name.strip()]
    missing = [name for name in asked if name not in available]
    if missing or not asked:
        raise EngineError(
            f"execution provider {', '.join(missing) or text!r} is not in this build of onnxruntime; "
            f"it has {', '.join(available)}"
        )
    return asked


def _require_active(active: list[str], asked: list[str]) -> list[str]:
    lost = [name for name in asked if name not in active]
    if lost:
        raise FallbackError(
            f"execution provider {', '.join(lost)} did not start and onnxruntime fell back to {', '.join(active)}; "
            "check its driver and libraries, or choose another provider"
        )
    return active


def _session_options(ort: Any, threads: int | None, settings: dict[str, str]) -> Any:  # Any: untyped package
    levels = {
        "disable": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
        "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    }
    modes = {"sequential": ort.ExecutionMode.ORT_SEQUENTIAL, "parallel": ort.ExecutionMode.ORT_PARALLEL}
    config = ort.SessionOptions()
    config.log_severity_level = _ERRORS_ONLY
    config.graph_optimization_level = levels[settings["graph_optimization"]]
    config.execution_mode = modes[settings["execution_mode"]]
    config.intra_op_num_threads = threads or 0
    config.inter_op_num_threads = int(settings["inter_op_threads"])
    config.enable_cpu_mem_arena = settings["memory_arena"] != "0"
    if settings["memory_arena"] == "shared":
        _share_arena(ort)
        config.add_session_config_entry("session.use_env_allocators", "1")
    config.add_session_config_entry("session.intra_op.allow_spinning", settings["allow_spinning"])
    config.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", _PRODUCTS_IN_FLOAT)
    if _wants_x64_quant_precision(settings):
        config.add_session_config_entry("session.x64quantprecision", "1")
    if settings["external_data_folder"]:
        config.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", settings["external_data_folder"]
        )
    return config


@functools.cache  # registered again it would be a new arena, and that of the session before be nobody's
def _share_arena(ort: Any) -> None:  # Any: untyped package
    """Makes the arena of this process for the sessions that ask for it.

    It grows by what is asked for and no more: doubling would count twice against the memory of what it serves.
    """
    size_as_asked = {"max_mem": 0, "arena_extend_strategy": 1, "initial_chunk_size_bytes": -1}
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(place, ort.OrtArenaCfg(size_as_asked | {"max_dead_bytes_per_chunk": -1}))


def _wants_x64_quant_precision(settings: dict[str, str]) -> bool:
    choice = settings["x64quantprecision"]
    return needs_x64_quant_precision() if choice == "auto" else choice == "1"


def _open_session(ort: Any, model: bytes, config: Any, providers: list[str], variant: Variant) -> Any:
    # Any: untyped package
    try:
        session = ort.InferenceSession(model, config, providers=providers)
    except Exception as error:  # a dozen types without a common base; all mean that this file cannot be loaded
        raise ModelError(f"onnxruntime cannot load variant {variant.id!r}: {one_line(error)}") from error
    if hasattr(session, "_model_bytes"):
        session._model_bytes = None  # a copy of the file, kept only to change providers later
    return session


def _facts(version: str, providers: list[str], threads: int | None, settings: dict[str, str]) -> dict[str, JsonValue]:
    return {
        "engine": "onnxruntime",
        "version": version,
        "providers": providers,
        "threads": threads,
        "dot_product": dot_product().value,
        "x64quantprecision": _wants_x64_quant_precision(settings),
        "options": settings,
    }
