"""Section of the report about each measurement: on what, how, how quiet the computer was, memory and energy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgert.profiler.report_html import Html, element, join
from edgert.profiler.report_records import device_name
from edgert.profiler.report_values import (
    Json,
    format_number,
    format_value,
    mapping_at,
    number_at,
    pair_at,
    rows_at,
    text_at,
    value_at,
)
from edgert.profiler.report_view import ReportView, absent, card, chip
from edgert.units import format_bytes, format_ms

__all__ = ["environment_section"]

_TONES = {"valid": "good", "degraded": "doubt", "invalid": "bad"}


def environment_section(view: ReportView) -> Html:
    """Returns what each measurement was made on, its validity with the codes, and the energy or why there is none."""
    if not view.records:
        return card("Measurements", None, absent("No profile record was given."))
    lead = "Where and how each latency was measured, and whether the computer was quiet enough to believe it."
    return card("Measurements", lead, *(_measurement(record) for record in view.records))


def _measurement(record: dict[str, Json]) -> Html:
    verdict = text_at(record, "verdict") or "no verdict"
    name = text_at(record, "variant") or "unnamed variant"
    title = element("h3", f"{name} on {device_name(record)} ", chip(verdict, _TONES.get(verdict, "none")))
    found = value_at(record, "reasons")
    reasons = [_reason(reason) for reason in (found if isinstance(found, list) else [])]
    facts = [
        ("source", text_at(record, "source")),
        ("made", text_at(record, "created")),
        ("device", _device(record)),
        ("engine", _engine(record)),
        ("surroundings", _surroundings(record)),
        ("method", _method(record)),
        ("stages", _stages(record)),
        ("memory", _memory(record)),
        ("sustained", _sustained(record)),
        ("energy", _energy(record)),
    ]
    rows = [part for key, text in facts if text for part in (element("dt", key), element("dd", text))]
    return join([title, element("ul", *reasons, class_="plain") if reasons else None, element("dl", *rows)])


def _reason(reason: Json) -> Html:
    code, text = text_at(reason, "code"), text_at(reason, "text")
    if code is None:
        return element("li", format_value(reason) or "unnamed reason")
    return element("li", element("code", code), f": {text}" if text else None)


def _device(record: Json) -> str:
    device = mapping_at(record, "device")
    cores, memory = number_at(device, "cores"), number_at(device, "ram_bytes")
    return _list(
        text_at(device, "soc"),
        text_at(device, "core"),
        text_at(device, "architecture"),
        None if cores is None else f"{cores:.0f} cores",
        None if memory is None else f"{format_bytes(int(memory))} memory",
        _words(text_at(device, "system"), text_at(device, "kernel")),
        text_at(device, "release"),
    )


def _engine(record: Json) -> str:
    engine = mapping_at(record, "engine")
    threads = number_at(engine, "threads")
    options = ", ".join(f"{key}={format_value(value)}" for key, value in mapping_at(engine, "options").items())
    dot_product, python, numpy = (text_at(engine, key) for key in ("dot_product", "python", "numpy"))
    return _list(
        _words(text_at(engine, "name"), text_at(engine, "version")),
        "threads: the engine's choice" if threads is None else f"{threads:.0f} threads" if threads != 1 else "1 thread",
        f"dot product {dot_product}" if dot_product else None,
        f"Python {python}" if python else None,
        f"numpy {numpy}" if numpy else None,
        options or None,
    )


def _surroundings(record: Json) -> str:
    environment = mapping_at(record, "environment")
    samples = [mapping_at(environment, "before"), *rows_at(environment, "during"), mapping_at(environment, "after")]
    governors = sorted({name for sample in samples for name in _listed(sample, "governors") if isinstance(name, str)})
    clocks = [clock for sample in samples for clock in _numbers(_listed(sample, "clocks_mhz"))]
    heat = [t for sample in samples for t in _numbers(list(mapping_at(sample, "temperatures_c").values()))]
    load = [value for sample in samples if (value := number_at(sample, "competing_cores")) is not None]
    flags = dict.fromkeys(text for sample in samples if (text := text_at(sample, "throttle_flags")))
    mode = text_at(environment, "power_mode")
    return _list(
        f"power mode {mode}" if mode else None,
        f"governor {', '.join(governors)}" if governors else "governor unreadable",
        _range(clocks, "{:.0f}", "MHz") or "clocks unreadable",
        _range(heat, "{:.0f}", "\u00b0C") or "temperature unreadable",
        f"throttle flags {', '.join(flags)}" if flags else None,
        f"other processes used up to {max(load):.2f} cores" if load else None,
    )


def _method(record: Json) -> str:
    method = mapping_at(record, "method")
    samples, windows, warm_up = (number_at(method, key) for key in ("samples", "windows", "warmup_runs"))
    steady = "still drifting after" if value_at(method, "steady") is False else "steady after"
    clock, data = text_at(method, "clock"), text_at(method, "input")
    return _list(
        None if samples is None else f"{samples:.0f} runs",
        None if windows is None else f"{windows:.0f} windows",
        None if warm_up is None else f"{steady} {warm_up:.0f} warm-up runs",
        f"clock {clock}" if clock else None,
        f"input {data}" if data else None,
    )


def _stages(record: Json) -> str:
    stages = mapping_at(record, "stages")
    names = (("pre-processing", "preprocess_ms"), ("inference", "inference_ms"), ("post-processing", "postprocess_ms"))
    times = [f"{name} {format_ms(time)}" for name, key in names if (time := number_at(stages, key)) is not None]
    return _list(*times, text_at(stages, "note"))


def _memory(record: Json) -> str:
    memory = mapping_at(record, "memory")

    def figure(key: str, name: str, write: Callable[[float], str]) -> str | None:
        value = number_at(memory, key)
        return None if value is None else f"{name} {write(value)}"

    return _list(
        figure("load_ms", "load", format_ms),
        figure("first_run_ms", "first run", format_ms),
        figure("rss_after_load_bytes", "resident after load", _bytes),
        figure("peak_rss_bytes", "peak", _bytes),
    )


def _sustained(record: Json) -> str | None:
    ratio, duration_s = number_at(record, "sustained", "ratio"), number_at(record, "sustained", "duration_s")
    if ratio is None or duration_s is None:
        return None
    return f"after {duration_s:.0f} s {ratio:.2f}x the latency of the beginning"


def _energy(record: Json) -> str:
    energy = mapping_at(record, "energy")
    net, interval = number_at(energy, "net_mj"), pair_at(energy, "net_ci95_mj")
    if net is None:
        reason = text_at(record, "energy_reason")
        return f"not measured: {reason}" if reason else "not measured"
    sensor, leaves_out = text_at(energy, "sensor"), text_at(energy, "leaves_out")
    spread = f" ({format_number(interval[0])} to {format_number(interval[1])})" if interval else ""
    return _list(
        f"{format_number(net)} mJ{spread} per inference above idle",
        "estimated, not measured" if text_at(energy, "source") == "estimated" else None,
        f"sensor {sensor}" if sensor else None,
        f"leaves out {leaves_out}" if leaves_out else None,
    )


def _listed(data: Json, key: str) -> list[Json]:
    value = value_at(data, key)
    return value if isinstance(value, list) else []


def _numbers(values: list[Json]) -> Iterator[float]:
    for value in values:
        number = number_at({"": value}, "")
        if number is not None:
            yield number


def _range(values: list[float], form: str, unit: str) -> str | None:
    if not values:
        return None
    low, high = form.format(min(values)), form.format(max(values))
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def _bytes(size: float) -> str:
    return format_bytes(int(size))


def _words(*parts: str | None) -> str | None:
    return " ".join(part for part in parts if part) or None


def _list(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)
