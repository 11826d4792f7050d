"""Real models, quantized by edgert, against ONNX Runtime: every convolution and fully connected layer, 0 steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.recipe import RangeMethod
from edgert_converters.importers import import_model
from edgert_converters.isolated import compare_end_to_end, compare_isolated
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import Array, QuantRule
from edgert_converters.quantize.calibrate import collect_statistics
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.plan import make_plan, values_to_watch

pytest.importorskip("onnxruntime")

_CALIBRATION_SAMPLES = 4


def _silent(stage: str, done: int, total: int) -> None:
    pass


def _cifar(zoo: Path) -> Array:
    images = np.load(zoo / "data" / "cifar10_test_jpegdegraded_500.npz")["images"][: _CALIBRATION_SAMPLES + 1]
    scaled = images.astype(np.float32) / 255
    mean, std = np.asarray([0.485, 0.456, 0.406], np.float32), np.asarray([0.229, 0.224, 0.225], np.float32)
    return np.ascontiguousarray(((scaled - mean) / std).transpose(0, 3, 1, 2))


def _imagenet(zoo: Path) -> Array:
    cv2 = pytest.importorskip("cv2")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(zoo / "data" / "imagenet_train_125_224px_calib.parquet")
    (column,) = (name for name in table.column_names if "jp" in name)
    found = []
    for cell in table[column].to_pylist()[: _CALIBRATION_SAMPLES + 1]:
        data = cell["bytes"] if isinstance(cell, dict) else cell
        pixels = cv2.resize(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), (112, 112))
        found.append(pixels[..., ::-1].transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)
    return np.stack(found)


_MODELS = {"resnet20_cifar10": _cifar, "proxyless_w025_r112_imagenet": _imagenet}


@pytest.fixture(scope="module", params=_MODELS)
def quantized(request: pytest.FixtureRequest, zoo: Path) -> Iterator[tuple[ir.Model, dict[str, Array]]]:
    """A uint8 QDQ model and one real sample that it was not calibrated on."""
    samples = _MODELS[request.param](zoo)
    model = import_model(zoo / "models" / f"{request.param}.onnx", {}).model
    name = str(model.graph.inputs[0].name)
    calibration = [{name: samples[i : i + 1]} for i in range(_CALIBRATION_SAMPLES)]
    statistics = collect_statistics(model, values_to_watch(model), calibration, _silent)
    plan = make_plan(model, statistics, RangeMethod.MIN_MAX, 99.99)
    yield apply_plan(model, plan, DType.UINT8), {name: samples[-1:]}


def test_every_unit_gives_the_interpreters_integers(quantized: tuple[ir.Model, dict[str, Array]]) -> None:
    results = compare_isolated(*quantized)
    computed = [r for r in results if OPERATORS[r.op].quantization is QuantRule.COMPUTE]
    assert len(computed) == sum(node.op_type in {"Conv", "Gemm", "MatMul"} for node in quantized[0].graph)
    assert all(r.is_fused for r in computed)
    assert [r for r in results if r.max_steps] == []


def test_the_whole_model_gives_the_interpreters_integers(quantized: tuple[ir.Model, dict[str, Array]]) -> None:
    for output in compare_end_to_end(*quantized):
        assert output.max_steps == 0, output


def test_only_the_asked_layers_are_compared(quantized: tuple[ir.Model, dict[str, Array]]) -> None:
    first = next(node.name for node in quantized[0].graph if node.op_type == "Conv")
    assert [r.layer for r in compare_isolated(*quantized, layers=[str(first)])] == [first]
