"""Kernels of real networks, as ONNX Runtime tells them, against the bundle's own table of layers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import edgert
from edgert.bundle import Bundle, LayerRecord, Variant
from edgert.codec import JsonValue
from edgert.cost.detect import detect_kernels
from edgert.cost.device_cost import Platform
from edgert.cost.kernels import FEATURES, UNSIGNED, Kernel, kernels_of
from edgert.cost.random_networks import random_network
from edgert.cost.records import sample_of
from edgert.dtypes import DType
from edgert.errors import UsageError
from edgert.plugins import LayerTime
from tests import record_example

MACS = FEATURES.index("macs")
ELSEWHERE = Platform(None, None, "an-architecture-of-another-kind", 4, "onnxruntime", "1", 1)


def macs(kernels: tuple[Kernel, ...]) -> float:
    return float(sum(2 ** kernel.features[MACS] - 1 for kernel in kernels))


@pytest.fixture(scope="module")
def bundle(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kernels") / "resnet20.edge"
    options = {"data_free": True, "input_range": (-1.0, 1.0), "algorithms": ("none",), "ranges": "min-max"}
    edgert.convert(zoo / "models/resnet20_cifar10.onnx", output=path, formats=("onnx",), **options)
    return path


@pytest.mark.parametrize("variant", ["onnx-fp32", "onnx-int8"])
def test_the_work_of_a_networks_kernels_is_that_of_its_layers(bundle: Path, variant: str) -> None:
    kernels, sizes = detect_kernels(bundle, variant, ELSEWHERE)
    with Bundle.open(bundle) as opened:
        layers = opened.manifest.variant(variant).layers
    weighted = [layer for layer in layers if layer.weight_bytes]
    assert macs(kernels) == pytest.approx(sum(layer.macs for layer in weighted), rel=1e-6)
    assert all(kernel.is_known for kernel in kernels)
    assert {name for kernel in kernels for name in kernel.layers} >= {layer.name for layer in weighted}
    assert sizes.weight_bytes == sum(layer.weight_bytes for layer in layers)


def test_layouts_of_this_processor_alone_are_not_expected_of_another(bundle: Path) -> None:
    kernels, _ = detect_kernels(bundle, "onnx-fp32", ELSEWHERE)
    assert not [kernel.family for kernel in kernels if "blocked" in kernel.family or "Reorder" in kernel.family]


def test_a_convolution_with_hidden_weights_and_no_layer_is_no_known_kernel() -> None:
    shape = (1, 8, 8, 16)
    row = LayerTime("hidden", "QLinearConv", 1.0, "CPU", (shape, (), ()), ((1, 8, 8, 32),), ("uint8", "float"))
    (kernel,) = kernels_of([row], ())
    assert not kernel.is_known
    plain = LayerTime("seen", "Conv", 1.0, "CPU", ((1, 4, 8, 8), (6, 4, 3, 3), (6,)), ((1, 6, 8, 8),), ("float",))
    (known,) = kernels_of([plain], ())
    assert known.is_known
    assert known.family == "Conv float window"
    assert macs((known,)) == pytest.approx(6 * 8 * 8 * 4 * 9)


def test_channels_are_last_where_a_map_is_as_deep_as_it_is_wide() -> None:
    """A first layer of one channel, its weights packed away: either order fits its output."""
    shapes = ((1, 1, 96, 96),), ((1, 48, 48, 48),)
    window: dict[str, JsonValue] = {"kernel_shape": [10, 4]}
    layer = LayerRecord("conv", "Conv", ("x",), ("y",), *shapes, DType.INT8, 4_423_680, 1920, 119_808, window)
    row = LayerTime("conv", "QLinearConv", 1.0, "CPU", ((1, 96, 96, 1), ()), ((1, 48, 48, 48),), ("uint8",))
    (kernel,) = kernels_of([row], (layer,))
    assert macs((kernel,)) == pytest.approx(layer.macs)


def test_a_map_that_is_read_as_planes_is_another_family() -> None:
    """ONNX Runtime keeps 16 channels together; of fewer it reads whole planes."""
    families = []
    for depth in (12, 16):
        shapes = ((1, depth, 8, 8), (32, depth, 1, 1)), ((1, 32, 8, 8),)
        (kernel,) = kernels_of([LayerTime("conv_nchwc", "Conv", 1.0, "CPU", *shapes, ("float",))], ())
        families.append(kernel.family)
    assert families == ["Conv float dense from planes", "Conv float dense blocked"]


def test_a_long_window_gathers_its_input_once_for_every_output_position() -> None:
    shapes = ((1, 1, 1, 1000), (2, 1, 1, 256)), ((1, 2, 1, 500),)
    (kernel,) = kernels_of([LayerTime("conv", "Conv", 1.0, "CPU", *shapes, ("float",))], ())
    assert 2 ** kernel.features[FEATURES.index("gathers")] - 1 == pytest.approx(500 * 256)


def test_weights_that_are_not_int8_are_another_family() -> None:
    shape = (1, 8, 8, 16)
    families = []
    for weights in ("int8", "uint8"):
        dtypes = ("uint8", "float", "uint8", "float", weights, "float", "uint8", "int32")
        row = LayerTime("conv", "QLinearConv", 1.0, "CPU", (shape, (), ()), (shape,), dtypes)
        families += [kernel.family for kernel in kernels_of([row], ())]
    assert families[1] == families[0] + UNSIGNED


@pytest.mark.parametrize(("op", "passes"), [("Relu", 0), ("Clip", 1), ("Sigmoid", 4)])
def test_an_activation_inside_a_kernel_is_work(op: str, passes: int) -> None:
    """ONNX Runtime names such a kernel for its activation; here it adds the short cut of a residual block, too."""
    maps = ((1, 16, 8, 8),)
    window: dict[str, JsonValue] = {"kernel_shape": [3, 3]}
    conv = LayerRecord("conv", "Conv", ("x",), ("y",), maps, maps, DType.FLOAT, 147_456, 9216, 8192, window)
    after = LayerRecord("after", op, ("y",), ("z",), maps, maps, DType.FLOAT, 0, 0, 8192, {})
    inputs = (maps[0], (16, 16, 3, 3), (16,), maps[0])
    (kernel,) = kernels_of([LayerTime("after_nchwc", "Conv", 1.0, "CPU", inputs, maps, ("float",))], (conv, after))
    counted = dict(zip(FEATURES, kernel.features, strict=True))
    assert kernel.layers == ("conv",)
    assert 2 ** counted["activated"] - 1 == pytest.approx(passes * 16 * 8 * 8)
    assert 2 ** counted["input_elements"] - 1 == pytest.approx(2 * 16 * 8 * 8)


def test_a_time_is_the_least_of_the_same_node() -> None:
    """ONNX Runtime runs branches in another order in every process."""
    narrow = LayerTime("narrow", "Conv", 1.0, "CPU", ((1, 4, 8, 8), (6, 4, 1, 1)), ((1, 6, 8, 8),), ("float",))
    wide = LayerTime("wide", "Conv", 5.0, "CPU", ((1, 4, 8, 8), (6, 4, 3, 3)), ((1, 6, 8, 8),), ("float",))
    first = record_example.record(layers=(narrow, wide))
    second = record_example.record(layers=(dataclasses.replace(wide, mean_ms=4.0), narrow))
    variant = Variant("onnx-fp32", "onnx", "", "", (), (), (), 0)
    sample = sample_of([first, second], variant)
    assert sample is not None
    assert sample.network.kernel_ms == (1.0, 4.0)


def test_other_formats_are_refused(bundle: Path, tmp_path: Path, zoo: Path) -> None:
    path = tmp_path / "net.edge"
    edgert.convert(zoo / "models/mlperf_tiny_kws_dscnn_int8.tflite", output=path, formats=("tflite",))
    with Bundle.open(path) as opened:
        name = next(item.id for item in opened.manifest.variants if item.format == "tflite")
    with pytest.raises(UsageError, match=f"{name}: kernels are predicted for onnxruntime only"):
        detect_kernels(path, name, ELSEWHERE)


def test_random_networks_run_and_repeat(tmp_path: Path) -> None:
    seen: set[bytes] = set()
    for seed in range(100):
        data, shape = random_network(seed)
        assert random_network(seed)[0] == data
        path = tmp_path / f"{seed}.onnx"
        path.write_bytes(data)
        with edgert.load(path, threads=1) as session:
            (output,) = session.run({"input": np.ones(shape, np.float32)}).values()
        assert np.isfinite(output).all()
        seen.add(data)
    assert len(seen) == 100
