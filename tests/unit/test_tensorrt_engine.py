"""The way of a model to TensorRT and back, on stand-ins for the module and for libcudart (compiled C)."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edgert.errors import EngineError, ModelError, UsageError
from edgert.plugins import EngineOptions
from edgert.runtime.engines import choose_engine, tensorrt
from edgert.runtime.engines.tensorrt import TensorRtEngine
from edgert.runtime.engines.tensorrt_build import build_settings
from edgert.runtime.engines.tensorrt_cuda import Cuda, load_cuda
from tests import bundle_example as example
from tests.tensorrt_stand_in import KINDS, make_module

VARIANT = example.variant("onnx-fp32")
INT8 = dataclasses.replace(example.variant("onnx-int8-trt"), precision="int8-symmetric")
REAL_CUDART = [word for word in os.environ.get("EDGERT_LIBCUDART", "").split(os.pathsep) if word]
MODEL, QUANTIZED = b"a float model", b"a model with QuantizeLinear"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    built = tmp_path_factory.mktemp("cudart") / "libcudart.so.12"
    source = Path(__file__).parents[1] / "cudart_stand_in.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", built, source], check=True)
    return ctypes.CDLL(str(built))


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, library: ctypes.CDLL) -> types.ModuleType:
    found = make_module()
    monkeypatch.setitem(sys.modules, "tensorrt", found)
    monkeypatch.setenv("EDGERT_CACHE", str(tmp_path))
    monkeypatch.setattr(tensorrt, "load_cuda", lambda: Cuda(library))
    return found


def load(model: bytes = MODEL, variant: Any = VARIANT, profile: bool = False, **options: str) -> Any:
    return TensorRtEngine().load(model, variant, EngineOptions(None, options, profile))


def test_values_go_there_and_back_and_nothing_is_left(module: types.ModuleType, library: ctypes.CDLL) -> None:
    before = library.standin_live()
    executor = load()
    x = np.arange(4, dtype=np.float32).reshape(1, 4)
    (first,) = executor.run([x])
    (second,) = executor.run([x + 1])
    assert_array_equal(first, 2 * x)
    assert_array_equal(second, 2 * x + 2)
    assert [(spec.name, spec.shape) for spec in (*executor.inputs, *executor.outputs)] == [("x", (1, 4)), ("y", (1, 4))]
    assert library.standin_live() == before + 3
    executor.close()
    executor.close()
    assert library.standin_live() == before


def test_the_engine_is_built_once_and_again_after_an_update(
    module: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second = load().facts(), load().facts()
    assert (first["from_cache"], first["built_because"], second["from_cache"]) == (False, "none is stored", True)
    assert len(module.builds) == 1
    assert second["layers_by_place"] == first["layers_by_place"] == {"GPU": 1}
    assert second["layers_by_type"] == {"INT8": 1}
    newer = make_module("10.7.0")
    monkeypatch.setitem(sys.modules, "tensorrt", newer)
    third = load().facts()
    assert third["built_because"] == "the stored one was built elsewhere: tensorrt was 10.3.0, is 10.7.0"
    assert len(newer.builds) == 1
    assert len(list((tmp_path / "tensorrt").iterdir())) == 1
    assert load(cache="0").facts()["built_because"] == "it is not kept"
    assert load(MODEL + b"2").facts()["from_cache"] is False
    assert load(workspace_mb="64").facts()["from_cache"] is False
    assert len(list((tmp_path / "tensorrt").iterdir())) == 3


def test_an_engine_that_no_longer_loads_is_built_anew(module: types.ModuleType, tmp_path: Path) -> None:
    load()
    (file,) = (tmp_path / "tensorrt").iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    assert load().facts()["built_because"] == "the stored one is damaged"
    module.facts["stale"] = True
    with pytest.raises(ModelError, match="tensorrt cannot load the engine it built: it gave no reason"):
        load()
    assert len(module.builds) == 3


def test_types_follow_the_variant(module: types.ModuleType) -> None:
    flags = module.BuilderFlag
    load()
    load(variant=dataclasses.replace(VARIANT, precision="fp16"))
    load(QUANTIZED, INT8)
    load(tf32="1", float_precision="fp16")
    assert [config.flags for config in module.builds] == [
        set(),
        {flags.FP16},
        {flags.INT8, flags.FP16},
        {flags.TF32, flags.FP16},
    ]


def test_a_dla_core_is_used_with_its_fallback_counted(module: types.ModuleType) -> None:
    executor = load(QUANTIZED, INT8, dla_core="1")
    facts = executor.facts()
    (config,) = module.builds
    assert (config.DLA_core, config.default_device_type) == (1, "dla")
    assert module.BuilderFlag.GPU_FALLBACK in config.flags
    assert facts["providers"] == ["GPU Orin", "DLA 1"]
    assert facts["layers_by_place"] == {"DLA 1": 1, "GPU": 1}
    with pytest.raises(EngineError, match="dla_core is 2, and this device has 2 DLA cores"):
        load(dla_core="2")


def test_layer_times_come_from_the_profiler(module: types.ModuleType) -> None:
    executor = load(profile=True)
    for _ in range(3):
        executor.run([np.zeros((1, 4), np.float32)])
    (row,) = executor.layer_times()
    assert (row.name, row.op, row.mean_ms, row.provider) == ("twice", "Scale", 0.25, "GPU Orin")
    with pytest.raises(ValueError, match="profile_layers"):
        load().layer_times()


def test_the_facts_name_the_gpu_and_the_options(module: types.ModuleType) -> None:
    facts = load().facts()
    assert (facts["engine"], facts["version"], facts["accelerator"]) == ("tensorrt", "10.3.0", "cuda")
    assert (facts["compute_capability"], facts["cuda_driver"]) == ("8.7", 12060)
    assert facts["options"]["float_precision"] == "fp32"


def test_reasons_are_kept(module: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    module.facts["refuses"] = True
    with pytest.raises(ModelError, match=r"10\.3\.0 cannot read variant 'onnx-fp32': No importer registered for op: S"):
        load()
    module.facts.update(refuses=False, fails=True)
    with pytest.raises(
        ModelError, match="cannot build variant 'onnx-fp32': Could not find any implementation for node"
    ):
        load()
    module.facts.update(fails=False, does_not_start=True)
    with pytest.raises(EngineError, match="does not start on this device: CUDA initialization failure with error: 35"):
        load()
    free = make_module(shape=(-1, 3, -1, 8))
    monkeypatch.setitem(sys.modules, "tensorrt", free)
    with pytest.raises(ModelError, match="input 'x' has no fixed size .*; convert with --shape x=1,"):
        load()


def test_a_type_that_numpy_does_not_have(module: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "y", "FP8")
    with pytest.raises(ModelError, match="tensor 'y' has type FP8, which edgert does not run in tensorrt"):
        load()


def test_a_free_batch_becomes_one(monkeypatch: pytest.MonkeyPatch, module: types.ModuleType) -> None:
    free = make_module(shape=(-1, 4))
    monkeypatch.setitem(sys.modules, "tensorrt", free)
    load()
    assert free.builds[0].profile.shapes == {"x": ((1, 4),) * 3}


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="tensorrt option workspace_mb is 'much'; write a number"):
        build_settings({"workspace_mb": "much"}, VARIANT, MODEL)
    with pytest.raises(UsageError, match="tensorrt option dla_core is 'first'; write a number, or none"):
        build_settings({"dla_core": "first"}, VARIANT, MODEL)
    with pytest.raises(UsageError, match="float_precision is 'fp32', which no DLA computes"):
        build_settings({"dla_core": "0", "float_precision": "fp32"}, VARIANT, MODEL)
    assert build_settings({"dla_core": "0"}, VARIANT, MODEL)["float_precision"] == "fp16"


def test_variants_that_it_cannot_run(module: types.ModuleType) -> None:
    engine = TensorRtEngine()
    assert engine.refusal(dataclasses.replace(VARIANT, format="tflite")) == "reads onnx, not tflite"
    affine = dataclasses.replace(example.variant("onnx-int8"), requantize="fp32")
    assert engine.refusal(affine) == (
        "takes symmetric integers only, and onnx-int8 has zero points; onnx-int8-trt is the form for it"
    )
    assert engine.refusal(INT8) is None
    assert choose_engine(VARIANT).name == "onnxruntime"


def test_without_the_module_or_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TensorRtEngine()
    if engine.version() is not None:
        pytest.skip("TensorRT is installed")
    assert "--system-site-packages" in str(engine.refusal(VARIANT))
    with pytest.raises(EngineError, match="the module 'tensorrt' is not there; JetPack brings it"):
        load()
    with pytest.raises(EngineError, match="the CUDA runtime is not there .looked for libnothing.so"):
        load_cuda(("libnothing.so",))


def test_cuda_says_what_it_is_and_what_failed(library: ctypes.CDLL) -> None:
    cuda = Cuda(library)
    gpu = cuda.gpu()
    assert (gpu.name, gpu.capability, gpu.driver) == ("Orin", "8.7", 12060)
    library.standin_fail_next()
    with pytest.raises(EngineError, match=re.escape("CUDA failed in cudaMalloc with error 2 (out of memory)")):
        cuda.allocate(16)
    library.cudaFree(None)


@pytest.mark.skipif(not REAL_CUDART, reason="no libcudart; name one in EDGERT_LIBCUDART (it is in nvidia-cuda-runtime)")
@pytest.mark.parametrize("path", REAL_CUDART)
def test_the_real_library_answers(path: str) -> None:
    """With a GPU it names it; without one, NVIDIA's own words come through."""
    cuda = load_cuda((path,))
    try:
        gpu = cuda.gpu()
    except EngineError as error:
        assert re.search(r"CUDA failed in counting GPUs with error (35|100) \(.*(driver|device).*\)", str(error))  # noqa: PT017  # either is right
    else:
        assert gpu.name.isprintable()
        assert gpu.runtime >= 11000
    for name in ("cudaFree", "cudaStreamDestroy", "cudaStreamSynchronize", "cudaMemcpyAsync", "cudaDeviceGetAttribute"):
        assert hasattr(cuda._library, name)
