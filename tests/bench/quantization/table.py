"""Tables of docs/quantize.md from a result file.

python -m tests.bench.quantization.table result.jsonl [more.jsonl] --write docs/quantize.md
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.bench.quantization.cells import EDGERT, Cell, Key, read_cells
from tests.bench.quantization.compare import Interval, interval_of_agree, interval_of_difference, pooled_agree
from tests.bench.quantization.data import MODELS

HEADER = (
    "tool",
    "setting",
    "agree (95 % interval)",
    "least and most of a draw",
    "agree, centre views",
    "harmful / changed",
    "mean KL",
    "top-1, %",
    "least seconds",
    "peak, MB",
    "n, draws",
    "measured on",
)
DIFFERENCES = ("model", "edgert", "against", "difference of agree (95 % interval)", "n, draws", "measured on")
Group = Mapping[int, Cell]
Groups = dict[tuple[str, str], dict[int, Cell]]

# schemes that are not compared with plain W8A8
_SYMMETRIC = ("symmetric", "symmetric-percentile")
_NARROW, _OURS_SYMMETRIC = "int8x4", "int8-symmetric"


def comparison_tables(cells: Iterable[Cell]) -> str:
    """Returns Markdown: a table per model, best first, then what edgert gains over the best peer of each kind."""
    kept = list(cells)
    parts = []
    for model in MODELS:
        groups = _shown(group_cells(cell for cell in kept if cell.key.model == model))
        if groups:
            parts.append(f"{_title(groups)}\n\n{markdown(HEADER, _rows(groups))}")
    return "\n".join([*parts, markdown(DIFFERENCES, _differences(kept))])


def group_cells(cells: Iterable[Cell]) -> Groups:
    """Returns the draws of each (tool, setting)."""
    groups: Groups = {}
    for cell in cells:
        groups.setdefault((cell.key.tool, cell.key.setting), {})[cell.key.draw] = cell
    return groups


def best_peer(groups: Mapping[tuple[str, str], Group], *, symmetric: bool = False) -> tuple[str, str] | None:
    """Returns the peer and setting of highest pooled agreement among those measured in most draws, or None."""
    peers = {key: draws for key, draws in groups.items() if key[0] != EDGERT and (key[1] in _SYMMETRIC) == symmetric}
    most = max((len(draws) for draws in peers.values()), default=0)
    full = {key: agree_of(draws) for key, draws in peers.items() if len(draws) == most}
    return max(full, key=lambda key: full[key]) if full else None


def agree_of(draws: Group) -> float:
    """Agreement pooled over draws."""
    return pooled_agree([cell.rows() for cell in draws.values()])


def format_interval(interval: Interval, *, signed: bool = False) -> str:
    """Returns `0.981 (0.975 to 0.986)`."""
    form = "+.4f" if signed else ".4f"
    return f"{interval.value:{form}} ({interval.low:{form}} to {interval.high:{form}})"


def seconds(cells: Sequence[Cell]) -> str:
    """The least over draws: what the load of a shared machine adds is no property of a tool."""
    return f"{min(cell.seconds for cell in cells):.1f}"


def name_of(setting: str, cells: Sequence[Cell]) -> str:
    """Returns the setting and what the tool noted in any draw."""
    notes = sorted({cell.note for cell in cells if cell.note})
    return f"`{setting}`" + (f" ({', '.join(notes)})" if notes else "")


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table with a final line end."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(groups: Groups) -> Groups:
    """Every peer, and edgert's settings of several draws, or of most: the ablation has a table of its own."""
    several = min(2, max((len(draws) for (tool, _), draws in groups.items() if tool == EDGERT), default=0))
    return {key: draws for key, draws in groups.items() if key[0] != EDGERT or len(draws) >= several}


def _title(groups: Mapping[tuple[str, str], Group]) -> str:
    cell = next(iter(next(iter(groups.values())).values()))
    model, outcome = MODELS[cell.key.model], cell.outcome
    top1 = 100.0 * outcome.float_correct / outcome.labelled
    views = f", {model.views} views of each" if model.views > 1 else ""
    return (
        f"**{model.name}**: float top-1 {top1:.1f} % (draw {cell.key.draw}); "
        f"{outcome.labelled} samples judge a draw{views}"
    )


def _rows(groups: Mapping[tuple[str, str], Group]) -> list[tuple[str, ...]]:
    order = sorted(groups, key=lambda key: -agree_of(groups[key]))
    return [_row(key, groups[key]) for key in order]


def _row(key: tuple[str, str], draws: Group) -> tuple[str, ...]:
    cells = list(draws.values())
    outcomes = [cell.outcome for cell in cells]
    single = [pooled_agree([cell.rows()]) for cell in cells]
    peaks = [cell.peak_mb for cell in cells if cell.peak_mb is not None]
    right, labelled = sum(o.correct for o in outcomes), sum(o.labelled for o in outcomes)
    return (
        key[0],
        name_of(key[1], cells),
        format_interval(interval_of_agree([cell.rows() for cell in cells])),
        f"{min(single):.4f}, {max(single):.4f}",
        f"{pooled_agree([cell.centre() for cell in cells]):.4f}",
        f"{sum(len(o.harmful) for o in outcomes)} / {sum(len(o.changed) for o in outcomes)}",
        f"{np.mean([o.kl for o in outcomes]):.4f}",
        f"{100.0 * right / labelled:.1f}",
        seconds(cells),
        f"{max(peaks):.0f}" if peaks else "-",
        f"{sum(o.n for o in outcomes)}, {len(cells)}",
        "this x86",
    )


def _differences(cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    rows = []
    for model in MODELS:
        groups = _shown(group_cells(cell for cell in cells if cell.key.model == model))
        for key, draws in groups.items():
            if key[0] != EDGERT:
                continue
            peer = best_peer(groups, symmetric=_OURS_SYMMETRIC in key[1].split(","))
            paired = sorted(draws.keys() & groups[peer].keys()) if peer else []
            if peer is None or not paired or _NARROW in key[1].split(","):
                continue
            ours, theirs = ([group[draw].rows() for draw in paired] for group in (draws, groups[peer]))
            difference = format_interval(interval_of_difference(ours, theirs), signed=True)
            n = f"{sum(len(row.agree) for row in ours)}, {len(paired)}"
            rows.append((model, f"`{key[1]}`", f"{peer[0]} `{peer[1]}`", difference, n, "this x86"))
    return rows


def replace_block(text: str, name: str, block: str) -> str:
    """Returns the page with what stands between the two comments of `name` replaced.

    Raises:
        ValueError: the page has no such comments.
    """
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no block {name!r}")
    return f"{before}{begin}\n{block}\n{end}{after}"


def main() -> None:
    from tests.bench.quantization.ablation import ablation_table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--write", type=Path, help="page whose blocks are replaced")
    arguments = parser.parse_args()
    cells: dict[Key, Cell] = read_cells(arguments.results)
    blocks = {"peers": comparison_tables(cells.values()), "ablation": ablation_table(cells.values())}
    if arguments.write is None:
        print("\n".join(blocks.values()))
        return
    page = arguments.write.read_text()
    for name, block in blocks.items():
        page = replace_block(page, name, block)
    arguments.write.write_text(page)


if __name__ == "__main__":
    main()
