"""Random small graphs of data movement around convolutions, for the TFLite conformance tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper

from edgert_converters.ops.spec import Array
from edgert_converters.tflite.layout import permuted
from tests.conformance.tflite_chain import build_model

__all__ = ["Build", "graphs"]

Shape = tuple[int, ...]
Draw = st.DrawFn

MOST_ELEMENTS: Final = 4000


@dataclass
class Build:
    """A chain under construction: the newest value, its shape, and every value so far."""

    shape: Shape
    name: str = "x"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    values: list[tuple[str, Shape]] = field(default_factory=list)

    def constant(self, array: Array | Sequence[int]) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def weights(self, *shape: int) -> str:
        rng = np.random.default_rng(len(self.constants))
        return self.constant(rng.normal(size=shape).astype(np.float32))

    def add(
        self, operator: str, inputs: Sequence[str], shape: Sequence[int], **attributes: Any
    ) -> None:  # Any: what make_node takes
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=f"{operator}_{name}", **attributes))
        self.name, self.shape = name, tuple(shape)
        self.values.append((name, self.shape))

    def model(self) -> tuple[onnx.ModelProto, dict[str, Array]]:
        x = np.random.default_rng(0).normal(size=self.source).astype(np.float32)
        return build_model(self.nodes, {"x": self.source}, [self.name], self.constants), {"x": x}

    def __post_init__(self) -> None:
        self.source = self.shape
        self.values.append((self.name, self.shape))


def transpose(draw: Draw, g: Build) -> None:
    perm = draw(st.permutations(range(len(g.shape))))
    g.add("Transpose", [g.name], permuted(g.shape, tuple(perm)), perm=list(perm))


def slice_(draw: Draw, g: Build) -> None:
    axis = draw(st.integers(0, len(g.shape) - 1))
    step = draw(st.sampled_from((1, 1, 2, -1)))
    bounds = slice(0, max(1, g.shape[axis] - 1), step) if step > 0 else slice(None, None, step)
    size = len(range(*bounds.indices(g.shape[axis])))
    limits = ([0], [bounds.stop]) if step > 0 else ([-1], [-(2**31)])
    inputs = [g.constant(np.asarray(item, np.int64)) for item in (*limits, [axis], [step])]
    g.add("Slice", [g.name, *inputs], [size if i == axis else s for i, s in enumerate(g.shape)])


def reshape(draw: Draw, g: Build) -> None:
    target: list[int] = []
    for size in g.shape:
        factors = [k for k in range(2, size) if size % k == 0]
        factor = draw(st.sampled_from([1, *factors]))
        target += [size] if factor == 1 else [factor, size // factor]
    if len(target) > 1 and draw(st.booleans()):
        place = draw(st.integers(0, len(target) - 2))
        target[place : place + 2] = [target[place] * target[place + 1]]
    if draw(st.booleans()):
        target.insert(draw(st.integers(0, len(target))), 1)
    if len(target) <= 5:
        g.add("Reshape", [g.name, g.constant(np.asarray(target, np.int64))], target)


def flatten(draw: Draw, g: Build) -> None:
    if len(g.shape) < 2:
        return
    rows, outputs = int(np.prod(g.shape[1:])), draw(st.integers(1, 4))
    g.add("Flatten", [g.name], [g.shape[0], rows], axis=1)
    g.add("Gemm", [g.name, g.weights(outputs, rows), g.weights(outputs)], [g.shape[0], outputs], transB=1)


def gather(draw: Draw, g: Build) -> None:
    axis = draw(st.integers(0, len(g.shape) - 1))
    size = g.shape[axis]
    if len(g.shape) > 1 and draw(st.booleans()):
        index = np.asarray(draw(st.integers(-size, size - 1)), np.int64)
        g.add("Gather", [g.name, g.constant(index)], [s for i, s in enumerate(g.shape) if i != axis], axis=axis)
        return
    index = np.asarray(draw(st.lists(st.integers(-size, size - 1), min_size=1, max_size=3)), np.int64)
    shape = [index.size if i == axis else s for i, s in enumerate(g.shape)]
    g.add("Gather", [g.name, g.constant(index)], shape, axis=axis)


def split(draw: Draw, g: Build) -> None:
    axes = [axis for axis, size in enumerate(g.shape) if size > 1]
    if not axes:
        return
    axis = draw(st.sampled_from(axes))
    first = draw(st.integers(1, g.shape[axis] - 1))
    names = [f"v{len(g.nodes)}", f"v{len(g.nodes)}_rest"]
    sizes = g.constant(np.asarray([first, g.shape[axis] - first], np.int64))
    g.nodes.append(helper.make_node("Split", [g.name, sizes], names, name=f"Split_{names[0]}", axis=axis))
    shapes = [tuple(n if i == axis else s for i, s in enumerate(g.shape)) for n in (first, g.shape[axis] - first)]
    g.values += zip(names, shapes, strict=True)
    g.name, g.shape = names[0], shapes[0]


def pad(draw: Draw, g: Build) -> None:
    sizes = [draw(st.integers(0, 1)) if size > 1 else 0 for size in g.shape]
    mode = draw(st.sampled_from(("constant", "reflect", "edge")))
    pads = g.constant(np.asarray(sizes + sizes, np.int64))
    g.add("Pad", [g.name, pads], [size + 2 * extra for size, extra in zip(g.shape, sizes, strict=True)], mode=mode)


def tile(draw: Draw, g: Build) -> None:
    repeats = [draw(st.sampled_from((1, 1, 2))) for _ in g.shape]
    shape = [size * count for size, count in zip(g.shape, repeats, strict=True)]
    g.add("Tile", [g.name, g.constant(np.asarray(repeats, np.int64))], shape)


def concat(draw: Draw, g: Build) -> None:
    axis = draw(st.integers(0, len(g.shape) - 1))
    other = draw(st.sampled_from([name for name, shape in g.values if shape == g.shape]))
    g.add("Concat", [g.name, other], [2 * s if i == axis else s for i, s in enumerate(g.shape)], axis=axis)


def combine(draw: Draw, g: Build) -> None:
    if draw(st.booleans()):
        other = draw(st.sampled_from([name for name, shape in g.values if shape == g.shape]))
        g.add("Add", [g.name, other], g.shape)
        return
    lower = g.shape[draw(st.integers(0, len(g.shape))) :]
    g.add("Mul", [g.name, g.weights(*(draw(st.sampled_from((1, size))) for size in lower))], g.shape)


def relu(draw: Draw, g: Build) -> None:
    g.add("Relu", [g.name], g.shape)


def convolution(draw: Draw, g: Build) -> None:
    n, channels, height, width = g.shape
    if draw(st.booleans()):
        g.add("Conv", [g.name, g.weights(channels, 1, 3, 3)], g.shape, group=channels, pads=[1] * 4)
        return
    outputs = draw(st.integers(1, 4))
    g.add("Conv", [g.name, g.weights(outputs, channels, 1, 1)], [n, outputs, height, width])


def blocks(draw: Draw, g: Build) -> None:
    n, channels, height, width = g.shape
    if channels % 4 == 0:
        mode = draw(st.sampled_from(("DCR", "CRD")))
        g.add("DepthToSpace", [g.name], [n, channels // 4, height * 2, width * 2], blocksize=2, mode=mode)
    elif height % 2 == 0 and width % 2 == 0:
        g.add("SpaceToDepth", [g.name], [n, channels * 4, height // 2, width // 2], blocksize=2)


def resize(draw: Draw, g: Build) -> None:
    shape = [*g.shape[:2], g.shape[2] * draw(st.integers(1, 3)), g.shape[3] * draw(st.integers(1, 3))]
    sizes = g.constant(np.asarray(shape, np.int64))
    if draw(st.booleans()):
        place = draw(st.sampled_from(("half_pixel", "align_corners", "asymmetric")))
        attributes = {"mode": "linear", "coordinate_transformation_mode": place}
    else:
        attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    g.add("Resize", [g.name, "", "", sizes], shape, **attributes)


def pool(draw: Draw, g: Build) -> None:
    operator = draw(st.sampled_from(("GlobalAveragePool", "MaxPool")))
    if operator == "MaxPool" and min(g.shape[2:]) >= 2:
        g.add("MaxPool", [g.name], [*g.shape[:2], g.shape[2] - 1, g.shape[3] - 1], kernel_shape=[2, 2])
    else:
        g.add("GlobalAveragePool", [g.name], [*g.shape[:2], 1, 1])


_ANY: Final = (transpose, slice_, reshape, flatten, gather, split, pad, tile, concat, combine, relu)
_IMAGES: Final = (convolution, convolution, blocks, resize, pool)


@st.composite
def graphs(draw: Draw) -> Build:
    g = Build((1, draw(st.integers(1, 4)), draw(st.integers(3, 8)), draw(st.integers(3, 8))))
    convolution(draw, g)
    for _ in range(draw(st.integers(1, 7))):
        if int(np.prod(g.shape)) > MOST_ELEMENTS:
            break
        step = draw(st.sampled_from(_ANY + _IMAGES if len(g.shape) == 4 else _ANY))
        step(draw, g)
    return g
