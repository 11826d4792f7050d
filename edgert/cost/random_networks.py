"""Random convolutional networks with random weights: what a cost model is taught with, before anybody's own models.

Their blocks are those of the networks that run on small devices: plain and residual convolutions (He et al. 2016),
inverted bottlenecks (Sandler et al. 2018) with squeeze and excitation (Howard et al. 2019), shuffle units (Ma et al.
2018), fire modules (Iandola et al. 2016), upsampling to a larger map (Lin et al. 2017), recognisers of sound with
long kernels, perceptrons. They compute nothing useful; the time of a kernel does not depend on the values.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgert.cost.network_builder import Net
from edgert.errors import MissingExtraError

__all__ = ["LARGE", "Bounds", "random_network"]

_OPSET, _IR_VERSION = 18, 8


@dataclass(frozen=True, slots=True)
class Bounds:
    """What networks may be: blocks, (height, width) of inputs, channels of the first and of any layer, classes.

    `most_elements` is of the largest activation, `most_weights` counts the constants of a network; `maps` is the share
    of networks that end in a map, as detectors do, `window_pools` of those whose last pooling has a window.
    """

    blocks: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    widths: tuple[int, ...]
    most_channels: int
    classes: tuple[int, ...]
    least_macs: int
    most_macs: int
    most_elements: int
    most_weights: int
    maps: float = 0.0
    window_pools: float = 0.0


LARGE = Bounds(
    (
        *("plain", "residual", "bottleneck", "separable", "shuffle"),
        *("fire", "pyramid", "pooled", "widened", "spectral"),
    ),
    ((16, 16), (28, 28), (32, 32), (49, 10), (64, 64), (96, 96), (112, 112), (128, 128), (160, 160), (240, 320)),
    (8, 12, 16, 24, 32, 48, 58, 64),
    512,
    (2, 10, 12, 100, 1000),
    200_000,
    600_000_000,
    4_000_000,
    1 << 40,
    maps=0.12,
    window_pools=0.2,
)
"""For devices that run Linux."""


def random_network(seed: int, bounds: Bounds = LARGE) -> tuple[bytes, tuple[int, ...]]:
    """Returns an ONNX model drawn by the seed, and the shape of its only input `input`: (1, C, H, W) or (1, N).

    Raises:
        MissingExtraError: the package onnx is not installed.
    """
    try:
        from onnx import checker, helper, numpy_helper
    except ImportError as error:
        raise MissingExtraError("onnx", "convert", "teaching a cost model with random networks") from error
    net = _draw_within(bounds, seed)
    constants = [numpy_helper.from_array(value, name) for name, value in net.constants.items()]
    nodes = [helper.make_node(op, inputs, [output], name=output, **more) for op, inputs, output, more in net.nodes]
    graph = helper.make_graph(
        nodes,
        f"random-{seed}",
        [helper.make_tensor_value_info("input", 1, list(net.input))],
        [helper.make_tensor_value_info(net.nodes[-1][2], 1, list(net.shape))],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    checker.check_model(model)
    return bytes(model.SerializeToString()), net.input


Block = Callable[[Net, int, int], None]
"""Adds a block to a network, which has so many channels after it; takes the stride too."""


def _plain(net: Net, out: int, stride: int) -> None:
    net.conv(out, net.pick(1, 3, 3, 3, 5), stride)


def _residual(net: Net, out: int, stride: int) -> None:
    start, shape = net.at, net.shape
    net.conv(out, 3, stride)
    net.conv(out, 3, activate=False)
    main, after = net.at, net.shape
    net.goto(start, shape)
    if shape != after:
        net.conv(out, 1, stride, activate=False)
    net.add("Add", [main, net.at], after)
    net.activate()


def _bottleneck(net: Net, out: int, stride: int) -> None:
    start, shape = net.at, net.shape
    wide = net.channels * int(net.pick(1, 2, 3, 4, 6))
    if wide != net.channels:
        net.conv(wide, 1)
    net.conv(wide, int(net.pick(3, 3, 5, 7)), stride, wide)
    if net.random.random() < 0.25:
        _squeeze(net)
    net.conv(out, 1, activate=False)
    if net.shape == shape:
        net.add("Add", [start, net.at], shape)


def _squeeze(net: Net) -> None:
    start, shape = net.at, net.shape
    net.add("GlobalAveragePool", [start], (1, shape[1], 1, 1))
    net.conv(max(4, shape[1] // 4), 1)
    net.conv(shape[1], 1, activate=False)
    net.add(str(net.pick("Sigmoid", "HardSigmoid")), [net.at], net.shape)
    net.add("Mul", [start, net.at], shape)


def _separable(net: Net, out: int, stride: int) -> None:
    net.conv(net.channels, 3, stride, net.channels)
    net.conv(out, 1)


def _shuffle(net: Net, out: int, stride: int) -> None:
    half = max(2, out // 2)
    if net.channels != 2 * half or stride > 1:
        _separable(net, 2 * half, stride)
    whole, (_, channels, height, width) = net.at, net.shape
    halves = []
    for bounds in ((0, half, 1), (half, channels, 1)):
        places = [net.constant(np.array([value], np.int64)) for value in bounds]
        halves.append(net.add("Slice", [whole, *places], (1, half, height, width)))
    net.conv(half, 1)
    net.conv(half, 3, 1, half, activate=False)
    net.conv(half, 1)
    net.add("Concat", [halves[0], net.at], (1, channels, height, width), axis=1)
    net.reshape((1, 2, half, height, width))
    net.add("Transpose", [net.at], (1, half, 2, height, width), perm=[0, 2, 1, 3, 4])
    net.reshape((1, channels, height, width))


def _fire(net: Net, out: int, stride: int) -> None:
    net.conv(max(4, out // 4), 1, stride)
    start, shape = net.at, net.shape
    half = max(2, out // 2)
    net.conv(half, 1)
    one = net.at
    net.goto(start, shape)
    net.conv(half, 3)
    net.add("Concat", [one, net.at], (1, 2 * half, *shape[2:]), axis=1)


def _pyramid(net: Net, out: int, stride: int) -> None:
    net.conv(out, 1)
    fine, shape = net.at, net.shape
    net.conv(out, 3, 2)
    sizes = net.constant(np.array(shape, np.int64))
    net.add("Resize", [net.at, "", "", sizes], shape, mode=str(net.pick("nearest", "linear")))
    net.add("Add", [fine, net.at], shape)
    net.conv(out, 3, stride)


def _widened(net: Net, out: int, stride: int) -> None:
    """A residual block whose short cut is cut down in size and filled with channels of zeros (He et al., option A)."""
    start, shape = net.at, net.shape
    net.conv(out, 3, stride)
    net.conv(out, 3, activate=False)
    main, after = net.at, net.shape
    net.goto(start, shape)
    if stride > 1:
        bounds = ([0, 0], list(shape[2:]), [2, 3], [stride, stride])
        places = [net.constant(np.array(values, np.int64)) for values in bounds]
        net.add("Slice", [start, *places], (1, shape[1], *after[2:]))
    if after[1] > shape[1]:
        pads = net.constant(np.array([0, 0, 0, 0, 0, after[1] - shape[1], 0, 0], np.int64))
        net.add("Pad", [net.at, pads], after)
    if net.shape == after:
        net.add("Add", [main, net.at], after)
    else:
        net.goto(main, after)
    net.activate()


def _spectral(net: Net, out: int, stride: int) -> None:
    """Long and tall windows, with arithmetic on the whole map between them, as in networks for sound."""
    net.conv(out, net.pick((1, 9), (3, 39), (7, 1), (5, 5), (9, 9)), stride)
    scale = net.constant(net.random.random((1, out, 1, 1)).astype(np.float32))
    net.add(str(net.pick("Mul", "Add", "Sub")), [net.at, scale], net.shape)
    if net.random.random() < 0.3:
        net.add(str(net.pick("Tanh", "Neg", "Abs", "Sigmoid", "Relu")), [net.at], net.shape)


def _pooled(net: Net, out: int, stride: int) -> None:
    net.conv(out, 3)
    kind, kernel = str(net.pick("MaxPool", "AveragePool")), int(net.pick(2, 3))
    size = tuple((length - 1) // stride + 1 for length in net.shape[2:])
    pads = [(kernel - 1) // 2] * 2 + [kernel // 2] * 2
    net.add(kind, [net.at], (1, out, *size), kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads)


_BLOCKS: dict[str, Block] = {
    "plain": _plain,
    "residual": _residual,
    "bottleneck": _bottleneck,
    "separable": _separable,
    "shuffle": _shuffle,
    "fire": _fire,
    "pyramid": _pyramid,
    "pooled": _pooled,
    "widened": _widened,
    "spectral": _spectral,
}


def _draw_within(bounds: Bounds, seed: int) -> Net:
    """The first of the seed's networks that is neither trivial nor takes long on such a device."""
    for attempt in itertools.count():
        net = _draw(np.random.default_rng([seed, attempt]), bounds)
        weights = sum(int(np.size(value)) for value in net.constants.values())
        is_small = net.largest <= bounds.most_elements and weights <= bounds.most_weights
        if is_small and bounds.least_macs <= net.macs <= bounds.most_macs:
            return net
    raise AssertionError("counting never ends")


