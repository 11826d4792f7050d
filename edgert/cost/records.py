"""From profile records and the bundles that they measured to what a cost model learns from."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from edgert.bundle import Bundle, Variant
from edgert.cost.device_cost import Platform, Sample, Sizes
from edgert.cost.kernels import kernels_of
from edgert.cost.latency import MeasuredNetwork
from edgert.plugins import LayerTime
from edgert.profiler.record import Record

__all__ = ["fastest_ms", "platform_of", "sample_of", "sizes_of", "variants_by_sha256"]


def platform_of(record: Record) -> Platform:
    """Returns what a record was measured on."""
    device, engine = record.device, record.engine
    return Platform(
        device.board, device.soc, device.architecture, device.cores, engine.name, engine.version, engine.threads
    )


def sample_of(records: Sequence[Record], variant: Variant) -> Sample | None:
    """Returns what records of one network teach, or None: no engine told anything of its kernels.

    Whatever else a computer does adds to a time and never takes from it: of each time the least counts,
    and of energies, which vary both ways, the middle one.

    Args:
        records: of one network on one platform, none of them `invalid`.
        variant: what they measured.
    """
    told = [record for record in records if any(row.output_shapes for row in record.layers)]
    if not told:
        return None
    network = MeasuredNetwork(
        told[0].model.source_sha256,
        kernels_of(told[0].layers, variant.layers),
        _least_ms(told),
        min(fastest_ms(record) for record in told),
    )
    energy = [record.energy.gross_mj for record in told if record.energy and record.energy.source == "measured"]
    peaks = [record.memory.peak_rss_bytes for record in told if record.memory.peak_rss_bytes is not None]
    return Sample(
        network, sizes_of(variant), statistics.median(energy) if energy else None, min(peaks) if peaks else None
    )


def _least_ms(records: Sequence[Record]) -> tuple[float, ...]:
    """The least time of each row of the first record; an engine may run its nodes in another order in each process."""
    least: dict[tuple[object, ...], float] = {}
    for row in (row for record in records for row in record.layers):
        least[_node(row)] = min(row.mean_ms, least.get(_node(row), math.inf))
    return tuple(least[_node(row)] for row in records[0].layers)


def _node(row: LayerTime) -> tuple[object, ...]:
    return row.name, row.op, row.input_shapes, row.output_shapes


def fastest_ms(record: Record) -> float:
    """Returns the least median latency in ms of any window of a record: what a computer takes while left alone."""
    return min(statistics.median(window) for window in record.latency.windows_ms)


def sizes_of(variant: Variant) -> Sizes:
    """Returns what of a variant takes memory."""
    return Sizes(sum(layer.weight_bytes for layer in variant.layers), variant.peak_activation_bytes)


def variants_by_sha256(bundles: Sequence[Path]) -> dict[str, Variant]:
    """Returns every variant of some bundles by the SHA-256 (hex) of its file, as records name it.

    Raises:
        BundleError: one is damaged.
    """
    found = {}
    for path in bundles:
        with Bundle.open(path) as bundle:
            for variant in bundle.manifest.variants:
                found[hashlib.sha256(bundle.read(variant.path)).hexdigest()] = variant
    return found
