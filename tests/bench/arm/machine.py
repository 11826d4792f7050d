"""An emulated ARM core on this computer: Debian's arm64 Python with the engines' wheels, run by `qemu-aarch64`.

The emulator looks up every absolute path in a folder first (`-L`). That folder shows the tree of the emulated boards
and, in place of this computer's, the /proc/cpuinfo and /sys of a board with that core: engines choose their kernels by
them, and ONNX Runtime does not survive those of an x86 processor. Building the tree needs root (mmdebstrap); running
does not.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.arm.counts import Counts, parse_counts
from tests.bench.quantization.data import ROOT
from tests.emulation.facts import write_state, write_sys
from tests.emulation.kinds import KINDS
from tests.emulation.rootfs import cached_rootfs

EMULATOR = "qemu-aarch64"
WHEELS = Path(__file__).with_name("wheels.txt")
_PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_27", "manylinux_2_28")
_SHOWN = ("usr", "lib", "bin", "etc")
_TIME_LIMIT_S = 600.0


@dataclass(frozen=True)
class Core:
    """`kind`: the board of tests/emulation whose core it is."""

    title: str
    kind: str


CORES = {"a72": Core("Cortex-A72", "pi4"), "a76": Core("Cortex-A76", "pi5")}


@dataclass(frozen=True)
class Machine:
    """One core, ready to run: `root` is the folder for `-L`, `site` holds the wheels."""

    core: str
    root: Path
    site: Path
    plugin: Path

    def count(self, model: Path, form: str, inferences: int, log: Path) -> tuple[dict[int, Counts], dict[str, Any]]:
        """Runs `inference.py` and returns counts by mark, and what it said of versions and the engine.

        Raises:
            RuntimeError: it failed; with the end of what it said.
        """
        log.unlink(missing_ok=True)
        script = Path(__file__).with_name("inference.py")
        command = [*self._emulator(log), script, model, form, str(inferences)]
        # nothing else of this computer's environment: the length of the variables moves the stack
        environment = {"PATH": "/usr/bin", "PYTHONPATH": f"{self.site}:{ROOT}", "PYTHONHASHSEED": "0", "HOME": "/"}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{model.name} on {self.core}: exit status {done.returncode}\n{done.stderr[-2000:]}")
        return parse_counts(log.read_text()), json.loads(done.stdout.splitlines()[-1])

    def _emulator(self, log: Path) -> Sequence[str | Path]:
        kind = KINDS[CORES[self.core].kind]
        python = self.root / "usr/bin" / f"python{kind.suite.python}"
        return [_found(EMULATOR), "-L", self.root, "-cpu", kind.cpu, "-plugin", f"{self.plugin},out={log}", python]


def prepare(core: str, plugin: Path, folder: Path) -> Machine:
    """Makes the folder that the emulator shows as the core's computer.

    Raises:
        FileNotFoundError: the emulator or mmdebstrap is not installed.
        subprocess.CalledProcessError: packages or wheels could not be had.
    """
    _found(EMULATOR)
    kind = KINDS[CORES[core].kind]
    tree, root = cached_rootfs(kind.suite), folder / core
    root.mkdir()
    for name in _SHOWN:
        (root / name).symlink_to(tree / name)
    write_sys(kind, root / "sys")
    write_state(kind, root / "state")
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").symlink_to(root / "state/proc/cpuinfo")
    return Machine(core, root, _wheels(kind.suite.python), plugin)


def emulator_version() -> str:
    done = subprocess.run([_found(EMULATOR), "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def _wheels(python: str) -> Path:
    """Returns the folder of the unpacked arm64 wheels, kept in the user's cache."""
    name = hashlib.sha256(f"{python}\n{WHEELS.read_text()}".encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgert" / "bench-arm"
    site = cache / name
    if site.is_dir():
        return site
    building = cache / f".{name}"
    shutil.rmtree(building, ignore_errors=True)
    digits = python.replace(".", "")
    options = ["--disable-pip-version-check", "-q", "--no-compile", "--target", str(building), "-r", str(WHEELS)]
    options += ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    options += [word for abi in (f"cp{digits}", "abi3", "none") for word in ("--abi", abi)]
    options += [word for name in _PLATFORMS for word in ("--platform", f"{name}_aarch64")]
    subprocess.run([sys.executable, "-m", "pip", "install", *options], check=True)
    building.rename(site)
    return site


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise FileNotFoundError(f"{program} is not installed (Debian: qemu-user, mmdebstrap)")
    return path
