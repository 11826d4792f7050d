"""OpenVINO as an optional engine on x86: the variant's own precision, one stream, least latency."""

from __future__ import annotations

import collections
import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import TensorSpec, Variant
from edgert.codec import JsonValue
from edgert.dtypes import DType
from edgert.errors import EngineError, ModelError, UsageError
from edgert.plugins import EngineOptions, Executor, LayerTime
from edgert.runtime.cpu import dot_product, needs_x64_quant_precision
from edgert.runtime.engines.options import OptionTable, checked_options, one_line

__all__ = ["OPTIONS", "OpenVinoEngine", "import_openvino"]

OPTIONS: OptionTable = {
    "precision": ("f32", ("f32", "bf16", "f16"), "of what the variant keeps in float; OpenVINO's own default is bf16"),
    "performance_hint": ("latency", ("latency", "throughput"), "what the plugin sets itself up for"),
    "streams": ("1", (), "inferences at the same time; 0: OpenVINO's choice"),
    "cpu_pinning": ("auto", ("auto", "0", "1"), "whether threads stay on their cores"),
    "hyper_threading": ("auto", ("auto", "0", "1"), "whether both threads of a core are used"),
    "external_data_folder": ("", (), "not used: a model with weights outside its file needs onnxruntime"),
}
"""Option -> (default, allowed values or () for any, meaning)."""

_PACKAGE_HINT = "the package 'openvino' is not installed; install it with: pip install 'edgert[openvino]'"
_TELEMETRY = "openvino_telemetry"
_NO_WORK = {"Const", "Constant", "Input", "Output", "Parameter", "Result"}
_DEVICE = "CPU"


def import_openvino() -> Any:  # Any: untyped package
    """Returns the package `openvino`, imported without its telemetry.

    On import OpenVINO reports itself to Google Analytics through the package `openvino_telemetry`, unless the user's
    home holds a file that declines. There is no variable against that. Where that package cannot be imported OpenVINO
    takes its own stub, so it is hidden during this one import, and given back to everybody else afterwards.

    Raises:
        ImportError: the package is not installed.
    """
    hidden = "openvino" not in sys.modules and _TELEMETRY not in sys.modules
    if hidden:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # how Python marks a module as not importable
    try:
        import openvino
    finally:
        if hidden:
            del sys.modules[_TELEMETRY]
    return openvino


class OpenVinoEngine:
    """Runs ONNX files with OpenVINO's CPU plugin. Chosen by name only."""

    name = "openvino"

    def version(self) -> str | None:
        """The installed version, or None."""
        try:
            return importlib.metadata.version("openvino")
        except importlib.metadata.PackageNotFoundError:
            return None

    def refusal(self, variant: Variant) -> str | None:
        """Why a variant cannot run here: another file format, or the package is not installed."""
        if variant.format != "onnx":
            return f"reads onnx, not {variant.format}"
        return None if importlib.util.find_spec("openvino") else _PACKAGE_HINT

    def load(self, model: bytes, variant: Variant, options: EngineOptions) -> Executor:
        """Loads a model; see Engine.load.

        Raises:
            UsageError: an unknown option or value.
            EngineError: OpenVINO is missing or cannot be loaded here.
            ModelError: the model is damaged or holds something OpenVINO does not know.
        """
        settings = _checked_options(options.options)
        try:
            openvino = import_openvino()
        except ImportError as error:
            missing = error.name == "openvino"
            raise EngineError(_PACKAGE_HINT if missing else f"openvino cannot be loaded: {one_line(error)}") from error
        try:
            graph = openvino.Core().read_model(model)
            return _OpenVinoExecutor(openvino, graph, variant, _properties(settings, options), settings)
        except ModelError:
            raise
        except Exception as error:  # RuntimeError and its own types; all mean that this file cannot be loaded
            raise ModelError(f"openvino cannot load variant {variant.id!r}: {one_line(error)}") from error


