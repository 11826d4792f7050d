"""A model that crashes native code ends a child process: exit code 4 while loading, 3 while running, one line."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.bad_input import listing
from tests.e2e.caught_work import IMPORT_CHILD, Work, linux_only, save_endless_model, save_slow_to_load_model

pytestmark = linux_only


@pytest.mark.parametrize(
    ("ended_by", "expected"),
    [
        (signal.SIGSEGV, r"endless.onnx: a library crashed while reading it \(SIGSEGV\); the model is damaged"),
        (signal.SIGKILL, "endless.onnx: reading it needs more memory than allowed"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_crash_while_importing(tmp_path: Path, ended_by: signal.Signals, expected: str) -> None:
    save_endless_model(tmp_path / "endless.onnx")
    work = Work(tmp_path, ["convert", "endless.onnx", "-o", "net.edge"])
    os.kill(work.wait_for_engine(IMPORT_CHILD), ended_by)
    assert re.search(expected, work.finish(4))
    assert listing(tmp_path) == {"endless.onnx", "tmp"}


@pytest.mark.parametrize("ended_by", [signal.SIGSEGV, signal.SIGKILL], ids=lambda value: value.name)
@pytest.mark.parametrize("words", [["run", "--input", "x.npy"], ["profile"]], ids=["run", "profile"])
def test_a_crash_while_loading(tmp_path: Path, words: list[str], ended_by: signal.Signals) -> None:
    save_slow_to_load_model(tmp_path / "slow.onnx")
    np.save(tmp_path / "x.npy", np.zeros(1, np.float32))
    work = Work(tmp_path, [words[0], "slow.onnx", *words[1:], "-o" if words[0] == "profile" else "--output", "out"])
    os.kill(work.wait_for_engine("worker"), ended_by)
    said = work.finish(4)
    ways = r"crashed \(segmentation fault\)|was killed, most likely because memory ran out"
    assert re.search(f"the worker ({ways})", said)
    assert listing(tmp_path) == {"slow.onnx", "x.npy", "tmp"}


def test_a_crash_while_running(tmp_path: Path) -> None:
    save_endless_model(tmp_path / "endless.onnx")
    np.save(tmp_path / "x.npy", np.zeros(1, np.float32))
    work = Work(tmp_path, ["run", "endless.onnx", "--input", "x.npy", "--output", "y.npz"])
    os.kill(work.wait_until_busy("edgert.runtime.worker"), signal.SIGSEGV)
    assert work.finish(3) == "edgert: the worker crashed (segmentation fault) while running the model"
    assert listing(tmp_path) == {"endless.onnx", "x.npy", "tmp"}
