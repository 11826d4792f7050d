"""Who takes part in a race: every variant on every engine here, with the engines' documented options for latency."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgert.bundle import Gate, Variant
from edgert.runtime.engines import ENGINES, EXTRAS, TIMES_ONLY, get_engine
from edgert.runtime.engines.accelerators import AcceleratedEngine
from edgert.runtime.settings import Choice, describe

__all__ = [
    "FLOAT_PRECISIONS",
    "LATENCY_OPTIONS",
    "Entry",
    "list_entries",
    "physical_cores",
    "refuse_cpu",
    "thread_counts",
    "without_effect",
]

LATENCY_OPTIONS: Mapping[str, tuple[Mapping[str, str], ...]] = {
    # ONNX Runtime, "Thread management": spinning threads lower latency where the cores are free; the graph
    # optimizations that its page on performance advises stay at `all`, which is the default here
    "onnxruntime": ({}, {"allow_spinning": "0"}),
    # LiteRT: with or without XNNPACK, and the operators that XNNPACK has behind a flag
    "litert": ({}, {"latest_features": "1"}, {"xnnpack": "0"}),
    # OpenVINO, "Optimizing for latency": PERFORMANCE_HINT=LATENCY and one stream, which are the defaults here
    "openvino": ({},),
    # TensorRT chooses its kernels by timing them on the device while it builds the engine
    "tensorrt": ({},),
}
"""Engine -> sets of options that are raced; an engine without an entry is raced with its defaults."""

_NEEDS_THREADS = frozenset({"allow_spinning"})
"""Options that do nothing on one thread."""

_TELLING: Mapping[str, tuple[str, ...]] = {"litert": ("nodes", "xnnpack_nodes", "xnnpack_pieces")}
"""Engine -> facts that are equal where an option of LATENCY_OPTIONS changed nothing."""


FLOAT_PRECISIONS = frozenset({"fp32", "as-is"})
"""Precisions whose outputs are compared as floats; `as-is` is a plain file."""

Facts = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Entry:
    """One candidate, or with a `refusal` what cannot take part and why.

    `is_unverified`: nobody has measured how accurate the variant is.
    """

    choice: Choice
    precision: str
    gate: Gate
    is_reference: bool
    is_unverified: bool
    engine_version: str = ""
    refusal: str | None = None

    @property
    def name(self) -> str:
        """The choice in words: unique among the candidates of a race."""
        return describe(self.choice)


def list_entries(variants: Sequence[Variant], reference: str, threads: int | None, cores: int) -> tuple[Entry, ...]:
    """Returns the candidates for the variants of one model, those nearest to the defaults first.

    An engine that does not read a variant's format is passed over; one that is not installed is listed once, unless it
    comes with the operating system of other devices.

    Args:
        variants: of the bundle, or the one of a plain file.
        reference: id of the float variant that the others were judged against.
        threads: the number for all; None: 1 and all cores are raced.
        cores: physical cores that may be used.
    """
    versions = {name: get_engine(name).version() for name in ENGINES if name not in TIMES_ONLY}
    counts = thread_counts(threads, cores)
    found: list[Entry] = []
    for variant in variants:
        is_reference = variant.id == reference
        facts = variant.precision, variant.gate, is_reference, variant.gate is Gate.NONE and not is_reference
        for engine, version in versions.items():
            if version is not None and get_engine(engine).refusal(variant) is None:
                choices = _choices(variant.id, engine, counts)
                found += [Entry(choice, *facts, engine_version=version) for choice in choices]
    absent = [name for name, version in versions.items() if version is None and name in EXTRAS]
    return (*found, *(_absent(name) for name in absent))


def thread_counts(threads: int | None, cores: int) -> tuple[int, ...]:
    """Returns the numbers of threads that are raced."""
    if threads is not None:
        return (threads,)
    return tuple(sorted({1, max(1, cores)}))


def without_effect(entry: Entry, facts: Facts, earlier: Iterable[tuple[Entry, Facts]]) -> str | None:
    """Returns why a candidate need not be measured: the same engine said the same facts of other options."""
    keys = _TELLING.get(entry.choice.engine or "", ())
    if not keys or any(key not in facts for key in keys):
        return None
    for other, known in earlier:
        same = (other.choice.variant, other.choice.engine, other.choice.threads) == (
            entry.choice.variant,
            entry.choice.engine,
            entry.choice.threads,
        )
        if same and all(known.get(key) == facts[key] for key in keys):
            return f"the same as {other.name}"
    return None


def refuse_cpu(entries: Sequence[Entry], accelerator: str | None) -> tuple[Entry, ...]:
    """Returns the candidates, those that know nothing but the CPU refused where a device is expected to use more.

    Who wants the CPU of such a device names its engine (edgert.runtime.engines.accelerators).
    """
    if accelerator is None:
        return tuple(entries)
    reason = f"runs on the CPU of a device that is expected to use {accelerator}"
    return tuple(
        entry if entry.refusal or _is_accelerated(entry) else dataclasses.replace(entry, refusal=reason)
        for entry in entries
    )


def physical_cores(root: Path = Path("/")) -> int:
    """Returns how many physical cores this process may use; logical ones where the system does not tell them apart."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    seen = set()
    for cpu in allowed:
        try:
            siblings = (root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
        except OSError:
            return len(allowed)
        seen.add(siblings)
    return len(seen) or 1


def _choices(variant: str, engine: str, counts: Sequence[int]) -> list[Choice]:
    return [
        Choice(variant, engine, count, dict(options))
        for options in LATENCY_OPTIONS.get(engine, ({},))
        for count in counts
        if count > 1 or not _NEEDS_THREADS & set(options)
    ]


def _is_accelerated(entry: Entry) -> bool:
    return entry.choice.engine is not None and isinstance(get_engine(entry.choice.engine), AcceleratedEngine)


def _absent(engine: str) -> Entry:
    reason = f"not installed (pip install 'edgert[{EXTRAS[engine]}]')"
    return Entry(Choice("any variant", engine), "", Gate.NONE, False, False, refusal=reason)
