"""From profile records and the bundles that they measured to what a cost model learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from edgert.bundle import Bundle, Variant
from edgert.cost.device_cost import Platform, Sample, Sizes
from edgert.cost.kernels import kernels_of
from edgert.cost.latency import MeasuredNetwork
from edgert.profiler.record import Record, Verdict

__all__ = ["platform_of", "sample_of", "sizes_of", "variants_by_sha256"]


def platform_of(record: Record) -> Platform:
    """Returns what a record was measured on."""
    device, engine = record.device, record.engine
    return Platform(
        device.board, device.soc, device.architecture, device.cores, engine.name, engine.version, engine.threads
    )


def sample_of(record: Record, variant: Variant) -> Sample | None:
    """Returns what a record teaches, or None: it is not to be believed, or its engine told nothing of its kernels.

    Args:
        record: of one network.
        variant: what it measured.
    """
    if record.verdict is Verdict.INVALID or not any(row.output_shapes for row in record.layers):
        return None
    network = MeasuredNetwork(
        record.model.source_sha256,
        kernels_of(record.layers, variant.layers),
        tuple(row.mean_ms for row in record.layers),
        record.latency.p50_ms,
    )
    energy = record.energy.gross_mj if record.energy and record.energy.source == "measured" else None
    return Sample(network, sizes_of(variant), energy, record.memory.peak_rss_bytes)


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