def _draw(random: np.random.Generator, bounds: Bounds) -> Net:
    """One network; most mix two kinds of blocks."""
    activation = ("Relu", "Relu", "Clip", "HardSwish", "LeakyRelu", "Sigmoid")[random.integers(6)]
    if random.random() < 0.12:
        return _perceptron(Net(random, (1, int(random.integers(64, 1024))), activation))
    height, width = bounds.sizes[random.integers(len(bounds.sizes))]
    colours = 3 if random.random() < 0.75 else 1  # spectra and grey pictures have one
    net = Net(random, (1, colours, height, width), activation)
    width_now = int(random.choice(bounds.widths))
    net.conv(width_now, net.pick(3, 3, 5, (10, 4)), int(net.pick(1, 2, 2)))
    kinds = [_BLOCKS[bounds.blocks[index]] for index in random.integers(len(bounds.blocks), size=2)]
    for _ in range(int(random.integers(1, 5))):
        grows = random.random() < 0.7 and min(net.shape[2:]) > 4
        if grows:
            width_now = min(bounds.most_channels, 2 * int(width_now * random.uniform(1.0, 2.0) / 2))
        for repeat in range(int(random.integers(1, 4))):
            stride = 2 if repeat == 0 and grows else 1
            kinds[random.integers(2)](net, width_now, stride)
    _head(net, bounds)
    return net


