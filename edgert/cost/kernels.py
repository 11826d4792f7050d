"""Kernels: what an engine really runs for a network, after all that it fused and re-ordered, as features.

The rows of a profile record (or of one run on this computer, `edgert.cost.detect`) name what ran and with which shapes;
what an engine hides, such as weights it packed into a form of its own, comes from the bundle's table of layers.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgert.bundle import LayerRecord
from edgert.plugins import LayerTime

__all__ = ["FEATURES", "UNSIGNED", "Kernel", "kernels_of"]

UNSIGNED = " uint8 weights"
"""How families of integer kernels end whose weights are not int8: in files that somebody else quantized, and slower."""

_SIZES = (
    *("macs", "input_elements", "output_elements", "weight_elements", "gathers", "activated"),
    *("window", "depth", "channels", "reduction", "width"),
)
_BLOCKS = (("channels", 16), ("channels", 4), ("depth", 4))
FEATURES = (*_SIZES, *(f"{name}_in_{block}s" for name, block in _BLOCKS), "network_elements")
"""What `Kernel.features` holds. As log2(1 + x): products, numbers read, written and of weights, output positions
times those of the window (each is gathered for the product by itself, im2col), numbers written times the passes of an
activation inside the kernel, positions of the window, input channels per group, output channels, input positions per
output position, output positions of a line. Then what computing in blocks wastes: 4 log2 of channels rounded up to the
block, over channels. Last as log2(1 + x) all numbers that the network moves: the more, the less of what a kernel needs
is still in the caches."""

_MOVED = slice(_SIZES.index("input_elements"), _SIZES.index("weight_elements") + 1)
_CONVOLUTIONS = {"Conv", "FusedConv", "QLinearConv", "ConvInteger", "NhwcFusedConv"}
_PRODUCTS = {
    *("Gemm", "FusedGemm", "QGemm", "MatMul", "FusedMatMul"),
    *("QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat"),
}
_BLOCKED, _FUSED = "_nchwc", "fused "
_BLOCK = 16
"""Channels that ONNX Runtime keeps together (AVX-512, ARM64); an input of fewer is read as planes, and far slower."""
_TOKEN = re.compile(r"_token_\d+$")
_SAME = {"FusedConv": "Conv", "FusedGemm": "Gemm", "FusedMatMul": "MatMul"}
_PASSES = {"Clip": 1, "LeakyRelu": 1, "HardSigmoid": 4, "Sigmoid": 4, "Tanh": 4}
"""About how much arithmetic an activation inside a kernel adds to each output; Relu and others are lost in it."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of a network.

    Attributes:
        name: of the engine's node.
        family: kernels that one predictor covers: operator, dtype, layout, and for convolutions their kind.
        layers: names of the bundle's layers that it computes, as far as they are known.
        features: see FEATURES.
        is_known: False where the sizes of its weights could not be found: nothing is predicted well from the rest.
    """

    name: str
    family: str
    layers: tuple[str, ...]
    features: tuple[float, ...]
    is_known: bool = True


def kernels_of(rows: Iterable[LayerTime], layers: Sequence[LayerRecord]) -> tuple[Kernel, ...]:
    """Returns one kernel for each row of an engine that tells shapes (ONNX Runtime).

    Args:
        rows: of one network, in order of execution.
        layers: the table of the variant that ran.
    """
    by_name = {layer.name: layer for layer in layers}
    for layer in layers:
        by_name |= dict.fromkeys(layer.outputs, layer)
    kernels = [_kernel(row, by_name) for row in rows]
    moved = sum(2**size - 1 for kernel in kernels for size in kernel.features[_MOVED])
    return tuple(dataclasses.replace(kernel, features=(*kernel.features, math.log2(1 + moved))) for kernel in kernels)


def _kernel(row: LayerTime, layers: Mapping[str, LayerRecord]) -> Kernel:
    """The kernel of a row, its features without the last, which is the network's."""
    op = _SAME.get(row.op, row.op)
    dtype = row.dtypes[0].replace("uint8", "int8") if row.dtypes else ""
    weights = UNSIGNED if "uint8" in row.dtypes and "int8" not in row.dtypes else ""
    layer, activation = _layer(row, layers)
    names = (layer.name,) if layer else ()
    inputs = sum(_elements(shape) for shape in row.input_shapes)
    outputs = sum(_elements(shape) for shape in row.output_shapes)
    if op in _CONVOLUTIONS and row.input_shapes and row.output_shapes:
        kernel = _convolution(row, f"{op} {dtype}", layer, _PASSES.get(activation, 0))
        return dataclasses.replace(kernel, family=kernel.family + weights)
    if op in _PRODUCTS and row.input_shapes and row.output_shapes:
        depth, channels = row.input_shapes[0][-1], row.output_shapes[0][-1]
        read = _elements(row.input_shapes[0])
        product = (depth * outputs, read, outputs, depth * channels, 0, 0, 1, depth, channels, 1, 1)
        return Kernel(row.name, f"{op} {dtype}{weights}", names, _features(product))
    width = row.output_shapes[0][-1] if row.output_shapes and row.output_shapes[0] else 1
    moves = (0, inputs, outputs, 0, 0, 0, 1, 0, 0, inputs / max(outputs, 1), width)
    return Kernel(row.name, f"{op} {dtype}".strip(), names, _features(moves))


