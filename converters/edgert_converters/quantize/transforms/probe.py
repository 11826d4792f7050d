"""What is kept of one run over the calibration data: a few rows that each weighted operator reads, and channel ranges.

One sample is in memory at a time; what is kept does not grow with their number.
"""

from __future__ import annotations

import itertools
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
_MOST_SAMPLES = 64
"""Of which rows and channel ranges are kept, spread evenly over the data; second moments take every sample."""


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


def probe(
    model: ir.Model,
    readers: Sequence[Reader],
    calibration: Calibration,
    seed: int,
    *,
    moments: bool,
    draws: bool = True,
) -> Probe:
    """Runs the float model over all samples and keeps what transforms are chosen by.

    Args:
        model: float graph.
        readers: its operators to watch.
        calibration: the data.
        seed: draws the positions.
        moments: also keep E[x x^T] of the channels that each operator sums over.
        draws: False leaves `rows` empty, which takes most of the time.
    """
    rng = np.random.default_rng(seed)
    inputs = {value.name for value in model.graph.inputs}
    matmuls_last = sorted(readers, key=lambda reader: reader.node.op_type == "MatMul")
    names = {str(reader.value.name): reader for reader in matmuls_last}
    run = load_runner(expose_values(model, [name for name in names if name not in inputs]))
    kept: dict[str, list[Rows]] = {reader.name: [] for reader in readers}
    statistics = {name: _statistics(reader, moments) for name, reader in names.items()}
    stride = 1 if moments else -(-calibration.count // _MOST_SAMPLES) or 1
    count = -(-calibration.count // stride)
    for sample in itertools.islice(calibration.samples(), 0, None, stride):
        outputs = run(sample)
        values = {name: _float(sample[name] if name in inputs else outputs[name]) for name in names}
        for name, value in values.items():
            statistics[name].update(value)
        for reader in readers if draws else ():
            kept[reader.name].append(_draw(reader, values[str(reader.value.name)], count, rng))
    rows = {name: _joined(parts) for name, parts in kept.items() if parts}
    return Probe(rows, {reader.name: statistics[str(reader.value.name)] for reader in readers})


def _statistics(reader: Reader, moments: bool) -> AxisStatistics:
    """Only of what a MatMul reads can another axis than the channels be scaled."""
    only = reader.axis if reader.node.op_type != "MatMul" else None
    return AxisStatistics(reader.axis if moments else None, only)


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
    images = rng.integers(len(value), size=count).reshape(-1, *[1] * axes)
    places, inside = [], np.ones((count, *[1] * axes), np.bool_)
    for axis, size in enumerate(value.shape[2:]):
        taps = np.arange(kernel[axis]) * dilations[axis]
        last = max(0, size + pads[axis] + pads[axis + axes] - int(taps[-1]) - 1) // strides[axis]
        starts = rng.integers(last + 1, size=count) * strides[axis] - pads[axis]
        place = (starts[:, None] + taps).reshape(count, *[-1 if i == axis else 1 for i in range(axes)])
        inside = inside & (place >= 0) & (place < size)
        places.append(np.clip(place, 0, size - 1))
    found = value[(images, slice(None), *places)]  # [count, *kernel, C]: padding is never made
    return np.moveaxis(np.where(inside[..., None], found, np.float32(0)), -1, 1)


def _integers(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(node.attributes[name].as_ints()) if name in node.attributes else default
