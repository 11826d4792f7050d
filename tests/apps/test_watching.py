"""What the endurance runs would find: apps that leak, hang, answer wrongly, or stop seeing, as real processes."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgert.bundle import Bundle, write_bundle
from tests import app_example
from tests.apps.bundles import with_known_answers
from tests.apps.endurance import LONGEST_START_S, Report, running

pytest.importorskip("cv2")
pytest.importorskip("tornado")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory and systemd are looked at as on Linux")

PROGRAM = """
import sys, time
import numpy as np
from edgert.app import App, Scene, run_app

def explain(options, model):
    state = []
    def look(frame, result, controls):
        {line}
        return Scene(np.zeros((48, 64, 3), np.uint8), frame.sequence, ())
    return look

sys.exit(run_app(App("stand-in", "A stand-in.", explain)))
"""
LEAKS = "state.append(np.ones(50_000))"
HANGS = "state.append(1); time.sleep(9 if len(state) == 20 else 0)"
LIVES = "pass"


def seen(
    folder: Path, line: str, bundle: Path, seconds: float, *flags: str, longest_s: float = LONGEST_START_S
) -> Report:
    """Runs a stand-in whose frames do one thing more."""
    program = folder / "stand-in" / "app.py"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(line=line))
    with running(program, bundle, "--rate", "30", *flags, watchdog_s=3.0) as app:
        if app.wait_until_warm(longest_s):
            time.sleep(seconds)
        return app.end()


def test_one_that_lives_has_no_fault(tmp_path: Path) -> None:
    report = seen(tmp_path, LIVES, with_known_answers(app_example.write(tmp_path), tmp_path), 6)
    assert report.faults() == []
    assert report.longest_gap_s < 3
    assert report.pictures > 0


def test_memory_that_grows_is_found(tmp_path: Path) -> None:
    report = seen(tmp_path, LEAKS, with_known_answers(app_example.write(tmp_path), tmp_path), 8)
    assert any(fault.startswith("memory grew by") for fault in report.faults())
    assert report.slope_bytes_per_hour > 1e9


def test_a_loop_that_hangs_is_found(tmp_path: Path) -> None:
    report = seen(tmp_path, HANGS, with_known_answers(app_example.write(tmp_path), tmp_path), 2)
    faults = " ".join(report.faults())
    assert "s without a heartbeat; the watchdog allows 3" in faults
    assert "the health file was" in faults


def test_wrong_answers_are_found(tmp_path: Path) -> None:
    with Bundle.open(with_known_answers(app_example.write(tmp_path), tmp_path)) as bundle:
        files = {name: bundle.read(name) for name in bundle.manifest.files}
        golden = bundle.golden()
        manifest = bundle.manifest
    name = f"{app_example.FIRST}/logits"
    golden[name] = 1.1 * golden[name].astype(np.float32)
    buffer = io.BytesIO()
    np.savez(buffer, **golden)  # type: ignore[arg-type]
    wrong = write_bundle(tmp_path / "wrong.edge", manifest, {**files, "golden.npz": buffer.getvalue()})
    report = seen(tmp_path, LIVES, wrong, 1)
    assert (report.status, report.messages) == (1, ())
    assert "the model's answers are wrong: output 'logits' of sample" in report.faults()[0]


def test_a_source_that_ends_is_found(tmp_path: Path) -> None:
    gone = tmp_path / "gone.jpg"
    gone.write_bytes(b"no picture")
    bundle = with_known_answers(app_example.write(tmp_path), tmp_path)
    report = seen(tmp_path, LIVES, bundle, 0, "--input", str(gone), longest_s=15)
    faults = " ".join(report.faults())
    assert "gone.jpg: not an image" in faults
    assert "it was not warm: 30 frames" in faults
    assert "at the end it was not healthy" in faults
