"""Looks for every name of TensorRT's module that edgert uses in NVIDIA's own bindings; run as a program.

    python tests/tensorrt_names.py FOLDER

FOLDER holds the unpacked wheel (`pip download --no-deps tensorrt-cu12-bindings==10.3.0`, then unzip). The bindings need
no GPU to be imported, only libraries of some names; empty ones are compiled for that, so nothing of TensorRT runs.
Prints JSON: the version, and the names that are missing.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MOST_SYMBOLS = 40
NAMES = {
    "BuilderFlag": "FP16 INT8 TF32 GPU_FALLBACK",
    "NetworkDefinitionCreationFlag": "EXPLICIT_BATCH",
    "MemoryPoolType": "WORKSPACE",
    "ProfilingVerbosity": "DETAILED",
    "DeviceType": "DLA",
    "TensorIOMode": "INPUT OUTPUT",
    "LayerInformationFormat": "JSON",
    "DataType": "FLOAT HALF INT8 UINT8 INT32 BOOL",
    "Builder": "create_network create_builder_config create_optimization_profile build_serialized_network "
    "num_DLA_cores",
    "IBuilderConfig": "set_memory_pool_limit builder_optimization_level profiling_verbosity set_flag clear_flag "
    "default_device_type DLA_core add_optimization_profile",
    "INetworkDefinition": "num_inputs get_input",
    "ITensor": "name shape",
    "IOptimizationProfile": "set_shape",
    "OnnxParser": "parse num_errors get_error",
    "ParserError": "desc",
    "Runtime": "deserialize_cuda_engine DLA_core",
    "ICudaEngine": "num_io_tensors get_tensor_name get_tensor_mode get_tensor_dtype get_tensor_shape "
    "create_execution_context create_engine_inspector",
    "EngineInspector": "get_engine_information",
    "IExecutionContext": "set_tensor_address set_input_shape execute_async_v3 profiler",
    "ILogger": "log Severity",
    "IProfiler": "report_layer_time",
}
"""Class or enum -> what edgert asks of it."""


def import_bindings(folder: Path, stubs: Path) -> Any:
    """Returns the module of the unpacked wheel; what it asks of its libraries is made as it asks for it."""
    (library,) = (folder / "tensorrt_bindings").glob("*.so")
    for name in sorted(set(re.findall(rb"libnv\w+\.so\.\d+", library.read_bytes()))):
        load_stub(stubs / name.decode(), "")
    sys.path.insert(0, str(folder))
    for _ in range(MOST_SYMBOLS):
        found = import_or_symbol()
        if not isinstance(found, str):
            return found
        load_stub(stubs / f"{found}.so", f"void *{found}(void) {{ return 0; }}")
    raise RuntimeError("the bindings ask for more than a few functions")


def import_or_symbol() -> Any:
    """Returns the module, or the name of a function that it asks for and no library has."""
    try:
        return importlib.import_module("tensorrt_bindings")
    except ImportError as error:
        found = re.search(r"undefined symbol: (\w+)$", str(error))
        if found is None:
            raise
        return found.group(1)


def load_stub(path: Path, source: str) -> None:
    """Compiles a library and loads it for everybody in this process."""
    command = ["cc", "-shared", "-fPIC", "-x", "c", "-o", str(path), f"-Wl,-soname,{path.name}", "-"]
    subprocess.run(command, input=source.encode(), check=True)
    ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)


def missing_names(module: Any) -> list[str]:
    """Returns `Class.name` of what the module does not have."""
    rows = ((kind, name) for kind, names in NAMES.items() for name in names.split())
    return [f"{kind}.{name}" for kind, name in rows if not hasattr(getattr(module, kind, None), name)]


def try_classes(module: Any) -> dict[str, Any]:
    """Makes edgert's logger and profiler of the module's classes and returns what they noted."""
    from edgert.runtime.engines.tensorrt import make_profiler
    from edgert.runtime.engines.tensorrt_build import make_logger

    logger, profiler = make_logger(module), make_profiler(module)
    logger.log(module.ILogger.Severity.ERROR, "no way")
    profiler.report_layer_time("layer", 0.5)
    return {"errors": logger.errors(), "times_ms": profiler.times_ms, "half": module.DataType.HALF.name}


def main() -> None:
    """Prints what was found."""
    with tempfile.TemporaryDirectory() as stubs, contextlib.redirect_stdout(sys.stderr):
        module = import_bindings(Path(sys.argv[1]), Path(stubs))
        found = {"version": module.__version__, "missing": missing_names(module), **try_classes(module)}
    sys.stdout.write(f"{json.dumps(found)}\n")
    sys.stdout.flush()
    os._exit(0)  # the bindings' own end would look for the libraries


if __name__ == "__main__":
    main()
