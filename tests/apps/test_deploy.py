"""`edgert deploy` and what belongs to it, on a board that is this computer: what goes wrong, goes back by itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apps.boards import APP, SOURCE, changed_bundle, deploy, outcome, plain_bundle, ready_board
from tests.native_board import NAME, NativeBoard, await_that, make_native_board


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def prepared(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeBoard]:
    board = make_native_board(tmp_path_factory.mktemp("board"))
    try:
        yield ready_board(board, bundle)
    finally:
        board.cut_power()


@pytest.fixture
def board(prepared: NativeBoard) -> Iterator[NativeBoard]:
    """A board without apps; afterwards none is left."""
    yield prepared
    trust = prepared.home / ".config/edgert"
    shutil.rmtree(trust, ignore_errors=True)
    (prepared.folder / "bin/ssh").unlink(missing_ok=True)
    prepared.edgert("undeploy", "--device", NAME)
    shutil.rmtree(prepared.base / "admitted", ignore_errors=True)
    assert not [words for words in prepared.processes().values() if "app.py" in words]


def app_on(board: NativeBoard) -> Any:  # Any: JSON
    """What the board says of its only app, healthy or not."""
    (app,) = board.edgert("status", "--device", NAME, "--json").json["apps"]
    return app


def test_from_nothing_to_gone(board: NativeBoard, bundle: Path) -> None:
    first = outcome(deploy(board, "--bundle", bundle))
    assert first["outcome"] == "deployed", first["reason"]
    assert first["health"]["known_answers"]["samples"] == 2
    app = app_on(board)
    assert (app["app"], app["state"]["trusted"]) == (APP, first["release"])
    assert app["service"]["is_ready"]
    assert "plain_service" in app["service"]["starts_at_boot_reason"]
    assert "page: http://127.0.0.1:" in board.json("logs", "--device", NAME)["text"]
    assert outcome(deploy(board, "--bundle", bundle))["outcome"] == "unchanged"

    second = outcome(deploy(board, "--bundle", bundle, "--set", "top=2"))
    assert (second["outcome"], second["runs"]) == ("deployed", second["release"])
    back = board.json("rollback", "--device", NAME, "--alive-s", "0.5")
    assert (back["outcome"], back["runs"]) == ("deployed", first["release"])
    assert len(list(board.base.glob(f"apps/{APP}/releases/*"))) == 2

    board.json("undeploy", "--device", NAME)
    assert board.edgert("status", "--device", NAME).out.splitlines()[-1].split() == [NAME, "no", "apps"]
    assert not [words for words in board.processes().values() if words]
    assert not list(board.base.glob("apps/*"))
    assert not list(board.base.glob("files/*"))


def test_a_bundle_alone_is_for_the_app_that_is_there(board: NativeBoard, bundle: Path, tmp_path: Path) -> None:
    done = board.edgert("deploy", bundle, "--device", NAME, "--json")
    assert (done.status, outcome(done)["outcome"]) == (1, "refused")
    assert "no app was deployed there" in outcome(done)["reason"]
    assert outcome(deploy(board, "--bundle", bundle))["outcome"] == "deployed"
    slow = changed_bundle(Path(shutil.copy(bundle, tmp_path / "net.edge")), "slow.edge", "slow")
    words = ("--device", NAME, "--alive-s", "0.5", "--slower", "1000", "--json")
    found = outcome(board.edgert("deploy", slow, *words))
    assert found["outcome"] == "deployed", found["reason"]
    app = app_on(board)
    assert app["settings"]["rate"] == 40  # the app's own settings stayed


BREAKS = """
import edgert.app.loop

def broken(*_):
    raise RuntimeError("the lens fell off")

edgert.app.loop.Loop._process = broken

