"""The tables of docs/microcontrollers.md, from a record's cells and peers.toml."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import tomllib

from tests.bench.microcontrollers.boards import COMPARED, CORES, MODELS
from tests.bench.microcontrollers.measure import Cell, Figures, LayerFigures
from tests.bench.quantization.table import markdown

PEER, OTHER = "TFLM + CMSIS-NN", "bakeNN 1.0.0"
AGAINST = (
    "core, model",
    "edgert, instructions",
    PEER,
    "ratio",
    "goal (must be below)",
    OTHER,
    "modelled cycles",
    "exact",
    "measured on",
)
MEMORY = (
    "core, model",
    "code of the model",
    "with firmware",
    "weights and constants",
    "of payload",
    "arena",
    "data, bss",
    "peak stack",
    "RAM",
    "limit",
    "largest inner loop",
    "generated in, CPU",
    "measured on",
)
CORE_TABLE = ("model", *(entry.title for entry in CORES.values()), "measured on")
KERNELS = (
    "model",
    "kernel",
    "layers",
    "MACs",
    "instructions",
    "modelled cycles",
    "cycles per MAC",
    "flash read: code",
    "flash read: constants",
    "measured on",
)
PLACE = "emulator, instructions"
HEADLINE = ("model", f"M4: instructions, of {PEER}", f"M55: instructions, of {PEER}", "M4: RAM, code", "measured on")
RECORDS = ("model", "modelled, edgert", "measured, published record", "ratio", "measured on")


@cache
def peers() -> dict[str, Any]:  # Any: TOML
    return tomllib.loads(Path(__file__).with_name("peers.toml").read_text())


def render(cells: Sequence[Cell], environment: Mapping[str, str]) -> str:
    """Returns Markdown: the tables with a sentence each."""
    found = {(cell.core, cell.model): cell.figures for cell in cells if cell.figures is not None}
    refused = [cell for cell in cells if cell.figures is None]
    limits = peers()["limits"]
    parts = [
        f"{environment['compiler']}, `{environment['options']}`; {environment['emulator']}, "
        f"`{environment['emulator_options']}`. Instructions are those QEMU executes, never a time; nothing here was "
        "measured on a board. M4 is `qemu-mps2-an386`, M55 `qemu-mps3-an547`. *exact*: samples whose output has the "
        "bytes of TensorFlow Lite Micro.",
        f"Instructions of one inference. {PEER}: {peers()[PEER]['source']}. {OTHER}: {peers()[OTHER]['source']}.",
        markdown(AGAINST, _against_rows(found)),
        "Bytes of flash and RAM in the firmware that `edgert run` uses. Payload: weights, biases and multipliers that "
        f"any generator must keep. An inner loop may have {limits['inner_loop_bytes']:,} bytes, code with firmware "
        f"{limits['code_bytes']:,}.",
        markdown(MEMORY, _memory_rows(found)),
        "Instructions on every core:",
        markdown(CORE_TABLE, _core_rows(found, refused)),
        "Modelled cycles of a Cortex-M4, by kernel: executed instructions weighted by Arm's table of timings, without "
        "wait states and stalls, so a board takes more (rules: `tests/bench/microcontrollers/cycles.py`), and what "
        "they read from flash, in bytes.",
        markdown(KERNELS, _kernel_rows(found)),
        f"Cycles **modelled against measured, not comparable as a ranking**. {peers()['published records']['source']}.",
        markdown(RECORDS, _record_rows(found)),
    ]
    return "\n\n".join(part.strip() if part.startswith("|") else _wrapped(part) for part in parts) + "\n"


def render_headline(cells: Sequence[Cell]) -> str:
    """Returns Markdown: the README's table."""
    found = {(cell.core, cell.model): cell.figures for cell in cells if cell.figures is not None}
    return markdown(HEADLINE, _headline_rows(found))


def ratio_to_peer(core: str, model: str, figures: Figures) -> float | None:
    of_core = peers()[PEER].get(core, {})
    return figures.instructions / of_core[MODELS[model].data] if MODELS[model].data in of_core else None


Found = Mapping[tuple[str, str], Figures]


