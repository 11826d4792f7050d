"""What is kept of one run over the calibration data: a few rows that each weighted operator reads, and channel ranges.

One sample is in memory at a time; what is kept does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert_converters.engine import load_runner
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import expose_values
from edgert_converters.quantize.draft import Calibration
from edgert_converters.quantize.transforms.axis_statistics import AxisStatistics
from edgert_converters.quantize.transforms.reader import Reader

__all__ = ["Probe", "Rows", "probe"]

_MOST_ROWS, _LEAST_ROWS, _MOST_ELEMENTS = 512, 64, 2**18


@dataclass(frozen=True, slots=True)
class Rows:
    """Positions that an operator reads, drawn evenly from all samples.

    `x` is float32[R, group, C / group, kernel positions]; `places` int64[R, leading axes] are their indices along the
    axes of the input that stand before its channels (none for convolutions).
    """

    x: NDArray[np.float32]
    places: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Probe:
    """Of each operator by its name: some of the `rows` that it reads and the `statistics` of the whole value."""

    rows: dict[str, Rows]
    statistics: dict[str, AxisStatistics]


def probe(model: ir.Model, readers: Sequence[Reader], calibration: Calibration, seed: int, *, moments: bool) -> Probe:
    """Runs the float model over all samples and keeps what transforms are chosen by.

    Args:
        model: float graph.
        readers: its operators to watch.
        calibration: the data.
        seed: draws the positions.
        moments: also keep E[x x^T] of the channels that each operator sums over.
    """
    rng = np.random.default_rng(seed)
    inputs = {value.name for value in model.graph.inputs}
    names = {str(reader.value.name): reader for reader in readers}
    run = load_runner(expose_values(model, [name for name in names if name not in inputs]))
    kept: dict[str, list[Rows]] = {reader.name: [] for reader in readers}
    statistics = {name: AxisStatistics(reader.axis if moments else None) for name, reader in names.items()}
    for sample in calibration.samples():
        outputs = run(sample)
        values = {name: _float(sample[name] if name in inputs else outputs[name]) for name in names}
        for name, value in values.items():
            statistics[name].update(value)
        for reader in readers:
            kept[reader.name].append(_draw(reader, values[str(reader.value.name)], calibration.count, rng))
    rows = {name: _joined(parts) for name, parts in kept.items() if parts}
    return Probe(rows, {reader.name: statistics[str(reader.value.name)] for reader in readers})


def _float(array: Array) -> NDArray[np.float32]:
    return np.asarray(array, np.float32)


def _joined(parts: Iterable[Rows]) -> Rows:
    parts = list(parts)
    return Rows(np.concatenate([part.x for part in parts]), np.concatenate([part.places for part in parts]))


def _draw(reader: Reader, value: NDArray[np.float32], samples: int, rng: np.random.Generator) -> Rows:
    weight = reader.node.inputs[1]
    if weight is None or weight.shape is None:
        raise AssertionError(f"{reader.name!r} has no weights")
    shape = weight.shape.numpy()
    kernel = shape[2:] if reader.node.op_type == "Conv" else ()
    wanted = min(_MOST_ROWS, max(_LEAST_ROWS, _MOST_ELEMENTS // (reader.channels * int(np.prod(kernel)))))
    count = -(-wanted // max(samples, 1))
    if reader.node.op_type == "Conv":
        patches = _patches(reader.node, value, kernel, count, rng)
        x = patches.reshape(len(patches), reader.group, reader.channels // reader.group, -1)
        return Rows(x, np.zeros((len(x), 0), np.int64))
    leading = value.shape[:-1]
    flat = rng.integers(0, int(np.prod(leading)), count)
    x = value.reshape(-1, value.shape[-1])[flat][:, None, :, None]
    return Rows(x, np.stack(np.unravel_index(flat, leading), axis=1).astype(np.int64))


def _patches(
    node: ir.Node, value: NDArray[np.float32], kernel: Sequence[int], count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Returns what a convolution sees at `count` random output positions: float32[count, C, *kernel]."""
    axes = len(kernel)
    strides, dilations = (_integers(node, name, (1,) * axes) for name in ("strides", "dilations"))
    pads = _integers(node, "pads", (0,) * (2 * axes))
    padded = np.pad(value, [(0, 0), (0, 0), *((pads[i], pads[i + axes]) for i in range(axes))])
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = [max(1, (n - s) // t + 1) for n, s, t in zip(padded.shape[2:], spans, strides, strict=True)]
    patches = np.empty((count, value.shape[1], *kernel), np.float32)
    for row in range(count):
        starts = [int(rng.integers(size)) * stride for size, stride in zip(sizes, strides, strict=True)]
        window = [slice(a, a + s, d) for a, s, d in zip(starts, spans, dilations, strict=True)]
        image = padded[int(rng.integers(len(padded)))]
        patches[row] = image[(slice(None), *window)]
    return patches


def _integers(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(node.attributes[name].as_ints()) if name in node.attributes else default
