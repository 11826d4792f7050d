"""A module with TensorRT's names that edgert uses, for the order of calls: cache, rebuild, copies. It computes nothing.

Names and signatures are those of NVIDIA's Python API 10.3 as documented. An "engine" is the model's bytes behind a
mark; running it copies the input, times two, to the output. What TensorRT really does with a model is not tested here.
"""

from __future__ import annotations

import ctypes
import enum
import importlib.machinery
import json
import types

import numpy as np

SHAPE = (1, 4)
MARK = b"PLAN"
KINDS = {"x": "FLOAT", "y": "FLOAT"}


class _ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self) -> None:
        pass


class _IProfiler:
    def __init__(self) -> None:
        pass


class _Flags(enum.IntEnum):
    FP16 = 0
    INT8 = 1
    GPU_FALLBACK = 2
    TF32 = 7


class _NetworkFlags(enum.IntEnum):
    EXPLICIT_BATCH = 0


class _Mode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class _Config:
    def __init__(self) -> None:
        self.flags = {_Flags.TF32}
        self.default_device_type: object = None
        self.DLA_core = -1

    def set_flag(self, flag: _Flags) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: _Flags) -> None:
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool: object, size_bytes: int) -> None:
        self.workspace = pool, size_bytes

    def add_optimization_profile(self, profile: object) -> None:
        self.profile = profile


class _Input:
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.name, self.shape = "x", shape


class _Network:
    num_inputs = 1

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape

    def get_input(self, index: int) -> _Input:
        assert index == 0
        return _Input(self._shape)


class _Error:
    def desc(self) -> str:
        return "No importer registered for op: Strange"


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
        self.shapes[name] = shapes


class _Inspector:
    def get_engine_information(self, kind: object) -> str:
        assert kind == "json"
        rows = [{"Name": "twice", "LayerType": "Scale", "Outputs": [{"Format/Datatype": "Row major Int8 format"}]}]
        return json.dumps({"Layers": rows})


class _Context:
    profiler: object = None

    def __init__(self) -> None:
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> None:
        self._addresses[name] = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle
        size = int(np.prod(SHAPE))
        x, y = (
            np.ctypeslib.as_array((ctypes.c_float * size).from_address(self._addresses[name])) for name in ("x", "y")
        )
        y[:] = 2 * x
        if self.profiler is not None:
            self.profiler.report_layer_time("twice", 0.25)  # type: ignore[attr-defined]  # what edgert puts there
        return True


class _Engine:
    num_io_tensors = 2

    def get_tensor_name(self, index: int) -> str:
        return "xy"[index]

    def get_tensor_mode(self, name: str) -> _Mode:
        return _Mode.INPUT if name == "x" else _Mode.OUTPUT

    def get_tensor_dtype(self, name: str) -> object:
        return types.SimpleNamespace(name=KINDS[name])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return SHAPE

    def create_execution_context(self) -> _Context:
        return _Context()

    def create_engine_inspector(self) -> _Inspector:
        return _Inspector()


def make_module(version: str = "10.3.0", dla_cores: int = 2, shape: tuple[int, ...] = SHAPE) -> types.ModuleType:
    """Returns the stand-in; `builds` lists the configuration of every build, `refuses` makes the parser fail."""
    module = types.ModuleType("tensorrt")
    module.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
    builds: list[_Config] = []

    class Builder:
        num_DLA_cores = dla_cores  # noqa: N815  # the module's own name

        def __init__(self, logger: _ILogger) -> None:
            self._logger = logger

        def create_network(self, flags: int) -> _Network:
            assert flags == 1
            return _Network(shape)

        def create_builder_config(self) -> _Config:
            return _Config()

        def create_optimization_profile(self) -> _Profile:
            return _Profile()

        def build_serialized_network(self, network: _Network, config: _Config) -> bytes | None:
            builds.append(config)
            if facts["fails"]:
                self._logger.log(_ILogger.Severity.ERROR, "Could not find any implementation for node twice")  # type: ignore[attr-defined]  # edgert's logger
                return None
            if config.DLA_core >= 0:
                for line in ("[DlaLayer] {ForeignNode[twice...end]}", "[GpuLayer] SHUFFLE: turn"):
                    self._logger.log(_ILogger.Severity.INFO, line)  # type: ignore[attr-defined]  # edgert's logger
            return MARK + b"x" * 16

    class OnnxParser:
        num_errors = 1

        def __init__(self, network: _Network, logger: _ILogger) -> None:
            pass

        def parse(self, model: bytes) -> bool:
            return not facts["refuses"]

        def get_error(self, index: int) -> _Error:
            return _Error()

    class Runtime:
        def __init__(self, logger: _ILogger) -> None:
            if facts["does_not_start"]:
                logger.log(_ILogger.Severity.ERROR, "CUDA initialization failure with error: 35")  # type: ignore[attr-defined]  # edgert's logger
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def deserialize_cuda_engine(self, data: bytes) -> _Engine | None:
            return _Engine() if data.startswith(MARK) and not facts["stale"] else None

    facts: dict[str, bool] = {"fails": False, "refuses": False, "stale": False, "does_not_start": False}
    names = {
        "__version__": version,
        "ILogger": _ILogger,
        "IProfiler": _IProfiler,
        "Builder": Builder,
        "OnnxParser": OnnxParser,
        "Runtime": Runtime,
        "BuilderFlag": _Flags,
        "NetworkDefinitionCreationFlag": _NetworkFlags,
        "TensorIOMode": _Mode,
        "MemoryPoolType": types.SimpleNamespace(WORKSPACE="workspace"),
        "ProfilingVerbosity": types.SimpleNamespace(DETAILED="detailed"),
        "DeviceType": types.SimpleNamespace(DLA="dla"),
        "LayerInformationFormat": types.SimpleNamespace(JSON="json"),
        "builds": builds,
        "facts": facts,
    }
    module.__dict__.update(names)
    return module
