"""TensorRT as an engine, through the module `tensorrt` that JetPack installs and libcudart; for NVIDIA GPUs.

The engine is built on the device once (tensorrt_build.py) and kept there (tensorrt_cache.py). Inputs are copied to the
GPU and outputs back in every run, on one stream: that is what an application pays, so it belongs to the latency.
Written against the documentation of 8.6 and 10.3; docs/jetson.md lists what no board has confirmed yet.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import TensorSpec, Variant
from edgert.codec import JsonValue
from edgert.dtypes import DType
from edgert.errors import EngineError, ModelError
from edgert.plugins import EngineOptions, Executor, LayerTime
from edgert.runtime.cpu import dot_product
from edgert.runtime.engines.options import one_line
from edgert.runtime.engines.tensorrt_build import OPTIONS, build_engine, build_settings, make_logger, start
from edgert.runtime.engines.tensorrt_cache import Identity, cache_folder, load_engine, store_engine
from edgert.runtime.engines.tensorrt_cuda import Cuda, Gpu, load_cuda
from edgert.runtime.engines.tensorrt_places import count_places, count_types, read_layer_types

__all__ = ["OPTIONS", "TensorRtEngine", "affine_reason", "make_profiler"]

_TYPES = {
    "FLOAT": DType.FLOAT,
    "HALF": DType.FLOAT16,
    "INT8": DType.INT8,
    "UINT8": DType.UINT8,
    "INT32": DType.INT32,
    "INT64": DType.INT64,
    "BOOL": DType.BOOL,
}
"""Its own table of them, `tensorrt.nptype`, names types in some releases that numpy no longer has."""

_PACKAGE_HINT = (
    "the module 'tensorrt' is not there; JetPack brings it (sudo apt install nvidia-jetpack), and a private "
    "environment sees it only with --system-site-packages, which edgert devices setup takes care of"
)


def affine_reason(variant: Variant) -> str | None:
    """Why TensorRT cannot run a variant whose integers have zero points; None for all others."""
    if variant.requantize is None:
        return None
    return f"takes symmetric integers only, and {variant.id} has zero points; onnx-int8-trt is the form for it"


def _import_tensorrt() -> Any:  # Any: untyped module of the system, on few computers
    return importlib.import_module("tensorrt")


class TensorRtEngine:
    """Runs ONNX files on an NVIDIA GPU. Chosen by name, or where a device is expected to use its GPU."""

    name = "tensorrt"

    def version(self) -> str | None:
        """The installed version, or None."""
        try:
            return str(_import_tensorrt().__version__)
        except ImportError:
            return None

    def accelerators(self) -> tuple[str, ...]:
        """What it runs models on besides the CPU."""
        return ("cuda",)

    def refusal(self, variant: Variant) -> str | None:
        """Why a variant cannot run here: another format, integers with zero points, or the module is missing."""
        if variant.format != "onnx":
            return f"reads onnx, not {variant.format}"
        return affine_reason(variant) or (None if importlib.util.find_spec("tensorrt") else _PACKAGE_HINT)

    def load(self, model: bytes, variant: Variant, options: EngineOptions) -> Executor:
        """Loads a model: takes the stored engine, or builds it, which may take minutes.

        Raises:
            UsageError: an unknown option or value.
            EngineError: TensorRT or CUDA is missing or does not start, or there is no GPU.
            ModelError: TensorRT cannot read or build the model.
        """
        settings = build_settings(options.options, variant, model)
        try:
            tensorrt = _import_tensorrt()
        except ImportError as error:
            missing = error.name == "tensorrt"
            raise EngineError(_PACKAGE_HINT if missing else f"tensorrt cannot be loaded: {one_line(error)}") from error
        cuda = load_cuda()
        gpu = cuda.gpu()
        keep = options.options.get("cache", "1") == "1"
        plan = _Plan(tensorrt, make_logger(tensorrt), gpu, settings)
        engine, facts = plan.take(model, variant, keep)
        return _TensorRtExecutor(tensorrt, cuda, engine, facts, options.profile_layers)


class _Plan:
    """One model's way to an engine: the stored one, else a new one."""

    def __init__(self, trt: Any, logger: Any, gpu: Gpu, settings: dict[str, str]) -> None:
        # Any: the module tensorrt has no types
        self._trt, self._logger, self._gpu, self._settings = trt, logger, gpu, settings
        self._runtime = start(trt.Runtime, logger)
        self._dla = None if settings["dla_core"] == "none" else f"DLA {settings['dla_core']}"
        if self._dla is not None:
            self._runtime.DLA_core = int(settings["dla_core"])

    def take(self, model: bytes, variant: Variant, keep: bool) -> tuple[Any, dict[str, JsonValue]]:
        """Returns an engine ready to run and the facts about it."""
        gpu, version = self._gpu, str(self._trt.__version__)
        sha256 = hashlib.sha256(model).hexdigest()
        identity = Identity(sha256, version, gpu.name, gpu.capability, gpu.driver, self._settings)
        stored = load_engine(identity, cache_folder()) if keep else "it is not kept"
        origin: dict[str, JsonValue] = {"from_cache": True}
        engine, notes = None, {}
        if not isinstance(stored, str):
            engine, notes = self._runtime.deserialize_cuda_engine(stored[0]), stored[1]
            stored = "the stored one does not load"
        if engine is None:
            start = time.monotonic()
            data = build_engine(self._trt, model, variant.id, self._settings, self._logger)
            origin = {"from_cache": False, "built_because": stored, "build_s": round(time.monotonic() - start, 3)}
            engine = self._runtime.deserialize_cuda_engine(data)
            if engine is None:
                raise ModelError(f"tensorrt cannot load the engine it built: {self._logger.errors()}")
            notes = self._notes(engine)
            if keep:
                store_engine(identity, data, notes, cache_folder())
        return engine, {**self._facts(version), **notes, **origin}

    def _notes(self, engine: Any) -> dict[str, JsonValue]:  # Any: the module tensorrt has no types
        information = _information(self._trt, engine)
        places = count_places([text for _, text in self._logger.lines], information, self._dla)
        return {"layers_by_place": places, "layers_by_type": count_types(information)}

    def _facts(self, version: str) -> dict[str, JsonValue]:
        return {
            "engine": TensorRtEngine.name,
            "version": version,
            "providers": [f"GPU {self._gpu.name}", *([self._dla] if self._dla else [])],
            "accelerator": "cuda",
            "compute_capability": self._gpu.capability,
            "cuda_driver": self._gpu.driver,
            "cuda_runtime": self._gpu.runtime,
            "threads": None,
            "dot_product": dot_product().value,
            "options": dict(self._settings),
        }


