"""From profile records and the bundles that they measured to what `architecture` learns from, whatever the engine."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from edgert.bundle import Variant
from edgert.cost.architecture import ArchitectureSample, WholeQuantity
from edgert.cost.records import fastest_ms
from edgert.profiler.record import Record, Verdict

__all__ = ["samples_of"]


def samples_of(
    records: Sequence[Record], variants: Mapping[str, Variant], quantity: WholeQuantity
) -> list[ArchitectureSample]:
    """Returns a sample for each variant that records of one platform measured.

    Whatever else a computer does adds to times and memory and never takes from them: the least of each counts; of
    energies, which vary both ways, the middle one. Invalid records and those of unknown variants are left out.

    Args:
        records: of one platform.
        variants: by the SHA-256 (hex) of their files, see `edgert.cost.records.variants_by_sha256`.
        quantity: any but instructions, which records of computers do not hold.

    Raises:
        ValueError: instructions are asked for.
    """
    found: dict[str, list[float]] = {}
    groups: dict[str, str] = {}
    for record in records:
        sha256 = record.model.variant_sha256
        value = _value(record, quantity)
        if value is not None and sha256 in variants and record.verdict is not Verdict.INVALID:
            found.setdefault(sha256, []).append(value)
            groups[sha256] = record.model.source_sha256
    choose = statistics.median if quantity is WholeQuantity.ENERGY_MJ else min
    return [ArchitectureSample(groups[key], variants[key].layers, choose(values)) for key, values in found.items()]


def _value(record: Record, quantity: WholeQuantity) -> float | None:
    if quantity is WholeQuantity.LATENCY_MS:
        return fastest_ms(record)
    if quantity is WholeQuantity.PEAK_BYTES:
        return record.memory.peak_rss_bytes
    if quantity is WholeQuantity.ENERGY_MJ:
        energy = record.energy
        return energy.gross_mj if energy is not None and energy.source == "measured" else None
    raise ValueError("records of computers hold no instructions")
