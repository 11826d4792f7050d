"""The page of a self-test's card: one HTML file without scripts or anything from outside, in the report's style."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgert.profiler.card import Card, CardStep, Machine, Outcome
from edgert.profiler.record import Record
from edgert.profiler.report_html import Html, element, join, raw
from edgert.profiler.report_style import STYLE
from edgert.profiler.report_view import absent, card, chip, table
from edgert.units import format_bytes, format_ms

__all__ = ["build_card_page"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_TONES = {Outcome.PASSED: "good", Outcome.FAILED: "bad", Outcome.SKIPPED: "none"}
_VERDICT_TONES = {"valid": "good", "degraded": "doubt", "invalid": "bad"}
_MACHINES = {
    Machine.HARDWARE: ("hardware", "good"),
    Machine.VIRTUAL: ("virtual machine", "doubt"),
    Machine.EMULATED: ("emulated", "doubt"),
}


def build_card_page(tested: Card) -> str:
    """Returns the page; same card, same bytes."""
    sections = [_header(tested), _steps(tested), _latency(tested), _energy(tested), _surroundings(tested)]
    footer = element(
        "footer", f"edgert {tested.edgert}, commit {tested.commit or 'unknown'}, card schema {tested.schema}"
    )
    body = element("body", element("main", *sections, footer))
    return f"<!DOCTYPE html>\n{element('html', _head(tested), body, lang='en')}\n"


def _head(tested: Card) -> Html:
    return element(
        "head",
        element("meta", charset="utf-8"),
        raw('<meta http-equiv="Content-Security-Policy" content="' + _POLICY + '"/>'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{tested.target}: edgert self-test"),
        element("style", raw(STYLE)),
    )


def _header(tested: Card) -> Html:
    device = tested.device
    memory = None if device.ram_bytes is None else format_bytes(device.ram_bytes)
    parts = (device.soc, device.core, f"{device.cores} cores" if device.cores else None, memory)
    facts = [
        ("board", device.name),
        ("processor", ", ".join(part for part in parts if part)),
        ("system", ", ".join(part for part in (device.release, f"{device.system} {device.kernel}") if part)),
        ("Python", tested.python),
        ("engines", ", ".join(f"{name} {version}" for name, version in tested.engines.items()) or "none"),
        ("tested", tested.created),
    ]
    rows = [part for title, text in facts for part in (element("dt", title), element("dd", text))]
    return element(
        "header",
        element("h1", f"{tested.target}: self-test"),
        element("p", _verdict_words(tested), class_="lead"),
        element("p", _verdict_chip(tested), " ", chip(*_MACHINES[tested.surroundings.machine])),
        element("dl", *rows),
    )


def _verdict_chip(tested: Card) -> Html:
    if tested.failed:
        return chip("failed", "bad")
    return chip("passed", "good") if tested.is_passed else chip("incomplete", "doubt")


def _verdict_words(tested: Card) -> str:
    if tested.verifies:
        return "In profiles/ of edgert, this card makes the target verified on hardware."
    if tested.failed:
        return f"Failed: {', '.join(step.name for step in tested.failed)}. This card does not make the target verified."
    if not tested.is_passed:
        return "Steps were skipped, so this card does not make the target verified."
    return "It did not run on real hardware of this kind, so this card does not make the target verified."


def _steps(tested: Card) -> Html:
    return card("Steps", None, element("ul", *(_step(step) for step in tested.steps), class_="verdicts"))


def _step(step: CardStep) -> Html:
    took = f", {step.seconds:.1f} s" if step.seconds else ""
    words = element("div", element("strong", step.name), took, element("small", step.text))
    return element("li", element("div", chip(step.outcome.value, _TONES[step.outcome])), words)


def _latency(tested: Card) -> Html:
    lead = "One inference of the model that was tried, engine call included; medians over windows."
    if not tested.records:
        return card("Latency", None, absent("not measured"))
    heads = (
        ("engine, variant", "text"),
        ("p50", ""),
        ("p90", ""),
        ("p99", ""),
        ("load", ""),
        ("peak memory", ""),
        ("verdict", "text"),
    )
    notes = [note for record in tested.records for note in _notes(record)]
    emulated = tested.surroundings.machine is Machine.EMULATED
    warning = absent("An emulator's time says nothing about a board.") if emulated else None
    return card("Latency", lead, warning, table(heads, [_latency_row(r) for r in tested.records]), _list(notes))


def _latency_row(record: Record) -> Html:
    latency, peak = record.latency, record.memory.peak_rss_bytes
    figures = (format_ms(latency.p50_ms), format_ms(latency.p90_ms), format_ms(latency.p99_ms))
    more = (format_ms(record.memory.load_ms), "\u2013" if peak is None else format_bytes(peak))
    name = f"{record.engine.name} {record.engine.version}, {record.variant}"
    verdict = record.verdict.value
    return element(
        "tr",
        element("td", name, class_="name"),
        *(element("td", figure) for figure in (*figures, *more)),
        element("td", chip(verdict, _VERDICT_TONES[verdict]), class_="text"),
    )


def _notes(record: Record) -> Iterator[Html]:
    for reason in record.reasons:
        yield join([f"{record.engine.name} {record.variant}: ", element("code", reason.code), f" {reason.text}"])
    if record.sustained is not None:
        long = record.sustained
        text = f"over {long.duration_s:g} s, the end was {long.ratio:.2f}x as slow as the start"
        yield join([f"{record.engine.name} {record.variant}: {text}"])


def _energy(tested: Card) -> Html:
    record = next((record for record in tested.records if record.energy is not None), None)
    if record is None or record.energy is None:
        reason = next((step.text for step in tested.steps if step.name == "energy"), "not measured")
        return card("Energy", None, absent(reason))
    energy = record.energy
    interval = energy.net_ci95_mj
    spread = "no interval" if interval is None else f"{interval[0]:.3g} to {interval[1]:.3g} mJ (95 %)"
    facts = [
        ("sensor", f"{energy.sensor}: {', '.join(energy.rails)}"),
        ("per inference", f"{energy.gross_mj:.3g} mJ"),
        ("above idle", f"{energy.net_mj:.3g} mJ, {spread}"),
        ("idle", f"{energy.idle_mw:.3g} mW"),
        ("leaves out", energy.leaves_out),
    ]
    rows = [part for title, text in facts for part in (element("dt", title), element("dd", text))]
    reasons = [join([element("code", reason.code), f" {reason.text}"]) for reason in energy.reasons]
    return card(
        "Energy", f"{record.engine.name} {record.variant}, {energy.source}", element("dl", *rows), _list(reasons)
    )


def _surroundings(tested: Card) -> Html:
    seen = [join([text]) for text in tested.surroundings.seen]
    looked = [join([text]) for text in tested.surroundings.looked_at]
    return card(
        "Where it ran",
        "Signs of an emulator or a virtual machine. No sign is no proof: they can be hidden.",
        element("h4", "seen"),
        _list(seen) or absent("nothing"),
        element("h4", "looked at"),
        _list(looked),
    )


def _list(items: Sequence[Html]) -> Html | None:
    return element("ul", *(element("li", item) for item in items), class_="plain") if items else None
