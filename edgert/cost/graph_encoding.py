"""Any network as numbers of a fixed length, from its table of layers alone: no engine, no kernels, no weights.

Three forms of the same table, for whoever predicts whole networks (`edgert.cost.architecture`):

- a text, one line for each layer, in which layers are numbered instead of named: networks that differ in names alone
  have equal texts (Qin et al., ONNX-Net, 2025, arXiv 2510.04938, whose language model reads a text of this kind);
- figures, in counts and bytes, of which costs are sums: work, traffic and number of layers by kind and type;
- features of order one, for what a sum misses: logarithms of the totals, shares of each kind, how large the layers are
  (weighted by work), depth and branches, and what stands beside what: labels of Weisfeiler and Lehman (Shervashidze et
  al., JMLR 12, 2011), hashed to a fixed number of places (Weinberger et al., ICML 2009).

Hashes are BLAKE2b: the same in every process and on every computer.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgert.bundle import LayerRecord
from edgert.codec import JsonValue
from edgert.cost.layer_kinds import KINDS, TYPES, kind_of, type_of

__all__ = ["FEATURES", "FIGURES", "GROUPS", "Encoding", "describe_network", "encode_network", "network_hash"]

_CLASSES = tuple(f"{kind} {dtype}" for kind in KINDS for dtype in TYPES)
_PER_CLASS = ("macs", "bytes", "layers")
FIGURES = (
    *("weight_bytes", "peak_bytes"),
    *(f"{name} {what}" for name in _CLASSES for what in _PER_CLASS),
)
"""What costs are sums of: bytes of all weights and of the largest set of live activations; then for each kind and type
MACs, bytes read and written, and how many layers."""

_WEIGHTED = {"dense", "window", "depthwise", "product"}
_BIN_EDGES = (12, 15, 18, 21, 24)
_PLACES = 32
_ROUNDS = 2
_TOTALS = ("macs", "bytes", "weight_bytes", "peak_bytes", "layers", "depth", "branches", "intensity")
_SIZES = (*("channels", "depth_of_channels", "positions", "window"), *(f"macs_bin_{i}" for i in range(6)))
_PATTERNS = tuple(f"pattern_{turn}_{place}" for turn in range(_ROUNDS + 1) for place in range(_PLACES))
_SHARES = tuple(f"{name} {what}" for name in _CLASSES for what in ("share of macs", "share of bytes", "layers"))
FEATURES = (*_TOTALS, *_SHARES, *_SIZES, *_PATTERNS)
"""Names of `Encoding.features`. Totals and counts as log2(1 + x); patterns as square roots of shares."""


def _slice(names: Sequence[str], start: int) -> slice:
    return slice(start, start + len(names))


GROUPS = {
    "totals": _slice(_TOTALS, 0),
    "shares": _slice(_SHARES, len(_TOTALS)),
    "sizes": _slice(_SIZES, len(_TOTALS) + len(_SHARES)),
    "patterns": _slice(_PATTERNS, len(_TOTALS) + len(_SHARES) + len(_SIZES)),
}
"""Which features say something of one kind."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A network as numbers; names of the places are FIGURES and FEATURES."""

    figures: tuple[float, ...]
    features: tuple[float, ...]


def describe_network(layers: Sequence[LayerRecord]) -> str:
    """Returns a line for each layer: number, operator, type and shapes of its outputs, attributes, what it reads.

    ``%2 Conv float[1,16,32,32] group=1 kernel_shape=[3,3] <- %1``; what no layer makes is an input, ``in0``.
    """
    places: dict[str, str] = {}
    inputs: dict[str, str] = {}
    lines = []
    for number, layer in enumerate(layers):
        read = [places.get(name) or inputs.setdefault(name, f"in{len(inputs)}") for name in layer.inputs]
        shapes = "".join(f"[{','.join(map(str, shape))}]" for shape in layer.output_shapes)
        settings = [f"{name}={_plain(value)}" for name, value in sorted(layer.attributes.items())]
        lines.append(" ".join([f"%{number}", layer.op, f"{layer.dtype.value}{shapes}", *settings, "<-", *read]))
        places |= {name: f"%{number}.{index}" if index else f"%{number}" for index, name in enumerate(layer.outputs)}
    return "\n".join(lines) + "\n"


def network_hash(layers: Sequence[LayerRecord]) -> str:
    """Returns the SHA-256 (hex) of a network's text: equal for what differs in names and weights alone."""
    return hashlib.sha256(describe_network(layers).encode()).hexdigest()


