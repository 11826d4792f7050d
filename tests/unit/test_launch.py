"""What starts a release: its folder, its code, its environment; and what is said where that cannot be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgert.onboard import launch
from edgert.onboard.folder import BoardFolder
from edgert.onboard.launch import NO_RELEASE, LaunchError, health_path, start_words
from edgert.onboard.releases import Releases
from tests.release_example import CODE, ENVIRONMENT, place_release

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="boards run Linux")
ID = "1" * 16
TELLS = "import json, os, sys\nprint(json.dumps([os.getcwd(), sys.executable, dict(os.environ)]))"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BoardFolder]:
    """Edgert's folder on a board, in a place with a blank; its memory is a folder of this test."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setattr(launch, "_SHARED_MEMORY", tmp_path / "shm")
    (tmp_path / "shm").mkdir()
    yield BoardFolder(tmp_path / "a board" / "edgert")


def test_a_release_starts_in_its_folder_with_its_code_and_environment(folder: BoardFolder) -> None:
    place_release(folder, "demo", ID, TELLS)
    start = start_words(Releases(folder, "demo"), {"HOME": "/home/pi"})
    assert start.release == folder.base / "apps/demo/releases" / ID
    assert start.words == [str(folder.environments / ENVIRONMENT / "bin/python"), "app.py"]
    assert start.environment["HOME"] == "/home/pi"
    assert start.environment["PYTHONPATH"] == str(folder.code / CODE)
    assert start.environment["EDGERT_RELEASE"] == ID
    assert start.environment["EDGERT_HEALTH_FILE"] == str(health_path(folder.base / "apps/demo"))


def test_the_launcher_becomes_the_program(folder: BoardFolder, tmp_path: Path) -> None:
    place_release(folder, "demo", ID, TELLS)
    runtime = tmp_path / "run" / "edgert-demo"
    runtime.mkdir(parents=True)
    own = {"RUNTIME_DIRECTORY": str(runtime), "PYTHONPATH": str(folder.base / "apps/demo/launcher")}
    words = [sys.executable, "-m", "edgert.onboard.launch", str(folder.base), "demo"]
    with subprocess.Popen(words, env={**os.environ, **own}, stdout=subprocess.PIPE, text=True) as process:
        where, python, environment = json.loads(process.communicate()[0])
    assert where == str(folder.base / "apps/demo/releases" / ID)
    assert python == str(folder.environments / ENVIRONMENT / "bin/python")
    assert environment["EDGERT_HEALTH_FILE"] == str(runtime / "health.json")


def test_no_release_is_a_status_of_its_own(folder: BoardFolder) -> None:
    words = [sys.executable, "-m", "edgert.onboard.launch", str(folder.base), "demo"]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (NO_RELEASE, "edgert: demo has no release to run\n")


def test_what_is_missing_is_named(folder: BoardFolder) -> None:
    place_release(folder, "demo", ID, TELLS)
    (folder.code / CODE).rename(folder.code / "gone")
    with pytest.raises(LaunchError, match=f"{ID} cannot be started: .*code/{CODE} is not on this board; deploy it"):
        start_words(Releases(folder, "demo"), {})
    (folder.base / "apps/demo/releases" / ID / "release.json").write_text("{}")
    with pytest.raises(LaunchError, match=f"{ID} cannot be started: a release that cannot be read"):
        start_words(Releases(folder, "demo"), {})
    (folder.base / "apps/demo/state.json").write_text("{")
    with pytest.raises(LaunchError, match=r"state\.json is damaged"):
        start_words(Releases(folder, "demo"), {})


def test_health_is_where_the_service_has_its_memory(folder: BoardFolder, tmp_path: Path) -> None:
    shared = health_path(folder.base / "apps/demo")
    assert shared.parents[1] == tmp_path / "shm" / f"edgert-{os.getuid()}"
    assert shared != health_path(tmp_path / "apps/demo")
    (tmp_path / "run" / "edgert-demo").mkdir(parents=True)
    assert health_path(folder.base / "apps/demo") == tmp_path / "run" / "edgert-demo" / "health.json"
    assert health_path(folder.base / "apps/other").parents[1] == shared.parents[1]


def test_a_start_forgets_the_health_of_the_one_before(folder: BoardFolder) -> None:
    place_release(folder, "demo", ID, TELLS)
    path = health_path(folder.base / "apps/demo")
    path.parent.mkdir(parents=True, mode=0o700)
    path.parent.parent.chmod(0o700)
    path.write_text("{}")
    start_words(Releases(folder, "demo"), {})
    assert path.parent.is_dir()
    assert not path.exists()


def test_a_folder_that_others_may_write_is_refused(folder: BoardFolder, tmp_path: Path) -> None:
    place_release(folder, "demo", ID, TELLS)
    shared = tmp_path / "shm" / f"edgert-{os.getuid()}"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(LaunchError, match="is of another user: remove it, or restart the board"):
        start_words(Releases(folder, "demo"), {})
    shared.rmdir()
    shared.write_text("a file")
    with pytest.raises(LaunchError, match="no place for the app's health"):
        start_words(Releases(folder, "demo"), {})
