"""Measures cells that are not in the result file yet and prints the tables.

    python -m tests.bench.quantization --models kws resnet20 --peers onnxruntime nncf ai-edge --out peers.jsonl
    python -m tests.bench.quantization --models kws --edgert default,int8-symmetric --ablation --out edgert.jsonl

Needs the zoo (EDGERT_ZOO). Every finished cell is a line of the result file: an interrupted run goes on where it was.
Peers get environments of their own under --environments, made from tests/bench/peers/*.txt. Never part of CI.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.quantization.ablation import ablation_settings, ablation_table
from tests.bench.quantization.cells import EDGERT, TOOLS, Key, append_cell, make_cell, read_cells
from tests.bench.quantization.data import MODELS
from tests.bench.quantization.table import comparison_tables
from tests.bench.quantization.workspace import Workspace

SCRATCH = Path(tempfile.gettempdir()) / "edgert-quantization-bench"


def main() -> int:
    arguments = _parser().parse_args()
    workspaces = {name: Workspace(MODELS[name], arguments.work) for name in arguments.models}
    done, failed = read_cells([arguments.out]), 0
    for key in _wanted(arguments):
        if key in done and not arguments.again:
            continue
        start = time.monotonic()
        try:
            cell = make_cell(key, workspaces[key.model], arguments.environments)
        except (RuntimeError, ValueError) as error:
            failed += 1
            print(f"{key}: {error}", file=sys.stderr, flush=True)
            continue
        append_cell(arguments.out, cell)
        agree = 1.0 - len(cell.outcome.changed) / cell.outcome.n
        taken = time.monotonic() - start
        print(
            f"{key.model} {key.draw} {key.tool} {key.setting}: agree {agree:.4f}, {cell.seconds:.1f} s "
            f"({taken:.0f} s in all)",
            file=sys.stderr,
            flush=True,
        )
    cells = read_cells([arguments.out])
    print(comparison_tables(cells.values()))
    print(ablation_table(cells.values()))
    return int(failed > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["kws", "resnet20"])
    parser.add_argument("--peers", nargs="*", choices=[name for name in TOOLS if name != EDGERT], default=[])
    parser.add_argument("--settings", nargs="+", help="of the peers; default: each one's own list")
    parser.add_argument("--edgert", nargs="*", default=["default"], metavar="SETTING", help="see edgert_side.py")
    parser.add_argument("--ablation", action="store_true", help="each step of the chain off and on, each range method")
    parser.add_argument(
        "--skip", nargs="+", default=[], metavar="WORD", help="no setting of edgert with this word in it"
    )
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first-draw", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="measure finished cells again")
    parser.add_argument("--out", type=Path, default=Path("result.jsonl"))
    parser.add_argument("--work", type=Path, default=SCRATCH, help="prepared tensors")
    parser.add_argument("--environments", type=Path, default=SCRATCH / "environments")
    return parser


def _wanted(arguments: argparse.Namespace) -> Iterator[Key]:
    named = dict.fromkeys([*arguments.edgert, *(ablation_settings() if arguments.ablation else ())])
    ours = [name for name in named if not set(arguments.skip) & {word.lstrip("+-") for word in name.split(",")}]
    settings = {EDGERT: ours} | {name: arguments.settings or TOOLS[name].settings for name in arguments.peers}
    for model in arguments.models:
        for draw in range(arguments.first_draw, arguments.draws):
            for tool, names in settings.items():
                for setting in names:
                    yield Key(model, draw, tool, setting)


if __name__ == "__main__":
    raise SystemExit(main())
