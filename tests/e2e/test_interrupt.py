"""Ctrl-C in the middle of the work: exit code 130, one line, no file and no process left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.bad_input import MODEL, images, listing
from tests.e2e.caught_work import IMPORT_CHILD, TIME_LIMIT_S, Work, linux_only, save_endless_model

pytestmark = linux_only


def test_while_importing(tmp_path: Path) -> None:
    save_endless_model(tmp_path / "endless.onnx")
    before = listing(tmp_path) | {"tmp"}
    work = Work(tmp_path, ["convert", "endless.onnx", "-o", "net.edge"])
    work.wait_for_engine(IMPORT_CHILD)
    work.interrupt()
    assert listing(tmp_path) == before


def test_while_calibrating(tmp_path: Path) -> None:
    np.savez(tmp_path / "many.npz", x=images(4000))
    before = listing(tmp_path) | {"tmp"}
    words = ["convert", MODEL, "--calib", "many.npz", "--eval", "many.npz", "--calib-samples", 3000, "-o", "net.edge"]
    work = Work(tmp_path, words)
    work.wait_for(lambda: "calibrat" in work.text())
    work.interrupt()
    assert listing(tmp_path) == before


def test_while_verifying_the_old_file_stays(tmp_path: Path) -> None:
    np.savez(tmp_path / "many.npz", x=images(4000))
    (tmp_path / "net.edge").write_bytes(b"old")
    before = listing(tmp_path) | {"tmp"}
    work = Work(tmp_path, ["convert", MODEL, "--eval", "many.npz", "-o", "net.edge"])
    work.wait_for(lambda: "verify" in work.text())
    work.interrupt()
    assert listing(tmp_path) == before
    assert (tmp_path / "net.edge").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("words", "module"),
    [
        (["run", "endless.onnx", "--input", "x.npy", "--output", "y.npz"], "edgert.runtime.worker"),
        (["profile", "endless.onnx", "-o", "record.json"], "edgert.profiler.worker"),
        (["run", "endless.onnx", "--tune"], "edgert.profiler.race_worker"),
    ],
    ids=["run", "profile", "tune"],
)
def test_while_a_worker_runs(tmp_path: Path, words: list[str], module: str) -> None:
    save_endless_model(tmp_path / "endless.onnx")
    np.save(tmp_path / "x.npy", np.zeros(1, np.float32))
    before = listing(tmp_path) | {"tmp"}
    work = Work(tmp_path, words)
    work.wait_for_engine(module)
    work.interrupt()
    assert listing(tmp_path) == before


def test_while_profiling_for_long(tmp_path: Path) -> None:
    before = {"tmp"}
    work = Work(tmp_path, ["profile", MODEL, "--shape", "image=1,1,32,32", "--sustained", "10m", "-o", "record.json"])
    work.wait_for_engine("edgert.profiler.worker")
    work.interrupt()
    assert listing(tmp_path) == before


def test_before_the_work_begins(tmp_path: Path) -> None:
    """While Python still imports edgert: the code that a shell gives is enough, but no traceback."""
    script = "import os, signal, sys; sys.argv[1:] = ['targets']; from edgert import cli; "
    script += "cli._parse = lambda words: os.kill(os.getpid(), signal.SIGINT); raise SystemExit(cli.main())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130, done.stderr
    assert done.stderr == "edgert: interrupted\n"


def test_a_model_that_never_ends_is_stopped_by_the_time_limit(tmp_path: Path) -> None:
    save_endless_model(tmp_path / "endless.onnx")
    np.save(tmp_path / "x.npy", np.zeros(1, np.float32))
    command = [sys.executable, "-m", "edgert", "run", "endless.onnx", "--input", "x.npy", "--timeout", "3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)
    assert done.returncode == 3
    assert "did not finish within 3 s and was ended" in done.stderr
