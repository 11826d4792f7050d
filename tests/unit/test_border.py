"""Variants of other layouts and integer types take and give the caller's arrays."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto, helper, numpy_helper

import edgert
from edgert.bundle import SCHEMA, Manifest, Source, TensorSpec, Variant, write_bundle
from edgert.dtypes import DType
from edgert.errors import DataError
from edgert.quant import QuantParams, dequantize, quantize
from edgert.runtime.border import build_borders

X_QUANT = QuantParams((1 / 64,), (-3,), DType.INT8)
Y_QUANT = QuantParams((1 / 16,), (5,), DType.INT8)
CALLER = TensorSpec("x", (None, 3, 4, 5), DType.FLOAT, "NCHW"), TensorSpec("y", (None, 3, 4, 5), DType.FLOAT, "NCHW")
FACTORS = np.float32([1, 2, 3])


def model(layout: str, quantized: bool) -> bytes:
    """y = x * (1, 2, 3) over channels, in either layout, with float or int8 borders."""
    channels_first = layout == "NCHW"
    sizes = ["N", 3, 4, 5] if channels_first else ["N", 4, 5, 3]
    kind = TensorProto.INT8 if quantized else TensorProto.FLOAT
    constants = {"w": FACTORS.reshape(3, 1, 1) if channels_first else FACTORS}
    nodes = [helper.make_node("Mul", ["x", "w"], ["y"])]
    if quantized:
        nodes = [
            helper.make_node("DequantizeLinear", ["x", "sx", "zx"], ["xf"]),
            helper.make_node("Mul", ["xf", "w"], ["yf"]),
            helper.make_node("QuantizeLinear", ["yf", "sy", "zy"], ["y"]),
        ]
        for letter, quant in (("x", X_QUANT), ("y", Y_QUANT)):
            constants[f"s{letter}"] = np.asarray(quant.scale[0], np.float32)
            constants[f"z{letter}"] = np.asarray(quant.zero_point[0], np.int8)
    graph = helper.make_graph(
        nodes,
        "scaled",
        [helper.make_tensor_value_info("x", kind, sizes)],
        [helper.make_tensor_value_info("y", kind, sizes)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def variant(layout: str, quantized: bool) -> Variant:
    name = f"{layout.lower()}-{'int8' if quantized else 'fp32'}"
    shape = (None, 3, 4, 5) if layout == "NCHW" else (None, 4, 5, 3)
    quants = (X_QUANT, Y_QUANT) if quantized else (None, None)
    dtype = DType.INT8 if quantized else DType.FLOAT
    x, y = (TensorSpec(name, shape, dtype, layout, quant) for name, quant in zip("xy", quants, strict=True))
    return Variant(name, "onnx", "int8" if quantized else "fp32", f"variants/{name}/model.onnx", (x,), (y,), (), 0)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    kinds = [(layout, quantized) for layout in ("NCHW", "NHWC") for quantized in (False, True)]
    variants = tuple(variant(*kind) for kind in kinds)
    source = Source("scaled.onnx", "onnx", "0" * 64)
    manifest = Manifest(SCHEMA, "scaled", "0.1.0", source, CALLER[:1], CALLER[1:], variants, "nchw-fp32")
    files = {made.path: model(*kind) for made, kind in zip(variants, kinds, strict=True)}
    return write_bundle(tmp_path / "scaled.edge", manifest, files)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (2, 3, 4, 5)).astype(np.float32)


def test_every_variant_has_the_callers_view(bundle: Path) -> None:
    for name in ("nchw-fp32", "nchw-int8", "nhwc-fp32", "nhwc-int8"):
        session = edgert.load(bundle, variant=name)
        for seen, declared in zip((*session.inputs, *session.outputs), CALLER, strict=True):
            assert (seen.shape, seen.dtype, seen.layout) == (declared.shape, declared.dtype, declared.layout)


def test_every_variant_takes_and_gives_the_same_arrays(bundle: Path, x: np.ndarray) -> None:
    expected = x * FACTORS[:, None, None]
    integers = dequantize(
        quantize(dequantize(quantize(x, X_QUANT), X_QUANT) * FACTORS[:, None, None], Y_QUANT), Y_QUANT
    )
    for name, answer in (("nchw-fp32", expected), ("nhwc-fp32", expected), ("nchw-int8", integers)):
        session = edgert.load(bundle, variant=name)
        for _ in range(2):  # the second run takes the fast path
            found = session.run(x)["y"]
            assert_allclose(found, answer, atol=1e-6)
            assert found.flags.c_contiguous
    session = edgert.load(bundle, variant="nhwc-int8")
    for _ in range(2):
        assert_array_equal(session.run(x)["y"], integers)
    assert_array_equal(session.run_batched(x, 1)["y"], integers)
    assert_array_equal(session.run(x[0])["y"], integers[:1])


def test_quantized_feeds_and_returns_integers_in_the_callers_layout(bundle: Path, x: np.ndarray) -> None:
    first, last = (edgert.load(bundle, variant=name) for name in ("nchw-int8", "nhwc-int8"))
    integers = quantize(x, X_QUANT)
    for _ in range(2):
        expected, found = (session.run(integers, quantized=True)["y"] for session in (first, last))
        assert found.dtype == np.int8
        assert_array_equal(found, expected)
    assert_array_equal(dequantize(found, Y_QUANT), last.run(x)["y"])


def test_a_wrong_shape_is_told_in_the_callers_layout(bundle: Path, x: np.ndarray) -> None:
    session = edgert.load(bundle, variant="nhwc-int8")
    with pytest.raises(DataError, match=r"expected float \[\?, 3, 4, 5\], got float \[2, 4, 5, 3\]"):
        session.run(np.ascontiguousarray(x.transpose(0, 2, 3, 1)))


def border(
    seen: TensorSpec, shape: tuple[int | None, ...], layout: str | None, dtype: DType = DType.FLOAT
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    port = TensorSpec("x", shape, dtype, layout)
    (made,) = build_borders([port], [port], [seen])
    return made.inward, made.outward


def test_layouts_are_orders_of_the_same_letters() -> None:
    sequence = TensorSpec("x", (1, 8, 100), DType.FLOAT, "NCW")
    assert border(sequence, (1, 100, 8), "NWC") == ((0, 2, 1), (0, 2, 1))
    image = TensorSpec("x", (1, 3, 4, 5), DType.FLOAT, "NCHW")
    assert border(image, (1, 4, 5, 3), "NHWC") == ((0, 2, 3, 1), (0, 3, 1, 2))
    assert border(image, (4, 5, 3, 1), "HWCN") == ((2, 3, 1, 0), (3, 2, 0, 1))
    assert border(image, (1, 3, 4, 5), "NCHW") == (None, None)
    assert border(image, (1, 3, 4, 5), None) == (None, None)


def test_an_entry_without_layout_is_channels_first_unless_its_shape_says_otherwise() -> None:
    plain = TensorSpec("x", (None, 3, 4, 5), DType.FLOAT)
    assert border(plain, (None, 4, 5, 3), "NHWC") == ((0, 2, 3, 1), (0, 3, 1, 2))
    assert border(dataclasses.replace(plain, shape=(None, 4, 5, 3)), (None, 4, 5, 3), "NHWC") == (None, None)
    assert border(dataclasses.replace(plain, shape=(3, 4)), (4, 3, 1), "HWC") == (None, None)


@pytest.mark.parametrize(
    ("seen", "shape", "layout", "expected"),
    [
        (CALLER[0], (None, 4, 5, 3), "NHWD", "layout NHWD of the variant is no order of NCHW in the manifest"),
        (CALLER[0], (None, 4, 6, 3), "NHWC", r"\[\?, 4, 6, 3\] NHWC in the variant, which \[\?, 3, 4, 5\] NCHW"),
        (TensorSpec("x", (None, 3, 7, 5), DType.FLOAT), (None, 4, 5, 3), "NHWC", r"which \[\?, 3, 7, 5\] NCHW of"),
    ],
)
def test_a_manifest_that_no_layout_explains(
    seen: TensorSpec, shape: tuple[int | None, ...], layout: str, expected: str
) -> None:
    with pytest.raises(DataError, match=expected):
        border(seen, shape, layout)


def test_a_real_int8_network_under_a_channels_first_manifest(zoo: Path, tmp_path: Path) -> None:
    data = (zoo / "models/mlperf_tiny_ic_resnet8_int8.tflite").read_bytes()
    plain = edgert.load(zoo / "models/mlperf_tiny_ic_resnet8_int8.tflite", threads=1)
    ports = plain.variant
    layouts = tuple(dataclasses.replace(spec, layout="NHWC") for spec in ports.inputs)
    made = dataclasses.replace(ports, id="tflite-int8", inputs=layouts, path="variants/tflite-int8/model.tflite")
    seen = TensorSpec(ports.inputs[0].name, (None, 3, 32, 32), DType.FLOAT, "NCHW")
    manifest = dataclasses.replace(
        plain.manifest, inputs=(seen,), outputs=plain.outputs, variants=(made,), default_variant="tflite-int8"
    )
    session = edgert.load(write_bundle(tmp_path / "ic.edge", manifest, {made.path: data}), threads=1)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.float32)
    found = session.run(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    assert_array_equal(found["Identity_int8"], plain.run(images)["Identity_int8"])
