"""Empty virtual environments, filled by pip from outside: nothing is in them but what was asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TIME_LIMIT_S = 240

_LISTING = """
import importlib.metadata, json
print(json.dumps({found.metadata["Name"].lower(): found.version for found in importlib.metadata.distributions()}))
"""
_CLOSURE = """
import importlib.metadata, json, re, sys
wanted, waiting = set(), sys.argv[1:]
while waiting:
    name = waiting.pop().lower()
    if name in wanted:
        continue
    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        continue  # for another system or Python
    wanted.add(name)
    waiting += [re.match(r"[\\w.-]+", line).group() for line in lines if "extra ==" not in line]
print(json.dumps(sorted(wanted)))
"""


@dataclass(frozen=True, slots=True)
class Done:
    """How one command ended."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment without pip."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(self, *words: object, cwd: Path | None = None) -> Done:
        """Runs a command of the environment, which sees neither this repository nor the variables of this process."""
        command = [str(self.folder / "bin" / str(words[0])), *map(str, words[1:])]
        settings = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "LANG": os.environ.get("LANG", "C.UTF-8")}
        settings["EDGERT_RECORDS"] = str(self.folder / "records")  # the folder of this repository is not for tests
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=settings,
            cwd=cwd or self.folder,
            timeout=_TIME_LIMIT_S,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def script(self, text: str, *words: object) -> str:
        """Runs Python code that must succeed; returns what it printed."""
        done = self.run("python", "-I", "-c", text, *words)
        assert done.status == 0, done.stderr
        return done.stdout

    def distributions(self) -> dict[str, str]:
        """Names and versions of everything that is installed."""
        return dict(json.loads(self.script(_LISTING)))

    def requirements_of(self, *names: str) -> set[str]:
        """The named packages and all that they require, as far as it is installed."""
        return set(json.loads(self.script(_CLOSURE, *names)))


def make_environment(folder: Path, *requirements: object, python: Path | str = sys.executable) -> Environment:
    """Creates an empty environment and installs into it with this process's pip."""
    subprocess.run([str(python), "-m", "venv", "--without-pip", str(folder)], check=True, timeout=_TIME_LIMIT_S)
    made = Environment(folder)
    pip = [sys.executable, "-m", "pip", "--python", str(made.python), "--disable-pip-version-check", "-q", "install"]
    done = subprocess.run(
        [*pip, *map(str, requirements)], capture_output=True, text=True, check=False, timeout=_TIME_LIMIT_S
    )
    assert done.returncode == 0, done.stderr
    return made
