"""How far a bundle's known answers on emulated ARM cores are from those of the conversion, as an app compares them.

    python tests/bench/known_answers.py net.edge ...

The emulator and the engines' arm64 wheels are those of tests/bench/arm. What it prints is exact; nothing is timed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
import edgert
from edgert.app.known_answers import check_known_answers
from edgert.bundle import Bundle
from edgert.errors import EdgertError
path = Path(sys.argv[1])
with Bundle.open(path) as bundle:
    variants = [variant.id for variant in bundle.manifest.variants if variant.format != "c"]
for variant in variants:
    try:
        with edgert.load(path, variant=variant, tuned=False) as session:
            print(variant, check_known_answers(path, session))
    except EdgertError as error:
        print(variant, error)
"""


def main() -> None:
    if not sys.argv[1:]:
        print(__doc__)
        return
    sys.path.insert(0, str(ROOT))
    from tests.bench.arm.machine import CORES, EMULATOR, prepare
    from tests.emulation.kinds import KINDS

    for core in CORES:
        with tempfile.TemporaryDirectory() as folder:
            machine = prepare(core, Path(folder) / "no-plugin", Path(folder))
            kind = KINDS[CORES[core].kind]
            python = machine.root / "usr/bin" / f"python{kind.suite.python}"
            command = [EMULATOR, "-L", str(machine.root), "-cpu", kind.cpu, str(python), "-c", PROGRAM]
            environment = {"PATH": "/usr/bin", "PYTHONPATH": f"{machine.site}:{ROOT}", "HOME": "/"}
            for bundle in sys.argv[1:]:
                done = subprocess.run([*command, bundle], env=environment, capture_output=True, text=True, check=True)
                print(f"{CORES[core].title}, {bundle}:\n{done.stdout}")


if __name__ == "__main__":
    main()
