"""What a laptop may ask of a board about apps: bring one, try it, go back, say how it is, take it away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgert.onboard.admitted import Version, note_admitted
from edgert.onboard.environments import Environment
from edgert.onboard.folder import BoardFolder, tell_step
from edgert.onboard.health import read_health
from edgert.onboard.launch import health_path
from edgert.onboard.manifest import Manifest, parse_manifest, read_manifest
from edgert.onboard.releases import ReleaseError, Releases
from edgert.onboard.services import Service, choose_service, ensure_linger
from edgert.onboard.store import add_release, set_launcher, stored_file
from edgert.onboard.trial import Limits, Trial, Verdict, settle

__all__ = ["BoardApps"]

_ADMISSION_S = 120.0

Body = dict[str, Any]  # Any: JSON values


class BoardApps:
    """The apps in edgert's folder.

    Args:
        folder: of edgert on the board.
        code: the folder that this edgert's board part was unpacked to.
    """

    def __init__(self, folder: BoardFolder, code: Path) -> None:
        self._folder, self._code = folder, code
        self.calls: dict[str, Callable[[Body], Body]] = {
            "prepare_app": self._prepare,
            "add_release": self._add,
            "try_release": self._try,
            "go_back": self._go_back,
            "app_status": self._status,
            "app_log": self._log,
            "remove_app": self._remove,
        }

    def remove_all(self) -> None:
        """Ends and removes every app.

        Raises:
            ReleaseError: somebody else is at one of them.
            OSError: something cannot be removed.
        """
        for name in self._names():
            self._remove({"app": name})

    def _prepare(self, body: Body) -> Body:
        """Says what will watch the app; `linger_command` is what a user must run first, or None."""
        releases = self._releases(body)
        service = self._service(releases)
        command = ensure_linger() if service.kind == "systemd" else None
        settle(releases, service)
        return {"service": service.kind, "linger_command": command, "code": self._code.name}

    def _add(self, body: Body) -> Body:
        text = str(body["manifest"]).encode()
        manifest = parse_manifest(text)
        try:
            version = self._admit(manifest)
            release = add_release(self._folder, text)
        except BaseException:
            self._folder.drop_files(set(manifest.files.values()))  # no release holds what was sent for this one
            raise
        if version is not None:
            standing = {path.name for path in (self._folder.base / "apps" / manifest.app / "releases").iterdir()}
            note_admitted(self._folder, manifest.app, release, version, standing)
        return {"release": release, "signer": None if version is None else version.signer}

    def _admit(self, manifest: Manifest) -> Version | None:
        """Asks the app's own environment, which can read bundles, whether this one is taken.

        Raises:
            ReleaseError: it is not; the text says why.
        """
        python = Environment(self._folder.environments / manifest.environment).python
        bundle = stored_file(self._folder, manifest.files[manifest.bundle])
        command = [str(python), "-m", "edgert.app.admission", str(self._folder.base), manifest.app, str(bundle)]
        own = {"PYTHONPATH": str(self._folder.code / manifest.code), "PYTHONNOUSERSITE": "1"}
        try:
            done = subprocess.run(
                command,
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_ADMISSION_S,
                check=False,
            )
            found = json.loads(done.stdout)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise ReleaseError(f"the bundle could not be checked on the board: {error}") from error
        if "error" in found:
            raise ReleaseError(str(found["error"]))
        return None if found["version"] is None else Version(**found["version"])

    def _try(self, body: Body) -> Body:
        return self._run_trial(self._releases(body), str(body["release"]), body["limits"])

    def _go_back(self, body: Body) -> Body:
        releases = self._releases(body)
        previous = releases.state().previous
        if previous is None or not releases.path(previous).is_dir():
            raise ReleaseError("there is no earlier release on this board to go back to")
        return self._run_trial(releases, previous, body["limits"])

    def _run_trial(self, releases: Releases, release: str, limits: Mapping[str, Any]) -> Body:
        service = self._service(releases)
        set_launcher(self._folder, releases, read_manifest(releases.path(release)).code)
        service.install()
        tell_step("service installed")
        verdict: Verdict = Trial(releases, service, Limits(**limits), self._folder.is_ending).run(release)
        if verdict.runs is None:
            releases.remove()
        return asdict(verdict)

    def _status(self, body: Body) -> Body:
        names = [str(body["app"])] if body.get("app") else self._names()
        return {"apps": [self._state_of(Releases(self._folder, name)) for name in names]}

    def _state_of(self, releases: Releases) -> Body:
        state, service = releases.state(), self._service(releases)
        settle(releases, service)
        health = read_health(health_path(releases.place))
        current = releases.current()
        return {
            "app": releases.name,
            "state": asdict(state),
            "service": asdict(service.status()),
            "health": None if health is None else asdict(health),
            "manifest": None if current is None else (current / "release.json").read_text(),
            "settings": None if current is None else _settings(current),
        }

    def _log(self, body: Body) -> Body:
        return {"text": self._service(self._releases(body, must_stand=True)).log(int(body["lines"]))}

    def _remove(self, body: Body) -> Body:
        releases = self._releases(body, must_stand=True)
        with releases.watching():
            self._service(releases).remove()
        releases.remove()
        shutil.rmtree(health_path(releases.place).parent, ignore_errors=True)
        return {"removed": releases.name}

    def _names(self) -> list[str]:
        found = self._folder.base / "apps"
        return sorted(path.name for path in found.iterdir() if path.is_dir()) if found.is_dir() else []

    def _releases(self, body: Body, *, must_stand: bool = False) -> Releases:
        releases = Releases(self._folder, str(body["app"]))
        if must_stand and not releases.place.is_dir():
            there = ", ".join(self._names()) or "none"
            raise ReleaseError(f"no app {releases.name!r} on this board; there is: {there}")
        return releases

    def _service(self, releases: Releases) -> Service:
        return choose_service(self._folder, releases.name, Path(sys.executable))


def _settings(release: Path) -> Body | None:
    """The app's settings, of which the laptop wants the page's port; None where the app has none of edgert's."""
    try:
        found = json.loads((release / "settings.json").read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