class _OpenVinoExecutor:
    """One loaded model. Not thread-safe.

    A model whose batch may vary is compiled for a batch of 1, since the plugin is slower on shapes it does not know,
    and once more for any shape when another one comes.
    """

    def __init__(
        self, openvino: Any, graph: Any, variant: Variant, properties: dict[str, Any], settings: dict[str, str]
    ) -> None:  # Any: untyped package; the values of properties are of several types
        self.inputs = tuple(_spec(port, variant.inputs) for port in graph.inputs)
        self.outputs = tuple(_spec(port, variant.outputs) for port in graph.outputs)
        self._core: Any = openvino.Core()
        self._tensor = openvino.Tensor
        self._properties, self._settings = properties, settings
        self._varies = any(None in spec.shape for spec in self.inputs)
        self._flexible_graph = graph.clone() if self._varies else None
        self._shapes = _single_batch(self.inputs) if self._varies else None
        if self._shapes is not None:
            graph.reshape({index: list(shape) for index, shape in enumerate(self._shapes)})
        self._compiled: Any = self._core.compile_model(graph, _DEVICE, properties)
        self._request: Any = self._compiled.create_infer_request()
        self._flexible: Any = None if self._shapes is not None else self._request
        self._profiles = bool(properties["PERF_COUNT"])
        self._times_ms: dict[tuple[str, str, str], list[float]] = {}
        self._count = range(len(self.outputs))

    def run(self, inputs: Sequence[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """Runs once; the results are copies and stay as they are.

        Raises:
            EngineError: OpenVINO failed; its own text is kept.
        """
        request = self._request
        try:
            if self._varies and self._shapes != [array.shape for array in inputs]:
                request = self._flexible_request()
            for index, array in enumerate(inputs):  # half the cost of infer(inputs), which looks at types and names
                shared = array.flags.c_contiguous and array.flags.writeable
                request.set_input_tensor(index, self._tensor(array, shared_memory=shared))
            request.infer(share_outputs=True)
            if self._profiles:
                self._note_times(request)
            return [request.get_output_tensor(index).data.copy() for index in self._count]
        except Exception as error:  # its own error types share no base class of their own
            raise EngineError(f"openvino failed while running: {one_line(error)}") from error

    def layer_times(self) -> tuple[LayerTime, ...]:
        """Mean time per executed node; the first, cold run is left out where there are more.

        Raises:
            ValueError: the model was loaded without `profile_layers`.
        """
        if not self._profiles:
            raise ValueError("load with profile_layers=True to measure layers")
        return tuple(
            LayerTime(name, op, float(np.mean(times[1:] or times)), kernel)
            for (name, op, kernel), times in self._times_ms.items()
        )

    def facts(self) -> dict[str, JsonValue]:
        """Engine, version, threads, streams, options, and how many nodes run in which precision."""
        return {
            "engine": OpenVinoEngine.name,
            "version": importlib.metadata.version("openvino"),
            "providers": [_DEVICE],
            "threads": int(self._compiled.get_property("INFERENCE_NUM_THREADS")),
            "streams": int(self._compiled.get_property("NUM_STREAMS")),
            "dot_product": dot_product().value,
            # the vendor's advice for CPUs without VNNI is weights in half their range, which no variant has
            "int8_may_saturate": needs_x64_quant_precision(),
            "node_precisions": _node_precisions(self._compiled.get_runtime_model()),
            "options": self._settings,
        }

    def close(self) -> None:
        """Drops the compiled model."""
        self._request = self._flexible = self._compiled = self._core = self._flexible_graph = None

    def _flexible_request(self) -> Any:  # Any: untyped package
        if self._flexible is None:
            compiled = self._core.compile_model(self._flexible_graph, _DEVICE, self._properties)
            self._flexible = compiled.create_infer_request()
        return self._flexible

    def _note_times(self, request: Any) -> None:  # Any: untyped package
        for row in request.profiling_info:
            if row.status.name == "EXECUTED":
                key = (str(row.node_name), str(row.node_type), str(row.exec_type))
                self._times_ms.setdefault(key, []).append(row.real_time.total_seconds() * 1000)


def _checked_options(given: Mapping[str, str]) -> dict[str, str]:
    settings = checked_options(OpenVinoEngine.name, OPTIONS, given)
    if not settings["streams"].isdigit():
        raise UsageError(f"openvino option streams is {settings['streams']!r}; write a number")
    return settings


def _properties(settings: Mapping[str, str], options: EngineOptions) -> dict[str, Any]:  # Any: str, int and bool
    properties: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": settings["precision"],
        "PERFORMANCE_HINT": settings["performance_hint"].upper(),
        # float layers with stored integer weights would else quantize their activations on the fly
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        "PERF_COUNT": options.profile_layers,
    }
    if options.threads is not None:
        properties["INFERENCE_NUM_THREADS"] = options.threads
    if settings["streams"] != "0":
        properties["NUM_STREAMS"] = int(settings["streams"])
    for option, name in (("cpu_pinning", "ENABLE_CPU_PINNING"), ("hyper_threading", "ENABLE_HYPER_THREADING")):
        if settings[option] != "auto":
            properties[name] = settings[option] == "1"
    return properties


def _spec(port: Any, declared: Sequence[TensorSpec]) -> TensorSpec:  # Any: openvino's Output
    known = set(port.get_names())
    name = next((spec.name for spec in declared if spec.name in known), None) or port.get_any_name()
    try:
        dtype = DType.from_numpy(port.get_element_type().to_dtype())
    except (ValueError, RuntimeError, TypeError) as error:
        kind = port.get_element_type().get_type_name()
        raise ModelError(f"tensor {name!r} has type {kind}, which edgert does not run in openvino") from error
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        raise ModelError(f"tensor {name!r} has no fixed number of axes, which edgert does not run in openvino")
    return TensorSpec(name, tuple(None if size.is_dynamic else int(size.get_length()) for size in shape), dtype)


def _single_batch(specs: Sequence[TensorSpec]) -> list[tuple[int, ...]] | None:
    """The shapes for one sample, where nothing but the batch may vary."""
    shapes = []
    for spec in specs:
        sizes = tuple(1 if size is None and axis == 0 else size for axis, size in enumerate(spec.shape))
        if None in sizes:
            return None
        shapes.append(tuple(size for size in sizes if size is not None))
    return shapes


def _node_precisions(graph: Any) -> dict[str, int]:  # Any: openvino's Model
    """How many nodes of the executed graph compute in which type, in the vendor's words (f32, i8, u8, bf16)."""
    counts: collections.Counter[str] = collections.Counter()
    for node in graph.get_ordered_ops():
        facts = node.get_rt_info()
        if facts["layerType"].astype(str) not in _NO_WORK:
            counts[facts["runtimePrecision"].astype(str)] += 1
    return dict(sorted(counts.items()))
