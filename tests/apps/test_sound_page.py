"""The page of an app that listens, in a real browser: the live plot, what was detected, the threshold."""

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

import numpy as np
import pytest

from tests import sound_example
from tests.app_example import ROOT
from tests.apps.browsing import browser, wait_for

__all__ = ["browser"]  # a fixture

pytest.importorskip("tornado")

PLOT = "Number(document.getElementById('plot').dataset.points)"
EVENTS = "document.querySelectorAll('#events li').length"


@pytest.fixture
def page_url(tmp_path: Path) -> Iterator[str]:
    """keyword_spotting hears a tone again and again; it ends as systemd ends it."""
    sound = sound_example.write_wav(tmp_path / "x.wav", np.r_[sound_example.tone(700, 0.6), np.zeros(4800, np.int16)])
    bundle = sound_example.write(tmp_path)
    app = [str(ROOT / "apps/keyword_spotting/app.py"), "--bundle", str(bundle), "--input", str(sound), "--port", "0"]
    flags = ["--hop", "50", "--smooth", "100", "--threshold", "0.2", "--energy", "none", "--threads", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, *app, *flags], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.fullmatch(r"page: (http://127\.0\.0\.1:\d+)/\n", line)
    assert found, line + process.stderr.read()
    yield found[1]
    process.send_signal(signal.SIGTERM)
    printed, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")
    *events, summary = [json.loads(line) for line in printed.splitlines()]
    assert summary["events"] == len(events)


def test_there_is_no_picture(page_url: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{page_url}/stream.mjpg", timeout=30)
    with urllib.request.urlopen(f"{page_url}/", timeout=30) as answer:
        assert "stream.mjpg" not in answer.read().decode()
    with urllib.request.urlopen(f"{page_url}/metrics", timeout=30) as answer:
        assert "# TYPE edgert_events_total counter" in answer.read().decode()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "height", "scheme"), [(1240, 900, "light"), (360, 740, "dark")])
def test_the_plot_lives(page_url: str, browser: Any, width: int, height: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{page_url}/", wait_until="domcontentloaded")
    wait_for(page, "document.getElementById('health').textContent === 'live'")
    wait_for(page, f"{PLOT} > 60")
    points = page.evaluate(PLOT)
    wait_for(page, f"{PLOT} > {points}")
    wait_for(page, f"{EVENTS} > 1")
    legend = page.locator("#plot-legend i").all_text_contents()
    assert len(legend) == 6 and legend[-1] == "threshold"
    assert set(legend[:-1]) < set(sound_example.LABELS)
    assert set(page.locator("#events li span:nth-child(2)").all_text_contents()) <= set(sound_example.LABELS[1:])
    pixels = "(() => { const c = document.getElementById('plot'), d = c.getContext('2d').getImageData(0, 0, c.width, "
    assert page.evaluate(pixels + "c.height).data; return new Set(d.filter((_, i) => i % 4 === 0)).size; })()") > 10
    assert page.evaluate("document.documentElement.scrollWidth") == width
    if os.environ.get("EDGERT_SCREENSHOTS"):
        page.screenshot(path=str(Path(os.environ["EDGERT_SCREENSHOTS"]) / f"sound-{scheme}.png"), full_page=True)
    page.locator("#threshold").fill("1")
    wait_for(page, "document.getElementById('threshold-value').textContent === '1.00'")
    assert complaints == []
    context.close()
