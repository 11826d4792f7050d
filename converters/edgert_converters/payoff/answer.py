"""Will int8 pay here? Answers for the engines of this computer and for other targets, with what they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgert.bundle import LayerRecord
from edgert.errors import EdgertError
from edgert.payoff import Int8Answer, Int8Basis, Int8Payoff
from edgert.plugins import ProgressReporter
from edgert.runtime.cpu import dot_product
from edgert.target import Target
from edgert_converters.importers import ImportedModel
from edgert_converters.payoff.cache import Cache, Place, Timed, load_cache, save_cache
from edgert_converters.payoff.facts import answer_from_facts, target_dot_product
from edgert_converters.payoff.layer_times import float_lines, kind_lines, sum_layers, times_by_kind
from edgert_converters.payoff.measure import measure_site
from edgert_converters.payoff.network import Network
from edgert_converters.payoff.place import THREADS, Site, find_sites

__all__ = ["Answers", "answer_payoff", "classify", "describe_known"]

SAME = 0.05
"""Ratios within this of 1 are about the same."""
LAYERS_ERROR = 1.5
"""Factor by which the ratio of sums of single layers may miss that of the whole network (docs/decisions/0010)."""


@dataclass(frozen=True, slots=True)
class Answers:
    """One answer per engine of this computer and per other target, and what the user should know about the cache."""

    rows: tuple[Int8Payoff, ...]
    notes: tuple[str, ...] = ()


def answer_payoff(
    imported: ImportedModel,
    layers: Sequence[LayerRecord],
    targets: Sequence[Target],
    *,
    measure: bool,
    progress: ProgressReporter | None = None,
) -> Answers:
    """Returns the answers for one model; none for a model that is quantized already.

    Args:
        imported: the model.
        layers: its layers table.
        targets: whom to answer for.
        measure: time on this computer what the cache does not hold; else only cache and facts.
        progress: told while measuring.
    """
    network = Network(imported)
    if network.is_quantized:
        return Answers(())
    try:
        return _answer_all(network, layers, targets, progress, measure=measure)
    except EdgertError as error:  # a model that cannot be quantized can still be described
        return Answers((), (f"will int8 pay? there is no answer: {error}",))


def _answer_all(
    network: Network,
    layers: Sequence[LayerRecord],
    targets: Sequence[Target],
    progress: ProgressReporter | None,
    *,
    measure: bool,
) -> Answers:
    cache, trouble = load_cache()
    rows: list[Int8Payoff] = []
    notes = [trouble] if trouble else []
    for target in targets:
        if not target.is_this_computer:
            engines = ", ".join(engine.name for engine in target.engines if not engine.optional)
            rows.append(answer_from_facts(network, layers, target.name, engines, target_dot_product(target)))
            continue
        sites = find_sites(target)
        reasons = _measure(network, sites, cache, progress) if measure else {}
        rows += [_answer_here(network, layers, target.name, site, cache, reasons.get(site.engine)) for site in sites]
        said = save_cache(cache) if measure else None
        notes += [said] if said else []
    return Answers(tuple(rows), tuple(notes))


def _measure(
    network: Network, sites: Sequence[Site], cache: Cache, progress: ProgressReporter | None
) -> dict[str, str]:
    """Fills the cache; returns by engine why it could not run the network."""
    reasons = {}
    if not network.plan.integer_nodes:
        return {}
    for done, site in enumerate(sites):
        place = cache.place(site.key)
        if network.structure in place.networks:
            continue
        if progress is not None:
            progress(f"timing float against int8 in {site.engine}", done, len(sites))
        reason = measure_site(network, site, place)
        if reason is not None:
            reasons[site.engine] = reason
    return reasons


def _answer_here(
    network: Network, layers: Sequence[LayerRecord], target: str, site: Site, cache: Cache, reason: str | None
) -> Int8Payoff:
    place = cache.places.get(site.key, Place())
    timed = place.networks.get(network.structure)
    if timed is not None:
        return _row(network, site, place, target, timed, Int8Basis.MEASURED)
    if reason is not None:
        return Int8Payoff(target, site.engine, Int8Answer.UNKNOWN, Int8Basis.NOTHING, reason=reason)
    sums = sum_layers(network, site, place) if place.layers and network.plan.integer_nodes else None
    if sums is not None:
        ratio = sums[1] / sums[0]
        estimate = Timed(*sums, ratio / LAYERS_ERROR, ratio * LAYERS_ERROR)
        return _row(network, site, place, target, estimate, Int8Basis.LAYERS)
    return answer_from_facts(network, layers, target, site.engine, dot_product())


def _row(network: Network, site: Site, place: Place, target: str, timed: Timed, basis: Int8Basis) -> Int8Payoff:
    decides = (*kind_lines(times_by_kind(network, site, place)), *float_lines(network))
    return Int8Payoff(
        target,
        site.engine,
        classify(timed, basis),
        basis,
        THREADS,
        round(timed.ratio, 3),
        (round(timed.low, 3), round(timed.high, 3)),
        timed.float_ms,
        timed.int8_ms,
        decides,
    )


def classify(timed: Timed, basis: Int8Basis) -> Int8Answer:
    """Returns the answer that a ratio gives; a sum of layers whose interval holds 1 gives none."""
    if basis is Int8Basis.LAYERS:
        if timed.low < 1.0 < timed.high:
            return Int8Answer.UNKNOWN
        return Int8Answer.YES if timed.ratio < 1.0 else Int8Answer.NO
    if abs(timed.ratio - 1.0) <= SAME:
        return Int8Answer.SAME
    return Int8Answer.YES if timed.ratio < 1.0 else Int8Answer.NO


def describe_known(imported: ImportedModel, targets: Sequence[Target]) -> str | None:
    """Returns one line with what earlier measurements of this network say, or None; looks into the cache alone."""
    network = Network(imported)
    if network.is_quantized:
        return None
    cache, _ = load_cache()
    found = []
    for target in targets:
        for site in find_sites(target) if target.is_this_computer else ():
            timed = cache.places.get(site.key, Place()).networks.get(network.structure)
            if timed is not None:
                answer = classify(timed, Int8Basis.MEASURED).value
                found.append(f"{site.engine} {answer} ({timed.ratio:.2f}x the float time)")
    if not found:
        return None
    return f"will int8 pay here? {', '.join(found)}; measured on this computer with {THREADS} thread"