def _layer(row: LayerTime, layers: Mapping[str, LayerRecord]) -> tuple[LayerRecord | None, str]:
    """The layer of a row, and the activation inside it, whose name it bears where there is one."""
    layer = layers.get(_TOKEN.sub("", row.name).removesuffix(_BLOCKED).removeprefix(_FUSED))
    activation = layer.op if layer is not None else ""
    if row.op in _CONVOLUTIONS | _PRODUCTS:
        while layer is not None and layer.macs == 0:
            layer = layers.get(layer.inputs[0]) if layer.inputs else None
    return layer, activation


def _convolution(row: LayerTime, family: str, layer: LayerRecord | None, passes: int) -> Kernel:
    shape, output = row.input_shapes[0], row.output_shapes[0]
    names = (layer.name,) if layer else ()
    weights = next((size for size in row.input_shapes[1:] if len(size) == len(shape)), None)
    attributes = layer.attributes if layer else {}
    window_shape = weights[2:] if weights else tuple(attributes.get("kernel_shape", ()))
    is_blocked = row.name.endswith(_BLOCKED)
    channels_last = not weights and len(shape) > 2 and _is_last(row, layer)
    axis = -1 if channels_last else 1
    channels = output[axis]
    depth = weights[1] if weights else shape[axis] // int(attributes.get("group", 1) or 1)
    window, outputs = math.prod(window_shape), _elements(output)
    pixels = _elements(output) / max(channels, 1)
    reduction = _elements(shape) / max(shape[axis], 1) / max(pixels, 1)
    kind = "depthwise" if depth == 1 and shape[axis] > 1 else "dense" if window == 1 else "window"
    layout = "" if not is_blocked else " from planes" if 1 < depth < _BLOCK else " blocked"
    added = sum(_elements(size) for size in row.input_shapes[1:] if size == output)  # a sum inside the kernel
    traffic = (_elements(shape) + added, outputs, channels * depth * window)
    work = (outputs * depth * window, *traffic, pixels * window, passes * outputs)
    known = bool(weights) or bool(window_shape)
    width = output[-2 if channels_last else -1]
    features = _features((*work, window, depth, channels, reduction, width))
    return Kernel(row.name, f"{family} {kind}{layout}", names, features, known)


def _is_last(row: LayerTime, layer: LayerRecord | None) -> bool:
    """Whether the channels are the last axis, seen from the layer's own shapes, which have them second.

    Either end may be the same both ways: a map as wide and high as it is deep.
    """
    if layer is None or not layer.input_shapes or not layer.output_shapes:
        return False
    ends = ((row.input_shapes[0], layer.input_shapes[0]), (row.output_shapes[0], layer.output_shapes[0]))
    return any(tuple(shape) != tuple(own) and shape[-1] == own[1] for shape, own in ends)


def _elements(shape: Sequence[int]) -> int:
    return math.prod(shape)


def _features(values: Sequence[float]) -> tuple[float, ...]:
    """Features from the sizes of a kernel; kernels without channels waste nothing."""
    size_of: dict[str, float] = dict(zip(_SIZES, values, strict=True))
    waste = (
        4 * math.log2(math.ceil(size_of[name] / block) * block / size_of[name]) if size_of[name] else 0.0
        for name, block in _BLOCKS
    )
    return (*(math.log2(1 + value) for value in values), *waste)
