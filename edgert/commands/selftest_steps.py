"""The steps of a self-test that every user meets: set-up, parity, latency, energy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from edgert.codec import JsonValue
from edgert.commands.profile import profile
from edgert.commands.selftest_bench import PEERS, Bench, Finding, open_card_worker
from edgert.commands.verify import verify
from edgert.devices.client import WorkerClient
from edgert.devices.names import store_device
from edgert.devices.ssh import SshTransport
from edgert.errors import EngineError
from edgert.profiler.card import Outcome
from edgert.profiler.record import Record, Verdict
from edgert.runtime.engines import get_engine
from edgert.runtime.session import load
from edgert.target import EngineFacts
from edgert.units import format_bytes, format_ms
from edgert.verification import Mode, Pair, VerifyReport

__all__ = ["check_energy", "check_latency", "check_parity", "set_up"]

MAX_STEPS = 1
"""A step is one unit of an int8 output: a kernel may round a tie the other way."""
FLOAT_TOLERANCE = 1e-4
"""Of the largest output: float32 sums in another order differ by a few units of 2**-24 per operation."""
_SAMPLES = 2
_CALL_S = 120.0
_DURATION_S = 3.0
_SUSTAINED_S = 20.0


def set_up(bench: Bench) -> Finding:
    """Sets a board up where nothing is set up, and asks every engine of the device for its version."""
    text = "this computer: nothing to set up"
    figures: dict[str, JsonValue] = {}
    if not bench.is_local:
        text, figures = _set_up_board(bench)
    with open_card_worker(bench) as worker:
        versions = worker.call("engines", crash=EngineError).body["engines"]
    bench.engines = {name: str(version) for name, version in versions.items() if version is not None}
    if not bench.cpu_engines():
        wanted = " or ".join(PEERS)
        return Finding(
            Outcome.FAILED, f"{text}; no {wanted} loads on the device, as {bench.target.name} needs", figures
        )
    words = ", ".join(f"{name} {version}" for name, version in bench.engines.items())
    return Finding(Outcome.PASSED, f"{text}; engines: {words}", figures)


def check_parity(bench: Bench) -> Finding:
    """Compares integers with the integer interpreter, and outputs with those of this computer, engine by engine."""
    figures: dict[str, JsonValue] = {}
    faults, words = [], []
    for engine in bench.cpu_engines():
        bench.progress(f"comparing {engine.name}", 0, 0)
        row = _parity_of(bench, engine)
        figures[engine.name] = row
        words.append(f"{engine.name} int8 {row['interpreter_steps']} steps off the integer interpreter")
        faults += [f"{engine.name}: {text}" for text in _parity_faults(row)]
    if faults:
        return Finding(Outcome.FAILED, "; ".join(faults), figures)
    return Finding(Outcome.PASSED, "; ".join(words) + "; outputs as on this computer", figures)


def check_latency(bench: Bench) -> Finding:
    """Profiles int8 in every engine; the first also for a while, to see throttling. An invalid verdict fails."""
    for engine, variant in _profiled(bench):
        bench.progress(f"measuring {engine or 'the accelerator'}", 0, 0)
        record = profile(
            bench.made_bundle(),
            variant=variant,
            device=bench.word,
            engine=engine,
            duration_s=_DURATION_S,
            sustained_s=0.0 if bench.records else _SUSTAINED_S,
            energy="none" if bench.records else "auto",
            layers=False,
            tuned=False,
        )
        bench.records.append(record)
    figures: dict[str, JsonValue] = {f"{r.engine.name} {r.variant}": _latency_figures(r) for r in bench.records}
    text = "; ".join(_latency_words(record) for record in bench.records)
    is_believed = all(record.verdict is not Verdict.INVALID for record in bench.records)
    return Finding(Outcome.PASSED if is_believed else Outcome.FAILED, text, figures)


def check_energy(bench: Bench) -> Finding:
    """Says what the first profile found of energy; without a sensor it is null, never zero."""
    if not bench.records:
        return Finding(Outcome.SKIPPED, "nothing was profiled")
    record = bench.records[0]
    if record.energy is None:
        return Finding(Outcome.SKIPPED, f"not measured: {record.energy_reason}")
    energy = record.energy
    figures: dict[str, JsonValue] = {
        "sensor": energy.sensor,
        "gross_mj": energy.gross_mj,
        "net_mj": energy.net_mj,
        "idle_mw": energy.idle_mw,
        "codes": [reason.code for reason in energy.reasons],
    }
    text = f"{energy.sensor}: {energy.gross_mj:.3g} mJ per inference, {energy.net_mj:.3g} mJ above idle"
    return Finding(Outcome.PASSED, f"{text}; leaves out: {energy.leaves_out}", figures)


def _set_up_board(bench: Bench) -> tuple[str, dict[str, JsonValue]]:
    from edgert.devices.setup import read_board_facts, set_up_board

    transport = bench.transport()
    assert isinstance(transport, SshTransport)
    facts = read_board_facts(transport)
    if facts["engines"]:
        return f"was set up, Python {facts['python']}", {"was_there": True, "python": facts["python"]}
    made = set_up_board(bench.device, transport, offline=True, progress=bench.progress)
    if bench.device.facts:
        store_device(dataclasses.replace(bench.device, facts=read_board_facts(transport)))
    size = format_bytes(made.environment_bytes or 0)
    figures = {"was_there": made.was_there, "python": made.python, "environment_bytes": made.environment_bytes}
    return f"set up offline, {size}, Python {made.python}", figures


def _profiled(bench: Bench) -> list[tuple[str | None, str | None]]:
    """Engine and variant of each profile; where there is an accelerator, what edgert itself takes there."""
    if bench.target.accelerator is not None:
        return [(None, None)]
    return [(engine.name, f"{engine.format}-int8") for engine in bench.cpu_engines()]


def _parity_of(bench: Bench, engine: EngineFacts) -> dict[str, JsonValue]:
    peer, variant = PEERS[engine.name], f"{engine.format}-int8"
    is_here = get_engine(engine.name).version() is not None
    report = verify(
        bench.made_bundle(),
        variant=variant,
        samples=_SAMPLES,
        modes=(Mode.END_TO_END,),
        engines=(peer,) if is_here else (),
        device=bench.word,
    )
    pair, reason = _pair_there(report, f"{peer} on {bench.device.name}")
    row: dict[str, JsonValue] = {
        "interpreter_steps": None if pair is None else pair.max_steps,
        "layers": 0 if pair is None else len(pair.layers),
        "dot_product": report.dot_product,
        "not_compared": reason,
        "compared_here_with": engine.name if is_here else None,
    }
    if is_here:
        with open_card_worker(bench) as worker:
            row["float_difference"] = _difference(bench, worker, engine, f"{engine.format}-fp32", quantized=False)
            row["int8_steps"] = _difference(bench, worker, engine, variant, quantized=True)
    return row


def _pair_there(report: VerifyReport, peer: str) -> tuple[Pair | None, str | None]:
    pair = next((pair for pair in report.pairs if pair.peer == peer and pair.layers), None)
    reasons = [row.reason for row in report.not_compared if row.peer == peer and not row.layer]
    return pair, None if pair is not None else (reasons[0] if reasons else "nothing was compared")


def _parity_faults(row: dict[str, JsonValue]) -> list[str]:
    faults = []
    if row["interpreter_steps"] is None:
        faults.append(str(row["not_compared"]))
    elif row["interpreter_steps"] > MAX_STEPS:
        faults.append(f"{row['interpreter_steps']} steps off the integer interpreter, {MAX_STEPS} may be")
    if row.get("float_difference", 0.0) > FLOAT_TOLERANCE:
        faults.append(
            f"float outputs differ by {row['float_difference']:.2g} of the largest, {FLOAT_TOLERANCE:g} may be"
        )
    if row.get("int8_steps", 0) > MAX_STEPS:
        faults.append(f"int8 outputs are {row['int8_steps']} steps off those of this computer, {MAX_STEPS} may be")
    return faults


def _difference(
    bench: Bench, worker: WorkerClient, engine: EngineFacts, variant: str, *, quantized: bool
) -> float | int:
    """Largest difference of the outputs there and here: in steps, or for floats as a share of the largest output."""
    bundle, inputs = bench.made_bundle(), bench.golden_inputs()
    bench.load(worker, bundle, variant, engine.name)
    there = worker.run(inputs, timeout_s=_CALL_S)
    with load(bundle, variant=variant, engine=engine.name, tuned=False) as session:
        here = session.run(inputs)
        quants = {name: session.quant_of(name) for name in here}
    largest = {name: float(np.abs(there[name] - value).max()) for name, value in here.items()}
    if quantized:
        scales = {name: quant.scale[0] for name, quant in quants.items() if quant is not None}
        return max((round(largest[name] / scale) for name, scale in scales.items()), default=0)
    scale = max(float(np.abs(value).max()) for value in here.values())
    return max(largest.values()) / max(scale, 1e-30)


def _latency_figures(record: Record) -> dict[str, JsonValue]:
    return {
        "p50_ms": record.latency.p50_ms,
        "p90_ms": record.latency.p90_ms,
        "p99_ms": record.latency.p99_ms,
        "load_ms": record.memory.load_ms,
        "peak_rss_bytes": record.memory.peak_rss_bytes,
        "verdict": record.verdict.value,
        "would_pass_require_valid": record.verdict is Verdict.VALID,
        "codes": [reason.code for reason in record.reasons],
        "sustained_ratio": None if record.sustained is None else record.sustained.ratio,
    }


def _latency_words(record: Record) -> str:
    codes = _codes([reason.code for reason in record.reasons])
    return (
        f"{record.engine.name} {record.variant}: p50 {format_ms(record.latency.p50_ms)}, {record.verdict.value}{codes}"
    )


def _codes(codes: Sequence[str]) -> str:
    return f" ({', '.join(codes)})" if codes else ""
