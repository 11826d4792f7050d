"""What the C of a bundle will do, before it runs: how often the loops of each kernel turn, and which bytes are known.

All of it is read from the bundle: the plan of the C (kernels, buffers, weights, the arena), the table of layers
(windows) and the report of the conversion (constants and compiled code).
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgert.bundle import Bundle, LayerRecord
from edgert.devices.c_variant import CVariant, load_c_variant

__all__ = ["TURNS", "BoardLayer", "BoardNetwork", "read_network"]

TURNS = (
    *("call", "lines", "positions", "window lines", "outputs", "fours", "odd outputs"),
    *("reads", "odd reads", "edge reads", "work", "inputs", "weights"),
)
"""What `BoardLayer.turns` counts: the call itself; output lines; output positions; lines of all windows; outputs; fours
of them; those that are left over; numbers read, with each window anew; window lines that four does not divide;
numbers read by way of an edge; work (products with the padding of the weights, positions in pairs); inputs; weight
bytes."""
_DEPTHWISE = "DEPTHWISE_CONV_2D"
_UPRIGHT = "columns"
"""Kernels of this name have columns of the activation for lines."""
_QUANTIZED = "__q"
_LANES, _PAIR = 4, 2
_AXES = 2


@dataclass(frozen=True, slots=True)
class BoardLayer:
    """One kernel call.

    Attributes:
        name: of the layer in the plan.
        kernel: as the plan names it.
        families: kernels that count alike, from the closest kin to all calls of this kernel.
        turns: see TURNS.
        is_known: False where the window could not be found: nothing is predicted well from the rest.
    """

    name: str
    kernel: str
    families: tuple[str, ...]
    turns: tuple[float, ...]
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class BoardNetwork:
    """One network as C.

    Attributes:
        variant: id in the bundle.
        layers: in order of execution.
        arena_bytes: exact, as planned.
        weight_bytes: of all constants; exact but for a few bytes between them.
        code_bytes: of model.c where the conversion compiled it, else None.
    """

    variant: str
    layers: tuple[BoardLayer, ...]
    arena_bytes: int
    weight_bytes: int
    code_bytes: int | None

    @property
    def kernels(self) -> frozenset[str]:
        """Names of all that it calls."""
        return frozenset(layer.kernel for layer in self.layers)


def read_network(path: Path, target: str, variant: str | None = None) -> BoardNetwork:
    """Returns what a bundle tells of its C for a target.

    Args:
        path: the bundle.
        target: name of the target.
        variant: id; None: the one that was made for the target.

    Raises:
        UsageError: the file is no bundle, or the variant is no C.
        ModelError: the bundle has no C for this target.
        BundleError: the bundle is damaged.
    """
    found = load_c_variant(path, target, variant)
    with Bundle.open(path) as bundle:
        report: Any = bundle.report()  # Any: JSON
    rows: Any = (report or {}).get("variants", ())
    fit = next((row.get("fit") for row in rows if row.get("id") == found.variant.id), None) or {}
    plan: Any = found.plan
    flash = fit.get("flash", {})
    constants = sum(row["weight_bytes"] for row in plan["layers"])
    is_compiled = flash.get("code_measured_with") is not None
    return BoardNetwork(
        found.variant.id,
        _layers(found, plan),
        int(plan["arena_bytes"]),
        int(flash.get("constants_bytes", constants)),
        int(flash["code_bytes"]) if is_compiled else None,
    )


def _layers(found: CVariant, plan: Mapping[str, Any]) -> tuple[BoardLayer, ...]:  # Any: JSON
    records = {name.removesuffix(_QUANTIZED): layer for layer in found.variant.layers for name in layer.outputs}
    shapes = [tuple(buffer["shape"]) or (1,) for buffer in plan["buffers"]]
    mode = found.variant.requantize or ""
    rows: Sequence[Mapping[str, Any]] = plan["layers"]  # Any: JSON
    alone = [_layer(row, shapes, records.get(row["name"]), mode) for row in rows]
    counts = Counter(layer.families[0] for layer in alone)
    shares = {row["name"] for row in rows if row["macs"] and row["op"] != _DEPTHWISE}
    return tuple(_in_company(layer, counts[layer.families[0]]) if layer.name in shares else layer for layer in alone)


def _in_company(layer: BoardLayer, calls: int) -> BoardLayer:
    """A kernel that is called once is compiled with all sizes known; one for several layers is a loop for any size."""
    closest = f"{layer.families[0]} {'once' if calls == 1 else 'shared'}"
    return dataclasses.replace(layer, families=(closest, *layer.families))


def _layer(
    row: Mapping[str, Any], shapes: Sequence[tuple[int, ...]], record: LayerRecord | None, mode: str
) -> BoardLayer:  # Any: JSON
    reads, writes = [shapes[place] for place in row["reads"]], [shapes[place] for place in row["writes"]]
    source: tuple[int, ...] = reads[0] if reads else (0,)
    target, kernel, macs = writes[0], str(row["kernel"]), int(row["macs"])
    windows = _Windows.of(source, target, macs, record, is_depthwise=row["op"] == _DEPTHWISE)
    positions, channels = math.prod(target[:-1]), target[-1]
    outputs, inputs, weights = sum(map(math.prod, writes)), sum(map(math.prod, reads)), int(row["weight_bytes"])
    lines, pairs = (target[0] if len(target) > 1 else 1), _up(positions, _PAIR) * _PAIR
    fours, taken, work, edges = pairs * _up(channels, _LANES), float(inputs), 0.0, 0.0
    odd_outputs, odd_reads = 0, 0.0
    families, is_known = [kernel], True
    if macs and row["op"] == _DEPTHWISE:
        lines = math.prod(target[1:-1]) if kernel.endswith(_UPRIGHT) else lines
        full, over = divmod(positions // max(lines, 1), _LANES)
        lines *= channels  # one channel after the other
        fours, odd_outputs = lines * (full + (over == _LANES - 1)), lines * (over in {1, 2})
        taken, work = float(macs), (fours + odd_outputs / 2) * windows.size
        families += [f"{kernel} {mode}", f"{kernel} {mode} window {windows.size:g} stride {windows.stride}"]
    elif macs:
        taken, work, edges = positions * macs / outputs, float(pairs * weights), windows.edges * source[-1]
        odd_outputs = pairs * (channels % _LANES)
        is_odd = round(windows.size / windows.lines * source[-1]) % _LANES != 0
        odd_reads = positions * windows.lines * is_odd
        families += [f"{kernel} {mode}", f"{kernel} {mode} {'fours' if source[-1] % _LANES == 0 else 'bytes'}"]
    elif "pool" in kernel:
        is_known = record is not None
        taken = work = float(outputs * windows.size)
        families += [f"{kernel} {'fours' if channels % _LANES == 0 else 'bytes'}"]
    made = (1, lines, positions, positions * windows.lines, outputs, fours, odd_outputs)
    turns = (*made, taken, odd_reads, edges, work, inputs, weights)
    return BoardLayer(str(row["name"]), kernel, tuple(reversed(families)), tuple(map(float, turns)), is_known)


@dataclass(frozen=True, slots=True)
class _Windows:
    """What a layer's windows are: positions in one, its lines, the stride, and positions read by way of an edge."""

    size: float
    lines: float
    stride: int
    edges: float

    @classmethod
    def of(
        cls,
        source: tuple[int, ...],
        target: tuple[int, ...],
        macs: int,
        record: LayerRecord | None,
        *,
        is_depthwise: bool,
    ) -> _Windows:
        """Finds them in the table of layers, else takes them for square and as large as the products say."""
        given = record.attributes.get("kernel_shape") if record else None
        terms = macs / math.prod(target) if macs else 1.0
        size = float(math.prod(given)) if given else terms if is_depthwise else max(terms / max(source[-1], 1), 1.0)
        shape = tuple(given) if given and len(given) == _AXES else (max(round(math.sqrt(size)), 1),) * _AXES
        if len(source) != len(target) or len(source) != _AXES + 1:
            return cls(size, 1.0, 1, 0.0)
        strides = [max(round(source[axis] / target[axis]), 1) for axis in range(_AXES)]
        outside = [_outside(source[axis], target[axis], shape[axis], strides[axis]) for axis in range(_AXES)]
        # a kernel line is read by way of an edge where it, or any column of its window, lies outside
        columns = sum(any(position) for position in outside[1])
        whole = len(outside[1]) - columns
        rows_outside = sum(sum(position) for position in outside[0])
        edges = columns * target[0] * shape[0] + whole * rows_outside
        return cls(size, float(shape[0]), strides[0], float(edges * shape[1]))


def _outside(source: int, target: int, window: int, stride: int) -> list[list[bool]]:
    """Of each output position along an axis, which taps of its window lie outside the input."""
    before = max((target - 1) * stride + window - source, 0) // 2
    starts = [position * stride - before for position in range(target)]
    return [[not 0 <= start + tap < source for tap in range(window)] for start in starts]


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple)
