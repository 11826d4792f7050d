"""A conversion in words and as JSON: messages for the user, report.json of the bundle, the summary of `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgert.bundle import Gate
from edgert.codec import JsonValue, to_plain
from edgert_converters.built import Built
from edgert_converters.conversion import Conversion
from edgert_converters.exporters.c.fit import Fit
from edgert_converters.quantize.plan import FloatLayer
from edgert_converters.repair.steps import Repair
from edgert_converters.variant_runner import why_not_here

__all__ = ["build_messages", "build_report", "build_summary"]

_UNVERIFIED = (
    "unverified: the ranges come from synthetic inputs and no accuracy was measured; "
    "verify with --calib CAL.npz and --eval EVAL.npz"
)
_WORST_LAYERS = 5
_FLOAT_LINES = 3


def build_messages(conversion: Conversion) -> tuple[str, ...]:
    """Returns what the user must know, in order: notes, the gate's sentences, what stays float, gains of repairs."""
    messages = [*conversion.imported.notes, *conversion.data.notes]
    chosen = conversion.chosen
    if conversion.data.calib is None and conversion.data.evaluation is None and chosen.plan is not None:
        messages.append(f"{chosen.id}: {_UNVERIFIED}")
    for variant in conversion.built:
        messages += [f"{variant.id}: {note}" for note in variant.notes]
        reason = why_not_here(variant)
        if reason is not None:
            messages.append(f"{variant.id}: unverified: {reason}")
        result = conversion.result(variant.id)
        if result is not None:
            messages.append(f"{variant.id}: {result.decision.gate.value}: {result.decision.sentence}")
    if conversion.repair is not None:
        messages += _repair_lines(conversion.repair)
    if chosen.plan is not None:
        messages += _float_lines(chosen.plan.float_layers)
    messages += [f"keeping {gain.name!r} float gains {gain.gain_db:+.1f} dB" for gain in conversion.gains]
    return tuple(messages)


def _repair_lines(repair: Repair) -> list[str]:
    """What the loop kept, in order, and why it stopped; the report lists what it tried besides."""
    kept = [f"auto: {step.step} ({step.where}): {step.why}" for step in repair.steps[1:] if step.kept]
    return [*kept, f"auto: {repair.stopped}"]


def _float_lines(layers: Sequence[FloatLayer]) -> list[str]:
    """One line per layer, or one per reason where it holds for many (the report lists them all)."""
    by_reason: dict[str, list[FloatLayer]] = {}
    for layer in layers:
        by_reason.setdefault(layer.reason, []).append(layer)
    lines = []
    for reason, group in by_reason.items():
        if len(group) > _FLOAT_LINES:
            operators = ", ".join(sorted({layer.op for layer in group}))
            lines.append(f"{len(group)} operators stay float ({operators}): {reason}")
        else:
            lines += [f"{layer.op} {layer.name!r} stays float: {reason}" for layer in group]
    return lines


def build_report(conversion: Conversion) -> JsonValue:
    """Returns report.json: accuracy before and after, errors per layer, what was changed and why."""
    verified = conversion.verification.to_json() if conversion.verification is not None else {}
    recipe = conversion.recipe
    return {
        "schema": 1,
        "reference": {**verified.get("reference", {}), "variant": conversion.built[0].id},
        "gate": conversion.final_gate.value,
        "max_drop_points": recipe.max_drop_points,
        "metric_output": recipe.metric_output,
        "variants": _variant_rows(conversion, verified),
        "layers": _layer_rows(conversion),
        "worst_layers": _worst_rows(conversion),
        "worst_samples": verified.get("worst_samples", []),
        "passes": to_plain(conversion.imported.passes),
        "changes": _changes(conversion),
        "calibration": {
            "spec": Path(recipe.calib or recipe.eval or "").name or None,
            "n": len(conversion.data.calib) if conversion.data.calib is not None else 0,
            "ranges": recipe.ranges.value,
        },
        "messages": list(conversion.messages),
        **({} if conversion.repair is None else conversion.repair.to_json()),
    }


def build_summary(conversion: Conversion, written: Sequence[Path], gate: Gate) -> dict[str, JsonValue]:
    """Returns the document of `edgert convert --json`."""
    verified = conversion.verification.to_json() if conversion.verification is not None else {}
    return {
        "bundle": str(written[0]),
        "written": [str(path) for path in written],
        "reference": verified.get("reference"),
        "gate": gate.value,
        "variants": _variant_rows(conversion, verified),
        "worst_layers": _worst_rows(conversion),
        "messages": list(conversion.messages),
    }


def _variant_rows(conversion: Conversion, verified: dict[str, JsonValue]) -> list[JsonValue]:
    rows = {row["id"]: row for row in verified.get("variants", [])}
    reference = verified.get("reference", {})
    own = {"value": reference.get("value"), "agree": 1.0 if verified else None, "drop": 0.0 if verified else None}
    nothing = {"value": None, "agree": None, "drop": None, "ci95": None, "gate": Gate.NONE.value}
    return [
        _identity(variant) | (own | {"ci95": None} if variant is conversion.built[0] else rows.get(variant.id, nothing))
        for variant in conversion.built
    ]


def _identity(variant: Built) -> dict[str, JsonValue]:
    return {
        "id": variant.id,
        "format": variant.format,
        "precision": variant.precision,
        "bytes": len(variant.data),
        "targets": list(variant.targets),
        "notes": list(variant.notes),
        **({} if variant.fit is None else _fit(variant.fit)),
        **({"npu": [placement.to_json() for placement in variant.npu]} if variant.npu else {}),
    }


def _fit(fit: Fit) -> dict[str, JsonValue]:
    """What a board needs: `bytes` are those of the weights and other constants, not of the text of model.c."""
    return {
        "bytes": fit.constants_bytes,
        "flash_bytes": fit.flash.used_bytes,
        "ram_bytes": fit.ram.used_bytes,
        "fit": fit.to_json(),
    }


def _layer_rows(conversion: Conversion) -> list[JsonValue]:
    gains = {gain.name: gain.gain_db for gain in conversion.gains}
    return [
        to_plain(error) | {"variant": conversion.chosen.id, "gain_db": gains.get(error.name)}
        for error in conversion.errors
    ]


def _worst_rows(conversion: Conversion) -> list[JsonValue]:
    """The layers that add most noise; by the gain of putting them back to float where that was measured."""
    rows = sorted(_layer_rows(conversion), key=lambda row: row["added_noise"], reverse=True)[:_WORST_LAYERS]
    return sorted(rows, key=lambda row: -(row["gain_db"] or 0.0))


def _changes(conversion: Conversion) -> list[JsonValue]:
    chosen = conversion.chosen
    plan = chosen.plan
    if plan is None:
        return []
    rows = [
        {"where": layer.name, "what": f"{layer.op} stays float", "why": layer.reason} for layer in plan.float_layers
    ]
    fused = [
        {"where": clamp, "what": f"folded into {producer}", "why": "the output range of the integer layer clamps"}
        for clamp, producer in plan.fused_clamps.items()
    ]
    repairs = [] if chosen.draft is None else [to_plain(change) for change in chosen.draft.changes]
    return rows + fused + repairs
