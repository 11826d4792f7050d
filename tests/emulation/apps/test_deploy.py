"""From a bundle to a live page in a browser in one command, on an emulated Raspberry Pi 5; and what does not fit."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests import app_example
from tests.apps.boards import changed_bundle, plain_bundle
from tests.apps.browsing import browser, wait_for
from tests.emulation import session
from tests.emulation.board import EmulatedBoard
from tests.emulation.laptop import Laptop

__all__ = ["browser"]  # a fixture

pytestmark = pytest.mark.emulation

APP = app_example.ROOT / "apps/image_classify"
SLOW = (
    *("--set", "input=synthetic", "--set", "rate=2", "--set", "energy=none", "--set", "threads=1"),
    *("--set", "size=320x240", "--ready-s", "120", "--alive-s", "2", "--slower", "20", "--json"),
)
"""Everything takes long in an emulator, and how long says nothing."""
DEPLOY = ("deploy", APP, "--device", "pi", "--offline", *SLOW)


def deploy(laptop: Laptop, *words: object) -> session.Done:
    return session.edgert(laptop, *DEPLOY, *words, timeout_s=280.0, EDGERT_SILENCE_S="60")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def board(shared_board: Any) -> EmulatedBoard:
    found: EmulatedBoard = shared_board("pi5")
    return found


@pytest.mark.browser
def test_a_page_in_one_command_and_what_does_not_fit(
    board: EmulatedBoard, laptop: Laptop, bundle: Path, browser: Any, tmp_path: Path
) -> None:
    session.add(laptop, board)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ("--bundle", bundle, "--set", f"port={port}", "--open")
    running = session.start(laptop, *DEPLOY, *words, EDGERT_SILENCE_S="60")
    url = f"http://127.0.0.1:{port}/"
    try:
        session.await_that(lambda: running.has_ended or answers(url), "no page", 280.0)
        assert not running.has_ended, running.end()
        page = browser.new_context(viewport={"width": 1240, "height": 900}).new_page()
        page.goto(url, wait_until="domcontentloaded")
        wait_for(page, "document.getElementById('health').textContent === 'live'")
        wait_for(page, "document.getElementById('picture').naturalWidth > 0")
        assert page.locator("#findings li").count() > 0
        page.screenshot(path=str(tmp_path / "page.png"))
    finally:
        running.interrupt()
        done = running.end()
    assert done.status == 0, done.err
    assert done.json["url"] == url
    assert done.json["devices"][0]["outcome"] == "deployed"
    refuse_what_does_not_fit(board, laptop, bundle)


def refuse_what_does_not_fit(board: EmulatedBoard, laptop: Laptop, bundle: Path) -> None:
    """A larger release while the disk is nearly full: the old one goes on."""
    before = status(laptop)
    large = changed_bundle(bundle, "large.edge", "slow")
    with board.full_disk(left_bytes=1 << 20):
        done = deploy(laptop, "--bundle", large)
    (found,) = done.json["devices"]
    assert (done.status, found["outcome"]) == (1, "refused")
    assert "bytes, the board's disk has" in found["reason"]
    after = status(laptop)
    assert after["state"] == before["state"]
    assert after["service"]["pid"] == before["service"]["pid"]


def status(laptop: Laptop) -> Any:  # Any: JSON
    words = ("status", "--device", "pi", "--json")
    (app,) = session.edgert(laptop, *words, timeout_s=120, EDGERT_SILENCE_S="60").json["apps"]
    return app


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}healthz", timeout=5) as answer:
            return bool(json.load(answer)["ok"])
    except OSError:
        return False