class _Tensor:
    """One input or output: its spec, its place on the GPU and the array on this side."""

    def __init__(self, trt: Any, cuda: Cuda, engine: Any, name: str) -> None:  # Any: no types
        shape = tuple(1 if axis == 0 and size == -1 else int(size) for axis, size in enumerate(_shape(engine, name)))
        kind = str(engine.get_tensor_dtype(name).name)
        if kind not in _TYPES:
            raise ModelError(f"tensor {name!r} has type {kind}, which edgert does not run in tensorrt")
        self.spec = TensorSpec(name, shape, _TYPES[kind])
        self.is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        self.host = np.zeros(shape, _TYPES[kind].numpy)
        self.address = cuda.allocate(self.host.nbytes)


class _TensorRtExecutor:
    """One engine with its context, stream and buffers. Not thread-safe."""

    def __init__(self, trt: Any, cuda: Cuda, engine: Any, facts: dict[str, JsonValue], profile: bool) -> None:
        # Any: the module tensorrt has no types
        self._cuda, self._engine, self._facts = cuda, engine, facts
        self._context: Any = engine.create_execution_context()
        if self._context is None:
            raise EngineError("tensorrt: no memory is left for running the engine; take a smaller model or variant")
        self._stream = cuda.create_stream()
        names = [str(engine.get_tensor_name(index)) for index in range(engine.num_io_tensors)]
        tensors = [_Tensor(trt, cuda, engine, name) for name in names]
        self._inputs = [tensor for tensor in tensors if tensor.is_input]
        self._outputs = [tensor for tensor in tensors if not tensor.is_input]
        self.inputs = tuple(tensor.spec for tensor in self._inputs)
        self.outputs = tuple(tensor.spec for tensor in self._outputs)
        for tensor in tensors:
            if tensor.is_input and -1 in _shape(engine, tensor.spec.name):
                self._context.set_input_shape(tensor.spec.name, tensor.host.shape)
            self._context.set_tensor_address(tensor.spec.name, tensor.address)
        self._times: Any = make_profiler(trt) if profile else None
        if profile:
            self._context.profiler = self._times
            self._types = read_layer_types(_information(trt, engine))

    def run(self, inputs: Sequence[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """Runs once: copies in, computes, copies out, waits.

        Raises:
            EngineError: TensorRT or CUDA failed.
        """
        for tensor, array in zip(self._inputs, inputs, strict=True):
            np.copyto(tensor.host, array, casting="no")
            self._cuda.to_device(tensor.address, tensor.host, self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise EngineError("tensorrt failed while running: it did not take the inference")
        for tensor in self._outputs:
            self._cuda.to_host(tensor.host, tensor.address, self._stream)
        self._cuda.synchronize(self._stream)
        return [tensor.host.copy() for tensor in self._outputs]

    def layer_times(self) -> tuple[LayerTime, ...]:
        """Mean time per fused layer on the GPU (or DLA); the first run is left out where there are more.

        Raises:
            ValueError: the model was loaded without `profile_layers`.
        """
        if self._times is None:
            raise ValueError("load with profile_layers=True to measure layers")
        place = str(self._facts["providers"][0])
        dla = str(self._facts["providers"][-1])
        rows = []
        for name, times in self._times.times_ms.items():
            kind = self._types.get(name, "")
            where = dla if "dla" in kind.lower() else place
            rows.append(LayerTime(name, kind or "fused", float(np.mean(times[1:] or times)), where))
        return tuple(rows)

    def facts(self) -> dict[str, JsonValue]:
        """Engine, version, GPU, options, where the layers run, and whether the engine came out of the cache."""
        return dict(self._facts)

    def close(self) -> None:
        """Frees buffers, stream and engine; safe to call twice."""
        if self._context is None:
            return
        for tensor in (*self._inputs, *self._outputs):
            self._cuda.free(tensor.address)
        self._cuda.destroy_stream(self._stream)
        self._context = self._engine = None


def _shape(engine: Any, name: str) -> tuple[int, ...]:  # Any: the module tensorrt has no types
    return tuple(engine.get_tensor_shape(name))


def _information(trt: Any, engine: Any) -> str:  # Any: the module tensorrt has no types
    return str(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))


def make_profiler(trt: Any) -> Any:  # Any: the module tensorrt has no types
    """Returns a profiler that keeps the times of every layer by its name."""

    class Times(trt.IProfiler):  # type: ignore[misc]  # a class of an untyped module
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.times_ms: dict[str, list[float]] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times_ms.setdefault(str(layer_name), []).append(float(ms))

    return Times()
