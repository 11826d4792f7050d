"""The tables of docs/arm-instructions.md, from a record's cells."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from tests.bench.arm.counts import Counts
from tests.bench.arm.files import MODELS, OF_CLEANED, PLAIN_WINDOWS, PUBLISHED, QUANTIZE_STATIC
from tests.bench.arm.machine import CORES
from tests.bench.arm.records import Cell
from tests.bench.quantization.table import markdown

PLACE = "emulator, instructions"
ENGINES = {"onnx": "ONNX Runtime", "tflite": "LiteRT"}
PEERS = (("onnx-int8", QUANTIZE_STATIC), ("onnx-int8", OF_CLEANED), ("tflite-int8", PUBLISHED))
"""Ours, and what it must not exceed."""
CHOICES = (
    ("onnx-int8", "onnx-fp32"),
    ("tflite-int8", "tflite-fp32"),
    ("tflite-int8", "onnx-int8"),
    ("tflite-int8", PLAIN_WINDOWS),
)
"""Choices of edgert's own files that the counts compare."""
_COLUMNS = ("instructions", "of them multiply-add")

Found = Mapping[tuple[str, str, str], Counts]


def render(cells: Sequence[Cell], environment: Mapping[str, str]) -> str:
    """Returns Markdown: the tables with a sentence each."""
    found = {(cell.core, cell.model, cell.file): cell.counts for cell in cells}
    forms = {(cell.model, cell.file): cell.format for cell in cells}
    cores = [core for core in CORES if any(cell.core == core for cell in cells)]
    headings = [f"{CORES[core].title}: {column}" for core in cores for column in _COLUMNS]
    versions = ", ".join(f"{name} {environment[name]}" for name in ("onnxruntime", "litert", "numpy", "python"))
    parts = [
        f"{environment['emulator']}; {versions}; the last of {environment['inferences']} inferences, one thread. "
        "Instructions are those that the emulator executes, never a time; nothing here was measured on a board.",
        "edgert's int8 files and those of others; a ratio of at most 1.0000 is the goal:",
        markdown(_pair_header(cores, "other"), _pairs(PEERS, found, cores)),
        "Choices among edgert's own files: what the first executes, as a share of the second:",
        markdown(_pair_header(cores, "against"), _pairs(CHOICES, found, cores)),
        "Every file. *fmla*: multiply-adds of float vectors; *mlal*: of 8- or 16-bit vectors; *dot*: dot products of "
        "four 8-bit values for each of four sums:",
        markdown(("model", "file", "engine", *headings, "measured on"), _all(forms, found, cores)),
    ]
    return "\n\n".join(part.strip() if part.startswith("|") else textwrap.fill(part, 130) for part in parts) + "\n"


def exceeded(cells: Iterable[Cell]) -> list[str]:
    """Returns a line for every file of edgert that executes more than the other's."""
    found = {(cell.core, cell.model, cell.file): cell.counts for cell in cells}
    return [
        f"{CORES[core].title}, {model}: {ours} executes {found[core, model, ours].instructions:,} instructions, "
        f"{other} {counts.instructions:,}"
        for (core, model, file), counts in found.items()
        for ours, other in PEERS
        if file == other and (core, model, ours) in found
        if found[core, model, ours].instructions > counts.instructions
    ]


def _pair_header(cores: Sequence[str], other: str) -> tuple[str, ...]:
    return ("model", "edgert", other, *(f"{CORES[core].title}: ratio" for core in cores), "measured on")


def _pairs(pairs: Sequence[tuple[str, str]], found: Found, cores: Sequence[str]) -> Iterable[tuple[str, ...]]:
    for model, entry in MODELS.items():
        for first, second in pairs:
            ratios = [_ratio(found.get((core, model, first)), found.get((core, model, second))) for core in cores]
            if set(ratios) != {"-"}:
                yield (entry.title, f"`{first}`", _name(second), *ratios, PLACE)


def _all(forms: Mapping[tuple[str, str], str], found: Found, cores: Sequence[str]) -> Iterable[tuple[str, ...]]:
    for model, entry in MODELS.items():
        for (of_model, file), form in forms.items():
            if of_model == model:
                counts = [found.get((core, model, file)) for core in cores]
                cells = [text for each in counts for text in _cells(each)]
                yield (entry.title, _name(file), ENGINES[form], *cells, PLACE)


def _cells(counts: Counts | None) -> tuple[str, str]:
    if counts is None:
        return "-", "-"
    kinds = {"fmla": counts.fmla, "mlal": counts.mlal, "dot": counts.dot, "mmla": counts.mmla, "sve": counts.sve}
    # a few of another kind come from conversions at the edges of the network
    shown = [f"{count:,} {kind}" for kind, count in kinds.items() if count >= counts.instructions / 1000]
    return f"{counts.instructions:,}", ", ".join(shown) or "-"


def _ratio(first: Counts | None, second: Counts | None) -> str:
    return f"{first.instructions / second.instructions:.4f}" if first and second else "-"


def _name(file: str) -> str:
    return f"`{file}`" if "-" in file and " " not in file else file
