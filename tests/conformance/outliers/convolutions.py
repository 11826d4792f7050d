"""Blocks of convolutional networks."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx

from tests.conformance.outliers.activations import feature_map
from tests.conformance.outliers.block import Block, Fixture

WIDTH, SIZE = 64, 12
_MAP = (1, WIDTH, SIZE, SIZE)


def mbconv() -> onnx.ModelProto:
    """Inverted residual of MobileNetV2: expand 6x, depthwise 3x3, project, all with BatchNormalization and ReLU6."""
    b = Block("mbconv", 1, {"x": _MAP})
    inner = 6 * WIDTH
    low, high = np.float32(0.0), np.float32(6.0)
    y = b.op("Clip", b.batch_norm(b.conv("x", WIDTH, inner), inner), low, high)
    y = b.op("Clip", b.batch_norm(b.conv(y, inner, inner, 3, group=inner), inner), low, high)
    y = b.op("Identity", b.batch_norm(b.conv(y, inner, WIDTH), WIDTH), name="branch")
    b.op("Add", "x", y, name="y")
    return b.finish({"branch": _MAP, "y": _MAP})


def se_hswish() -> onnx.ModelProto:
    """MobileNetV3's block: depthwise 5x5 and h-swish, squeeze and excitation with h-sigmoid, project."""
    b = Block("se_hswish", 2, {"x": _MAP})
    inner = 3 * WIDTH
    y = b.op("HardSwish", b.batch_norm(b.conv("x", WIDTH, inner), inner))
    y = b.op("HardSwish", b.batch_norm(b.conv(y, inner, inner, 5, group=inner), inner))
    gate = b.op("Relu", b.conv(b.op("GlobalAveragePool", y), inner, inner // 4))
    gate = b.op("HardSigmoid", b.conv(gate, inner // 4, inner), alpha=1 / 6, beta=0.5)
    b.conv(b.op("Mul", y, gate), inner, WIDTH, name="branch")
    b.op("Add", "x", "branch", name="y")
    return b.finish({"branch": _MAP, "y": _MAP})


def ffn_conv() -> onnx.ModelProto:
    """ConvNeXt's block: depthwise 7x7, LayerNorm over channels, expand 4x, GELU, project."""
    b = Block("ffn_conv", 3, {"x": _MAP})
    y = b.op("Transpose", b.conv("x", WIDTH, WIDTH, 7, group=WIDTH), perm=[0, 2, 3, 1])
    y = b.linear(b.layer_norm(y, WIDTH), WIDTH, 4 * WIDTH)
    y = b.linear(b.op("Gelu", y), 4 * WIDTH, WIDTH)
    b.op("Transpose", y, perm=[0, 3, 1, 2], name="branch")
    b.op("Add", "x", "branch", name="y")
    return b.finish({"branch": _MAP, "y": _MAP})


def large_kernel() -> onnx.ModelProto:
    """UniRepLKNet's manner: depthwise 13x13, BatchNormalization, expand 4x by 1x1 convolution, GELU, project."""
    b = Block("large_kernel", 4, {"x": _MAP})
    y = b.batch_norm(b.conv("x", WIDTH, WIDTH, 13, group=WIDTH), WIDTH)
    y = b.op("Gelu", b.conv(y, WIDTH, 4 * WIDTH))
    b.conv(y, 4 * WIDTH, WIDTH, name="branch")
    b.op("Add", "x", "branch", name="y")
    return b.finish({"branch": _MAP, "y": _MAP})


def one_shot_aggregation() -> onnx.ModelProto:
    """VoVNet's module: five 3x3 convolutions in a row, all of their outputs and the input joined, then 1x1."""
    b = Block("one_shot_aggregation", 5, {"x": _MAP})
    joined, width = ["x"], WIDTH
    for _ in range(5):
        joined.append(b.op("Relu", b.batch_norm(b.conv(joined[-1], width, 40, 3), 40)))
        width = 40
    together = b.op("Concat", *joined, axis=1)
    b.op("Relu", b.batch_norm(b.conv(together, WIDTH + 5 * 40, WIDTH), WIDTH), name="branch")
    b.op("Add", "x", "branch", name="y")
    return b.finish({"branch": _MAP, "y": _MAP})


def deformable() -> onnx.ModelProto:
    """Deformable sampling: a convolution gives one offset per position, GridSample moves, a convolution follows."""
    b = Block("deformable", 6, {"x": _MAP})
    lines = np.linspace(-1.0, 1.0, SIZE, dtype=np.float32)
    base = np.stack(np.meshgrid(lines, lines, indexing="xy"), axis=-1)[None]
    offset = b.op("Tanh", b.conv("x", WIDTH, 2, 3))
    offset = b.op("Mul", b.op("Transpose", offset, perm=[0, 2, 3, 1]), np.float32(2.0 / SIZE))
    moved = b.op("GridSample", "x", b.op("Add", offset, base), mode="linear", align_corners=1)
    b.op("Relu", b.batch_norm(b.conv(moved, WIDTH, WIDTH, 3), WIDTH), name="branch")
    b.op("Add", "x", "branch", name="y")
    return b.finish({"branch": _MAP, "y": _MAP})


def complex_pairs() -> onnx.ModelProto:
    """Two complex convolutions on (real, imaginary) halves: four real ones each, a difference and a sum."""
    half = WIDTH // 2
    b = Block("complex_pairs", 7, {"x": _MAP})
    real, imaginary = b.many("Split", "x", np.array([half, half], np.int64), outputs=2, axis=1)
    for _ in range(2):
        rr, ii = b.conv(real, half, half, 3), b.conv(imaginary, half, half, 3)
        ri, ir = b.conv(real, half, half, 3), b.conv(imaginary, half, half, 3)
        real, imaginary = b.op("Relu", b.op("Sub", rr, ii)), b.op("Relu", b.op("Add", ri, ir))
    b.op("Concat", real, imaginary, axis=1, name="branch")
    return b.finish({"branch": _MAP})


def detector_head() -> onnx.ModelProto:
    """A one-level detector head: boxes in 0..640 pixels and sigmoid scores of 20 classes, joined row by row."""
    classes, places = 20, SIZE * SIZE
    b = Block("detector_head", 8, {"x": _MAP})
    y = b.op("Relu", b.batch_norm(b.conv("x", WIDTH, WIDTH, 3), WIDTH))
    bias = np.full(classes, -2.5, np.float32)  # a detector starts from few objects
    weight = b.he(classes, WIDTH, 1, 1, fan_in=WIDTH)
    scores = b.op("Sigmoid", b.op("Conv", y, weight, bias))
    boxes = b.op("Mul", b.op("Sigmoid", b.conv(y, WIDTH, 4)), np.float32(640.0))
    rows = [
        b.op("Reshape", value, np.array([1, size, places], np.int64)) for value, size in ((boxes, 4), (scores, classes))
    ]
    b.op("Transpose", b.op("Concat", *rows, axis=1), perm=[0, 2, 1], name="branch")
    return b.finish({"branch": (1, places, 4 + classes)})


def _sample(seed: int) -> dict[str, np.ndarray]:
    return {"x": feature_map(seed, WIDTH, SIZE)}


_fixture = partial(Fixture, sample=_sample)
FIXTURES = tuple(
    _fixture(build.__name__, build)
    for build in (
        mbconv,
        se_hswish,
        ffn_conv,
        large_kernel,
        one_shot_aggregation,
        deformable,
        complex_pairs,
        detector_head,
    )
)
