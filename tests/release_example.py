"""A release of an app made by hand in a board's folder: a few lines of Python, no engine, no bundle that is one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edgert.onboard.folder import BoardFolder
from edgert.onboard.releases import Releases

CODE, ENVIRONMENT = "c" * 64, "e" * 16
_REPOSITORY = Path(__file__).resolve().parents[1]


def release_text(name: str, files: dict[str, str] | None = None) -> str:
    """Returns a release.json for `app.py`."""
    return json.dumps(
        {
            "schema": 1,
            "app": name,
            "files": files or {"app.py": "0" * 64, "model.edge": "0" * 64},
            "code": CODE,
            "environment": ENVIRONMENT,
            "bundle": "model.edge",
            "command": ["{python}", "app.py"],
        }
    )


def place_release(folder: BoardFolder, name: str, release: str, program: str) -> None:
    """Adds a release, and trusts it; its environment is this Python, its code this repository."""
    prepare_board(folder, name)
    releases = Releases(folder, name)
    with folder.staging("release") as place:
        made = place / "made"
        made.mkdir()
        (made / "app.py").write_text(program)
        (made / "release.json").write_text(release_text(name))
        releases.add(release, made)
    with releases.watching():
        releases.begin_trial(release)
        releases.confirm()


def prepare_board(folder: BoardFolder, name: str) -> None:
    """Makes what every release refers to, and the launcher of the app."""
    folder.code.mkdir(parents=True, exist_ok=True)
    if not (folder.code / CODE).exists():
        (folder.code / CODE).symlink_to(_REPOSITORY)
    python = folder.environments / ENVIRONMENT / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    if not python.is_symlink():
        python.symlink_to(sys.executable)
    launcher = folder.base / "apps" / name / "launcher"
    launcher.parent.mkdir(parents=True, exist_ok=True)
    if not launcher.is_symlink():
        launcher.symlink_to(f"../../code/{CODE}")
