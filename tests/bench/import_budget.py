"""Measures what importing edgert costs above numpy, in fresh interpreters.

    python tests/bench/import_budget.py [--rounds 15]

Rounds are interleaved, so that a busy computer is busy for all of them alike. Never part of CI; the budget of 50 ms is
also a test there (tests/layering), with the least of five runs.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUDGET_MS = 50.0
MODULES = ("edgert", "edgert.runtime", "edgert.runtime.worker", "edgert.cli")
SCRIPT = "import time, numpy; start = time.perf_counter(); import {}; print((time.perf_counter() - start) * 1000)"


def measure_import_ms(module: str) -> float:
    """Time of one import in a fresh interpreter that has numpy loaded already."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", SCRIPT.format(module)]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    times = {module: [] for module in MODULES}
    for _ in range(rounds):
        for module, measured in times.items():
            measured.append(measure_import_ms(module))
    print(f"{'above numpy, ms':24} {'median':>8} {'least':>8} {'most':>8}   ({rounds} fresh interpreters each)")
    for module, measured in times.items():
        print(f"{module:24} {statistics.median(measured):8.1f} {min(measured):8.1f} {max(measured):8.1f}")
    within = all(statistics.median(times[module]) <= BUDGET_MS for module in ("edgert", "edgert.runtime"))
    print("within" if within else "BEYOND", f"the budget of {BUDGET_MS:g} ms")
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
