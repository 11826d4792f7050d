"""What single layers say about a network: an estimate of the whole, and which kinds of layers decide.

Layers are timed with their own inputs and outputs, so the sums hold reorderings at the edges that a whole network has
fewer of; docs/decisions/0010 gives the error that this makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import ChannelRule
from edgert_converters.payoff.cache import Place
from edgert_converters.payoff.measure import BASE
from edgert_converters.payoff.network import Network
from edgert_converters.payoff.pieces import Piece
from edgert_converters.payoff.place import Site

__all__ = ["CONVERSIONS", "KindTimes", "float_lines", "kind_lines", "sum_layers", "times_by_kind"]

CONVERSIONS = "conversion between float and integers"
_WEIGHTED = frozenset(op for op, spec in OPERATORS.items() if spec.channels is ChannelRule.PRODUCES)
_LEAST_KNOWN = 0.9
_LEAST_MS = 0.1
"""A shorter run is mostly what no layer has: the call, and the conversion of inputs and outputs."""
_MOST_LINES = 3
_LEAST_SHARE = 0.05
_QDQ = {"QuantizeLinear", "DequantizeLinear"}


@dataclass(frozen=True, slots=True)
class KindTimes:
    """All layers of one kind: how many, and the sums of both forms in milliseconds."""

    kind: str
    count: int
    float_ms: float
    int8_ms: float


def sum_layers(network: Network, site: Site, place: Place) -> tuple[float, float] | None:
    """Returns the milliseconds of the float and the int8 form as sums of single layers; None: too few are known.

    Every layer with weights must be known and nine tenths of the others, and the sum must be large enough to tell.
    """
    base = place.layers.get(BASE)
    sums = [_sum(pieces, place.layers) for pieces in (network.float_pieces, network.int8_pieces(site.encoding))]
    if base is None or sums[0] is None or sums[1] is None or sums[0] < _LEAST_MS:
        return None
    return base + sums[0], base + sums[1]


def _sum(pieces: Sequence[Piece], layers: Mapping[str, float]) -> float | None:
    known = [piece for piece in pieces if piece.structure in layers]
    weighted = [piece for piece in pieces if piece.op in _WEIGHTED and piece.structure not in layers]
    if weighted or len(known) < _LEAST_KNOWN * len(pieces):
        return None
    return sum(_net_ms(piece, layers) for piece in known)


def _net_ms(piece: Piece, layers: Mapping[str, float]) -> float:
    return max(0.0, layers[piece.structure] - layers.get(BASE, 0.0))


def times_by_kind(network: Network, site: Site, place: Place) -> tuple[KindTimes, ...]:
    """Returns the kinds whose layers are all known in both forms, those that change the time most first."""
    columns = [_columns(pieces, place.layers) for pieces in (network.float_pieces, network.int8_pieces(site.encoding))]
    rows = []
    for kind in {**columns[0], **columns[1]}:
        cells = [column.get(kind, [0.0]) for column in columns]
        if None in cells[0] or None in cells[1]:
            continue
        count = max(len(column.get(kind, [])) for column in columns)
        rows.append(KindTimes(kind, count, *(sum(ms for ms in cell if ms is not None) for cell in cells)))
    return tuple(sorted(rows, key=lambda row: -abs(row.int8_ms - row.float_ms)))


def _columns(pieces: Sequence[Piece], layers: Mapping[str, float]) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    for piece in pieces:
        kind = CONVERSIONS if piece.op in _QDQ else piece.kind
        found.setdefault(kind, []).append(_net_ms(piece, layers) if piece.structure in layers else None)
    return found


def kind_lines(rows: Sequence[KindTimes]) -> tuple[str, ...]:
    """Returns up to three kinds in words; what changes the time by less than a twentieth is left out."""
    whole = sum(row.float_ms for row in rows)
    return tuple(
        f"{row.count} {row.kind}: {row.float_ms:.3g} ms float, {row.int8_ms:.3g} ms int8, as single layers"
        for row in rows[:_MOST_LINES]
        if abs(row.int8_ms - row.float_ms) >= _LEAST_SHARE * whole
    )


def float_lines(network: Network) -> tuple[str, ...]:
    """Returns one line per reason for which operators stay float between integer ones."""
    by_reason: dict[str, list[str]] = {}
    for layer in network.plan.float_layers:
        by_reason.setdefault(layer.reason, []).append(layer.op)
    return tuple(
        f"{len(operators)} operators stay float ({', '.join(sorted(set(operators)))}): {reason}"
        for reason, operators in by_reason.items()
    )