def _against_rows(found: Found) -> Iterable[tuple[str, ...]]:
    limits = peers()["limits"]
    for core, model, figures in _of_cores(found, COMPARED):
        ratio, data = ratio_to_peer(core, model, figures), MODELS[model].data
        goal = limits["goal"][core].get(model)
        yield (
            _pair(core, model),
            f"{figures.instructions:,}",
            f"{peers()[PEER][core][data]:,}",
            "-" if ratio is None else f"{ratio:.3f}",
            f"{goal:.2f} ({limits['must_be_below'][core]:.2f})" if goal else "-",
            _other(core, data),
            f"{figures.cycles:,}" if figures.cycles else "-",
            f"{figures.exact_samples} of {figures.samples}",
            PLACE,
        )


def _memory_rows(found: Found) -> Iterable[tuple[str, ...]]:
    limits = peers()["limits"]
    for core, model, figures in _of_cores(found, COMPARED):
        payload, ram = limits["payload_bytes"].get(MODELS[model].data), limits["ram_bytes"].get(model)
        yield (
            _pair(core, model),
            f"{figures.model_code_bytes:,}",
            f"{figures.code_bytes:,}",
            f"{figures.constant_bytes:,}",
            f"{figures.constant_bytes / payload:.3f}" if payload else "-",
            f"{figures.arena_bytes:,}",
            f"{figures.data_bss_bytes:,}",
            f"{figures.stack_bytes:,}",
            f"{figures.ram_bytes:,}",
            f"{ram:,}" if ram else "-",
            f"{figures.inner_loop_bytes:,}",
            f"{figures.generation_s:.1f} s",
            PLACE,
        )


def _core_rows(found: Found, refused: Sequence[Cell]) -> Iterable[tuple[str, ...]]:
    no = {(cell.core, cell.model) for cell in refused}
    for model, entry in MODELS.items():
        cells = []
        for core in CORES:
            figures = found.get((core, model))
            wrong = "" if figures is None or figures.exact_samples == figures.samples else " WRONG"
            missing = "too big" if (core, model) in no else "-"
            cells.append(missing if figures is None else f"{figures.instructions:,}{wrong}")
        if set(cells) - {"-", "too big"}:
            yield (entry.title, *cells, PLACE)


def _kernel_rows(found: Found) -> Iterable[tuple[str, ...]]:
    for _, model, figures in _of_cores(found, CORES):
        for kernel, layers in _by_kernel(figures.layers).items():
            macs, cycles = sum(layer.macs for layer in layers), sum(layer.cost.cycles for layer in layers)
            yield (
                MODELS[model].title,
                f"`{kernel}`",
                str(len(layers)),
                f"{macs:,}",
                f"{sum(layer.cost.instructions for layer in layers):,}",
                f"{cycles:,}",
                f"{cycles / macs:.2f}" if macs else "-",
                f"{sum(layer.cost.code_bytes_read for layer in layers):,}",
                f"{sum(layer.cost.data_bytes_read for layer in layers):,}",
                PLACE,
            )


def _record_rows(found: Found) -> Iterable[tuple[str, ...]]:
    for model, cycles in peers()["published records"]["cycles"].items():
        figures = found.get(("m4", model))
        if figures is not None and figures.cycles:
            ratio = f"{figures.cycles / cycles:.2f}"
            yield (model, f"{figures.cycles:,}", f"{cycles:,}", ratio, PLACE)


def _headline_rows(found: Found) -> Iterable[tuple[str, ...]]:
    for model, entry in MODELS.items():
        pair = [found.get((core, model)) for core in COMPARED]
        if pair[0] is None or pair[1] is None:
            continue
        cells = []
        for core, figures in zip(COMPARED, (pair[0], pair[1]), strict=True):
            ratio = ratio_to_peer(core, model, figures)
            cells.append(f"{figures.instructions:,}" + ("" if ratio is None else f", {ratio:.2f}x"))
        sizes = f"{pair[0].ram_bytes:,}, {pair[0].model_code_bytes:,} bytes"
        yield (entry.title, *cells, sizes, PLACE)


def _of_cores(found: Found, cores: Iterable[str]) -> Iterable[tuple[str, str, Figures]]:
    return [(core, model, found[core, model]) for core in cores for model in MODELS if (core, model) in found]


def _by_kernel(layers: Iterable[LayerFigures]) -> dict[str, list[LayerFigures]]:
    kernels: dict[str, list[LayerFigures]] = {}
    for layer in layers:
        kernels.setdefault(layer.kernel, []).append(layer)
    return kernels


def _other(core: str, data: str) -> str:
    found = peers()[OTHER].get(core, {}).get(data)
    return f"{found:,}" if found else "-"


def _pair(core: str, model: str) -> str:
    return f"{CORES[core].title}, {MODELS[model].title}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 130, break_long_words=False, break_on_hyphens=False)