def _perceptron(net: Net) -> Net:
    for _ in range(int(net.random.integers(2, 8))):
        net.dense(int(net.random.choice([8, 32, 64, 128, 256, 300, 512])))
        net.activate()
    net.dense(int(net.random.integers(2, 640)))
    return net


def _head(net: Net, bounds: Bounds) -> None:
    if bounds.maps and net.random.random() < bounds.maps:
        net.conv(int(net.pick(1, 1, 2, 4)), int(net.pick(1, 3, 5)), activate=False)
        net.add("Sigmoid", [net.at], net.shape)
        return
    channels, (height, width) = net.channels, net.shape[2:]
    if channels * height * width > 4096 or net.random.random() < 0.7:
        kind = net.random.random()
        if kind < bounds.window_pools:
            net.add("AveragePool", [net.at], (1, channels, 1, 1), kernel_shape=[height, width])
        elif kind < 0.5:
            net.add("GlobalAveragePool", [net.at], (1, channels, 1, 1))
        else:
            axes = net.constant(np.array([2, 3], np.int64))
            net.add("ReduceMean", [net.at, axes], (1, channels, 1, 1), keepdims=1)
    net.reshape((1, int(np.prod(net.shape))))
    net.dense(int(net.pick(*bounds.classes)))
    if net.random.random() < 0.6:
        net.add(str(net.pick("Softmax", "Softmax", "LogSoftmax", "Sigmoid")), [net.at], net.shape)
