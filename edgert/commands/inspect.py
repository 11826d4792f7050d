"""`edgert inspect`: what is in a model or bundle, what it costs, and which targets take it."""

from __future__ import annotations

import argparse
import collections
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgert.bundle import Bundle, TensorSpec
from edgert.codec import JsonValue, to_plain
from edgert.commands.console import Console, format_table
from edgert.commands.shapes import parse_shapes
from edgert.payoff import Int8Payoff
from edgert.plugins import ModelSummary, ProgressReporter, load_converter
from edgert.runtime.checks import describe_shape
from edgert.runtime.plain_model import is_bundle
from edgert.target import list_targets
from edgert.units import format_bytes, format_count

__all__ = ["add_arguments", "execute", "inspect"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert inspect`."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a .edge bundle or a model file")
    parser.add_argument("--variant", metavar="ID", help="variant of the bundle (default: the bundle's own choice)")
    parser.add_argument("-t", "--target", action="append", dest="targets", metavar="NAME", help="only these targets")
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="size of an input")
    parser.add_argument(
        "--no-measure", action="store_true", help="will int8 pay? answer from earlier measurements and facts alone"
    )
    parser.add_argument("--layers", action="store_true", help="also list every layer")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    console.progress("reading", 0, 0)
    summary = inspect(
        arguments.model,
        variant=arguments.variant,
        targets=arguments.targets,
        shapes=parse_shapes(arguments.shape),
        measure=not arguments.no_measure,
        progress=console.progress,
    )
    plain = to_plain(summary)
    if is_bundle(arguments.model):
        plain |= _bundle_facts(arguments.model)
    console.result(plain, _text(summary, plain, arguments.layers))
    return 0


def inspect(
    model: Path | str,
    *,
    variant: str | None = None,
    targets: Sequence[str] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    measure: bool = False,
    progress: ProgressReporter | None = None,
) -> ModelSummary:
    """Describes a bundle from its manifest, or a model file through the installed converter.

    Writes nothing, but with `measure` the cache of measurements: float is timed against int8 in the engines of this
    computer, for about ten seconds, where earlier measurements do not tell whether int8 will pay. For a bundle
    `support` names the targets the variant was made for, without reasons: those stand in its report.

    Raises:
        InputFileError: the file is damaged or of an unknown kind.
        DynamicShapeError: an input has no fixed size.
        MissingExtraError: a model file, and no converter is installed.
    """
    path = Path(model)
    if is_bundle(path):
        return _inspect_bundle(path, variant)
    return load_converter().inspect(path, shapes or {}, targets or list_targets(), measure=measure, progress=progress)


def _inspect_bundle(path: Path, variant_id: str | None) -> ModelSummary:
    with Bundle.open(path) as bundle:
        manifest = bundle.manifest
    variant = manifest.variant(variant_id)
    weight_bytes = sum(layer.weight_bytes for layer in variant.layers)
    return ModelSummary(
        name=f"{manifest.name} {variant.id}",
        format=variant.format,
        inputs=variant.inputs,
        outputs=variant.outputs,
        operators=dict(sorted(collections.Counter(layer.op for layer in variant.layers).items())),
        parameters=sum(_parameters(layer.weight_bytes, layer.dtype.itemsize_bytes) for layer in variant.layers),
        macs=sum(layer.macs for layer in variant.layers),
        weight_bytes=weight_bytes,
        peak_activation_bytes=variant.peak_activation_bytes,
        layers=variant.layers,
        support={target: {} for target in variant.targets},
        notes=variant.notes,
    )


def _parameters(weight_bytes: int, itemsize_bytes: int) -> int:
    return weight_bytes // itemsize_bytes


def _bundle_facts(path: Path) -> dict[str, JsonValue]:
    with Bundle.open(path) as bundle:
        manifest, report = bundle.manifest, bundle.report()
    rows = report.get("variants", []) if isinstance(report, dict) else []
    sizes = {row["id"]: row["bytes"] for row in rows if row.get("format") == "c"}  # of flash, not of text
    return {
        "source": to_plain(manifest.source),
        "edgert_version": manifest.edgert_version,
        "default_variant": manifest.default_variant,
        "variants": [
            {
                "id": variant.id,
                "format": variant.format,
                "precision": variant.precision,
                "bytes": sizes.get(variant.id, manifest.files[variant.path].size_bytes),
                "gate": variant.gate.value,
            }
            for variant in manifest.variants
        ],
    }


def _text(summary: ModelSummary, plain: Mapping[str, JsonValue], with_layers: bool) -> str:
    parts = [_head(summary)]
    if "variants" in plain:
        variants = [
            (v["id"], v["format"], v["precision"], format_bytes(v["bytes"]), v["gate"]) for v in plain["variants"]
        ]
        parts.append(format_table(("variant", "format", "precision", "size", "gate"), variants))
    operators = [(name, str(count)) for name, count in summary.operators.items()]
    parts.append(format_table(("operator", "count"), operators))
    support = [_support_row(target, reasons) for target, reasons in summary.support.items()]
    if support:
        parts.append(format_table(("target", "supported", "reason"), [row for rows in support for row in rows]))
    if summary.int8_payoff:
        parts.append(_payoff_table(summary.int8_payoff))
        parts += _payoff_lines(summary.int8_payoff)
    if with_layers:
        parts.append(_layer_table(summary))
    parts += [f"note: {note}" for note in summary.notes]
    return "\n\n".join(parts)


def _head(summary: ModelSummary) -> str:
    lines = [f"{summary.name} ({summary.format})"]
    lines += [f"input   {_port(spec)}" for spec in summary.inputs]
    lines += [f"output  {_port(spec)}" for spec in summary.outputs]
    memory = f"weights {format_bytes(summary.weight_bytes)}, "
    memory += f"activations at most {format_bytes(summary.peak_activation_bytes)}"
    lines.append(f"{format_count(summary.parameters)} parameters, {format_count(summary.macs)} MACs, {memory}")
    return "\n".join(lines)


def _port(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.dtype.value} {describe_shape(spec.shape)}"


def _support_row(target: str, reasons: Mapping[str, str]) -> list[tuple[str, str, str]]:
    if not reasons:
        return [(target, "yes", "")]
    return [(target, "no", f"{name}: {reason}") for name, reason in reasons.items()]


def _payoff_table(rows: Sequence[Int8Payoff]) -> str:
    cells = [
        (
            row.target,
            row.engine,
            row.answer.value,
            "" if row.ratio is None else f"{row.ratio:.2f}",
            "" if row.interval is None else f"{row.interval[0]:.2f} to {row.interval[1]:.2f}",
            row.basis.value,
        )
        for row in rows
    ]
    return format_table(("target", "engine", "will int8 pay?", "time int8/float", "interval", "rests on"), cells)


def _payoff_lines(rows: Sequence[Int8Payoff]) -> list[str]:
    """What decides, or why there is no ratio; said once where it holds for several."""
    by_text: dict[str, list[str]] = {}
    for row in rows:
        where = (
            row.engine if row.ratio is not None else row.target if "," in row.engine else f"{row.target} {row.engine}"
        )
        for text in (*row.decides, *([row.reason] if row.reason else [])):
            by_text.setdefault(text, []).append(where)
    return ["\n".join(f"{', '.join(names)}: {text}" for text, names in by_text.items())] if by_text else []


def _layer_table(summary: ModelSummary) -> str:
    rows = [
        (
            layer.name,
            layer.op,
            " ".join(describe_shape(shape) for shape in layer.output_shapes),
            format_count(layer.macs),
            format_bytes(layer.weight_bytes),
            format_bytes(layer.activation_bytes),
        )
        for layer in summary.layers
    ]
    return format_table(("layer", "operator", "output", "MACs", "weights", "activations"), rows)
