"""The live page of an app in a real browser, served by the app itself as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import app_example as example
from tests.apps.browsing import browser, wait_for

__all__ = ["browser"]  # a fixture

APP = example.ROOT / "apps/image_classify/app.py"

pytest.importorskip("cv2")
pytest.importorskip("tornado")


class Running:
    """An app that runs; `url` is its page."""

    def __init__(self, bundle: Path, *flags: str) -> None:
        roots = os.pathsep.join(str(example.ROOT / folder) for folder in (".", "converters", "targets"))
        command = [sys.executable, str(APP), "--bundle", str(bundle), "--port", "0", "--energy", "none", *flags]
        environment = {**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.fullmatch(r"page: (http://127\.0\.0\.1:\d+)/\n", line)
        assert found, line + self.process.stderr.read()
        self.url = found[1]

    def end(self) -> tuple[dict[str, Any], int, str]:
        """Ends it as systemd does; returns what it printed, its status and what it said."""
        self.process.send_signal(signal.SIGTERM)
        printed, said = self.process.communicate(timeout=30)
        return json.loads(printed or "{}"), self.process.returncode, said


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Running]:
    running = Running(example.write(tmp_path), "--input", "synthetic", "--rate", "20", "--size", "320x240")
    yield running
    if running.process.poll() is None:
        running.process.kill()
    running.process.communicate()


def test_a_run_ends_with_its_figures(app: Running) -> None:
    with urllib.request.urlopen(f"{app.url}/stream.mjpg", timeout=30) as stream:
        assert b"image/jpeg" in stream.read(2000)
    with urllib.request.urlopen(f"{app.url}/healthz", timeout=30) as answer:
        assert json.load(answer)["ok"] is True
    with urllib.request.urlopen(f"{app.url}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    assert re.search(r'^edgert_latency_milliseconds\{stage="inference",quantile="0.99"\} [\d.]+$', text, re.MULTILINE)
    summary, status, said = app.end()
    assert (status, said) == (0, ""), said
    assert summary["frames"] > 0
    assert summary["stages"]["camera_to_result"]["p99_ms"] > 0
    assert summary["frames_read"] >= summary["frames"]


def test_a_headless_run_ends_by_itself(tmp_path: Path) -> None:
    bundle = example.write(tmp_path)
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"bundle": bundle.name, "headless": True, "rate": 50, "energy": "none"}))
    command = [sys.executable, str(APP), "--settings", str(settings), "--seconds", "1"]
    roots = {**os.environ, "PYTHONPATH": str(example.ROOT)}
    done = subprocess.run(command, env=roots, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["frames"] > 1
    assert summary["variant"] == example.FIRST


PICTURE = """() => { const c = document.createElement('canvas'), i = document.getElementById('picture');
c.width = 32; c.height = 24; c.getContext('2d').drawImage(i, 0, 0, 32, 24);
return i.naturalWidth ? c.toDataURL() : ''; }"""
POINTS = "Number(document.getElementById('chart-latency').dataset.points)"


@pytest.mark.browser
def test_the_page_lives(app: Running, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 1240, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{app.url}/", wait_until="domcontentloaded")
    wait_for(page, "document.getElementById('health').textContent === 'live'")
    wait_for(page, f"({PICTURE})() !== ''")
    first = page.evaluate(PICTURE)
    wait_for(page, f"({PICTURE})() !== {json.dumps(first)}")
    wait_for(page, f"{POINTS} >= 4")
    points = page.evaluate(POINTS)
    wait_for(page, f"{POINTS} > {points}")
    assert page.locator("#findings li").count() > 0
    assert page.title() == "image classification"

    if os.environ.get("EDGERT_SCREENSHOTS"):
        page.screenshot(path=str(Path(os.environ["EDGERT_SCREENSHOTS"]) / "page.png"), full_page=True)

    page.select_option("#variant", example.SECOND)
    wait_for(page, f"document.getElementById('model').textContent.includes('{example.SECOND} ')")
    page.locator("#threshold").fill("1")
    wait_for(page, "document.querySelectorAll('#findings li').length === 0")
    assert page.locator("#answer").text_content() == ""
    assert complaints == []
    assert {url.split("/")[2] for url in requests if not url.startswith("data:")} == {app.url.split("/")[2]}
    context.close()
    summary, _, _ = app.end()
    assert (summary["variant"], summary["threshold"]) == (example.SECOND, 1)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(app: Running, browser: Any, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{app.url}/", wait_until="domcontentloaded")
    wait_for(page, f"{POINTS} >= 4")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    boxes = page.eval_on_selector_all("canvas, #picture, select, input", "all => all.map(e => e.clientWidth)")
    assert all(200 < width <= 360 for width in boxes)
    if os.environ.get("EDGERT_SCREENSHOTS"):
        page.screenshot(path=str(Path(os.environ["EDGERT_SCREENSHOTS"]) / f"phone-{scheme}.png"), full_page=True)
    context.close()


@pytest.mark.browser
def test_another_site_can_change_nothing(app: Running, browser: Any) -> None:
    """From a page of another origin: the browser sends the request, the app refuses it."""
    context = browser.new_context()
    page = context.new_page()
    other = app.url.replace("127.0.0.1", "localhost")
    page.goto(f"{other}/healthz")
    script = (
        f"fetch('{app.url}/threshold', {{method: 'POST', mode: 'no-cors', body: '{{\"value\": 1}}'}}).then(() => 1)"
    )
    page.evaluate(f"{script}.catch(() => 0)")
    context.close()
    with urllib.request.urlopen(f"{app.url}/state", timeout=30) as answer:
        assert json.load(answer)["threshold"] == 0.05
    request = urllib.request.Request(f"{app.url}/threshold", data=b'{"value": 1}', method="POST")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=30)