def encode_network(layers: Sequence[LayerRecord]) -> Encoding:
    """Returns a network's figures and features; the same for the same table, wherever it is computed.

    Raises:
        ValueError: there are no layers.
    """
    if not layers:
        raise ValueError("a network without layers has no cost to predict")
    before = _read_by(layers)
    depth = _depth(before)
    weight_bytes, peak_bytes = sum(layer.weight_bytes for layer in layers), _peak_bytes(layers)
    classes = _class_sums(layers)
    macs, moved = sum(row[0] for row in classes), sum(row[1] for row in classes)
    figures = (weight_bytes, peak_bytes, *(value for row in classes for value in row))
    totals = [
        *(_log(value) for value in (macs, moved, weight_bytes, peak_bytes, len(layers), depth)),
        math.log2(len(layers) / depth),
        _log(macs) - _log(moved),
    ]
    shares = [value for row in classes for value in (row[0] / max(macs, 1), row[1] / max(moved, 1), _log(row[2]))]
    features = (*totals, *shares, *_sizes(layers, macs), *_patterns(layers, before))
    return Encoding(tuple(map(float, figures)), tuple(map(float, features)))


def _class_sums(layers: Sequence[LayerRecord]) -> list[list[int]]:
    """MACs, bytes and number of the layers of each kind and type."""
    sums = {name: [0, 0, 0] for name in _CLASSES}
    for layer in layers:
        row = sums[f"{kind_of(layer)} {type_of(layer)}"]
        row[0] += layer.macs
        row[1] += layer.activation_bytes + layer.weight_bytes
        row[2] += 1
    return list(sums.values())


def _read_by(layers: Sequence[LayerRecord]) -> list[list[int]]:
    """For each layer those that it reads, which stand before it."""
    made = {name: number for number, layer in enumerate(layers) for name in layer.outputs}
    return [
        [made[name] for name in layer.inputs if made.get(name, number) < number] for number, layer in enumerate(layers)
    ]


def _depth(before: Sequence[Sequence[int]]) -> int:
    """Layers on the longest path."""
    depths: list[int] = []
    for read in before:
        depths.append(1 + max((depths[number] for number in read), default=0))
    return max(depths)


def _peak_bytes(layers: Sequence[LayerRecord]) -> int:
    """The largest sum of outputs that somebody has still to read, with those of the layer that makes them."""
    last = {name: number for number, layer in enumerate(layers) for name in layer.inputs}
    alive: dict[str, int] = {}
    peak = 0
    for number, layer in enumerate(layers):
        for name, shape in zip(layer.outputs, layer.output_shapes, strict=True):
            alive[name] = math.prod(shape) * layer.dtype.itemsize_bytes
        peak = max(peak, sum(alive.values()))
        for name in {*layer.inputs, *layer.outputs}:
            if last.get(name, len(layers)) <= number:
                alive.pop(name, None)
    return peak


def _sizes(layers: Sequence[LayerRecord], macs: int) -> list[float]:
    """How large the layers with products are, weighted by work, and how many have MACs of which order."""
    means, bins = [0.0] * 4, [0] * (len(_BIN_EDGES) + 1)
    for layer in layers:
        if not layer.macs:
            continue
        bins[sum(_log(layer.macs) >= edge for edge in _BIN_EDGES)] += 1
        if kind_of(layer) in _WEIGHTED and layer.output_shapes:
            for index, value in enumerate(_shape_facts(layer)):
                means[index] += _log(value) * layer.macs / macs
    return [*means, *(_log(count) for count in bins)]


def _shape_facts(layer: LayerRecord) -> tuple[float, float, float, float]:
    """Output channels, input channels per group, positions of the output, positions of the window."""
    output, source = layer.output_shapes[0], layer.input_shapes[0] if layer.input_shapes else (1,)
    outputs = max(math.prod(output), 1)
    if kind_of(layer) == "product" or len(output) < 3:
        return output[-1] if output else 1, layer.macs / outputs, outputs / max(output[-1] if output else 1, 1), 1.0
    channels = max(output[1], 1)
    depth = max(source[1] // int(layer.attributes.get("group", 1) or 1), 1) if len(source) > 1 else 1
    return channels, depth, outputs / channels, max(layer.macs / outputs / depth, 1.0)


def _patterns(layers: Sequence[LayerRecord], before: Sequence[Sequence[int]]) -> list[float]:
    """Histograms of labels: of each layer, then of it with its neighbours, then with theirs."""
    after: list[list[int]] = [[] for _ in layers]
    for number, read in enumerate(before):
        for other in read:
            after[other].append(number)
    labels = [f"{layer.op} {type_of(layer)} {kind_of(layer)}" for layer in layers]
    found: list[float] = []
    for turn in range(_ROUNDS + 1):
        counts = [0] * _PLACES
        for label in labels:
            counts[_place(f"{turn} {label}")] += 1
        found += [math.sqrt(count / len(layers)) for count in counts]
        labels = [
            _digest(
                f"{labels[number]}<{sorted(labels[other] for other in before[number])}"
                f">{sorted(labels[other] for other in after[number])}"
            )
            for number in range(len(layers))
        ]
    return found


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _place(label: str) -> int:
    return int(_digest(label), 16) % _PLACES


def _log(value: float) -> float:
    return math.log2(1 + value)


def _plain(value: JsonValue) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_plain, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