"""
MAIN = 'if __name__ == "__main__"'


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("weights", "the model's answers are wrong: output "),
        ("slow", r" ms, allowed are .* ms \(1.5 times the release before\)"),
        ("limit", r"too slow: 95 % of inferences within .* ms, allowed are 0.0001 ms \(max_p95_ms\)"),
        ("crash", "the lens fell off"),
        ("camera", "needs rpicam-vid"),
    ],
)
def test_what_is_not_healthy_goes_back_by_itself(
    board: NativeBoard, bundle: Path, tmp_path: Path, kind: str, reason: str
) -> None:
    before = outcome(deploy(board, "--bundle", bundle))
    source, words, own = SOURCE, [], Path(shutil.copy(bundle, tmp_path / "net.edge"))
    if kind in {"weights", "slow"}:
        own, words = changed_bundle(own, f"{kind}.edge", kind), ["--slower", "1.5"]
    elif kind == "crash":
        source = tmp_path / APP
        shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
        text = (
            (source / "app.py")
            .read_text()
            .replace('\nif __name__ == "__main__"', BREAKS + '\nif __name__ == "__main__"')
        )
        (source / "app.py").write_text(text)
    else:
        words = {"limit": ["--max-p95-ms", "0.0001", "--force"], "camera": ["--set", "input=rpicam"]}[kind]
    done = deploy(board, "--bundle", own, *words, what=source)
    found = outcome(done)
    assert done.status == 1
    assert found["outcome"] == "rolled-back", found["reason"]
    assert re.search(reason, str(found["reason"])), found["reason"]
    assert found["runs"] == before["release"]
    app = app_on(board)
    assert app["health"]["release"] == before["release"]
    assert app["health"]["is_healthy"]
    assert app["state"]["trial"] is None


def test_a_first_release_that_fails_leaves_nothing(board: NativeBoard, bundle: Path) -> None:
    done = deploy(board, "--bundle", bundle, "--set", "input=rpicam")
    assert (done.status, outcome(done)["outcome"], outcome(done)["runs"]) == (1, "failed", None)
    assert not list(board.base.glob("apps/*"))
    assert not [words for words in board.processes().values() if words]


def sign(bundle: Path, key: Path, board: NativeBoard, release: int) -> Path:
    output = bundle.with_name(f"{release}-{bundle.name}")
    board.json("sign", bundle, "--key", key, "--release", release, "-o", output)
    return output


@pytest.fixture
def key(board: NativeBoard, tmp_path: Path) -> Path:
    """A key that the board trusts."""
    path = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    trust = board.home / ".config/edgert/allowed_signers"
    trust.parent.mkdir(parents=True)
    trust.write_text(f'me@example.com namespaces="edgert" {path.with_suffix(".pub").read_text()}')
    return path


def test_a_board_that_trusts_keys_takes_what_they_signed(
    board: NativeBoard, bundle: Path, key: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copy(bundle, tmp_path / "net.edge"))
    refused = deploy(board, "--bundle", own)
    assert (refused.status, outcome(refused)["outcome"]) == (1, "refused")
    assert "unsigned" in str(outcome(refused)["reason"])
    first = outcome(deploy(board, "--bundle", sign(own, key, board, 5)))
    assert first["outcome"] == "deployed", first["reason"]
    newer = outcome(deploy(board, "--bundle", sign(own, key, board, 7)))
    assert newer["outcome"] == "deployed", newer["reason"]
    older = outcome(deploy(board, "--bundle", sign(own, key, board, 6)))
    assert older["outcome"] == "refused", older["reason"]
    assert "a downgrade: it is release 6, and this board has already seen release 7" in str(older["reason"])
    back = board.json("rollback", "--device", NAME, "--alive-s", "0.5")  # verified here before
    assert back["runs"] == first["release"]
    board.json("undeploy", "--device", NAME)
    assert "a downgrade" in str(outcome(deploy(board, "--bundle", sign(own, key, board, 6)))["reason"])


def test_what_was_tampered_with_never_reaches_the_runtime(
    board: NativeBoard, bundle: Path, key: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copy(bundle, tmp_path / "net.edge"))
    good, wrong = sign(own, key, board, 5), sign(changed_bundle(own, "wrong.edge", "weights"), key, board, 6)
    with zipfile.ZipFile(good) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents["manifest.json"] = contents["manifest.json"].replace(b'"release": 5', b'"release": 9')
    with zipfile.ZipFile(good, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    found = outcome(deploy(board, "--bundle", good))
    assert found["outcome"] == "refused", found["reason"]
    assert "tampered" in str(found["reason"])
    assert not list(board.base.glob("apps/*/releases/*"))
    again = outcome(deploy(board, "--bundle", wrong))  # signed rightly, but not the model that was converted
    assert (again["outcome"], again["runs"]) == ("failed", None)
    assert "the model's answers are wrong" in str(again["reason"])


def test_a_board_whose_openssh_cannot_tell_takes_nothing(
    board: NativeBoard, bundle: Path, key: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copy(bundle, tmp_path / "net.edge"))
    old = board.folder / "bin/ssh"
    old.write_text("#!/bin/sh\necho 'OpenSSH_8.0p1, OpenSSL 1.1.1' >&2\n")
    old.chmod(0o755)
    found = outcome(deploy(board, "--bundle", sign(own, key, board, 5)))
    assert found["outcome"] == "refused", found["reason"]
    assert "ssh-keygen of OpenSSH 8.1 or newer" in str(found["reason"])


def test_a_laptop_that_goes_away_in_the_middle(board: NativeBoard, bundle: Path) -> None:
    before = outcome(deploy(board, "--bundle", bundle))
    words = ["--bundle", bundle, "--set", "top=3", "--alive-s", "60"]
    command = [sys.executable, "-m", "edgert", "deploy", SOURCE, "--device", NAME, "--offline", *words]
    running = subprocess.Popen(list(map(str, command)), env=board.environment, stdout=subprocess.DEVNULL)
    state = board.base / f"apps/{APP}/state.json"
    await_that(lambda: json.loads(state.read_text())["trial"] is not None, "no trial begins")
    running.kill()
    running.wait()
    await_that(lambda: json.loads(state.read_text())["trial"] is None, "the trial does not end")
    app = app_on(board)
    assert app["state"]["trusted"] == before["release"]
    await_that(
        lambda: app_on(board)["health"]["release"] == before["release"],
        "the release before does not run",
    )


def test_a_watcher_that_is_killed(board: NativeBoard, bundle: Path) -> None:
    before = outcome(deploy(board, "--bundle", bundle))
    words = ["--bundle", bundle, "--set", "top=3", "--alive-s", "60"]
    command = [sys.executable, "-m", "edgert", "deploy", SOURCE, "--device", NAME, "--offline", *words]
    running = subprocess.Popen(list(map(str, command)), env=board.environment, stdout=subprocess.DEVNULL)
    state = board.base / f"apps/{APP}/state.json"
    await_that(lambda: json.loads(state.read_text())["trial"] is not None, "no trial begins")
    (server,) = [number for number, line in board.processes().items() if "-c" in line and "-I" in line]
    os.kill(server, signal.SIGKILL)
    running.wait()
    app = app_on(board)  # which puts it right
    assert (app["state"]["trusted"], app["state"]["trial"]) == (before["release"], None)
    await_that(
        lambda: app_on(board)["health"]["release"] == before["release"],
        "the release before does not run",
    )
