"""The board side on other Pythons and with other engines: set up, run, compare and profile, by the wheels of PyPI.

A program called `ssh` stands in for the network and runs the command here, with the Python in question as `python3`;
all that follows is what happens on a board. tests/emulation has real connections.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgert
from tests.install.conftest import Converted, find_python

ONE_STEP = 0.12
"""Of the digits network's logits: XNNPACK of 2023, in tflite-runtime 2.14, rounds some results to the other side."""
_SSH = """#!/bin/sh
# the last word is the command; a login shell has the board's own PATH and home
for word; do command=$word; done
cd '{home}'
exec env -i HOME='{home}' PATH='{path}:/usr/bin:/bin' /bin/sh -c "$command"
"""


@dataclass(frozen=True)
class Board:
    """A board that is this computer with another Python, and the laptop's environment."""

    home: Path
    environment: dict[str, str]

    def edgert(self, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edgert", *map(str, words)],
            check=False,
            capture_output=True,
            text=True,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            timeout=300,
        )

    def json(self, *words: object) -> Any:  # Any: JSON
        done = self.edgert(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def make_board(version: str, folder: Path) -> Board:
    python = find_python(version)
    programs, path, home = folder / "bin", folder / "path", folder / "home"
    for place in (programs, path, home):
        place.mkdir()
    (path / "python3").symlink_to(python)
    (programs / "ssh").write_text(_SSH.format(home=home, path=path))
    (programs / "ssh").chmod(0o755)
    own = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "EDGERT_SETTINGS": str(folder / "settings")}
    return Board(home, {**os.environ, **own, "EDGERT_RECORDS": str(folder / "records")})


@pytest.mark.parametrize(
    ("version", "engines", "formats"),
    [
        ("3.10", ("onnxruntime", "litert"), ("onnx", "tflite")),
        ("3.11", ("tflite-runtime",), ("tflite",)),
        ("3.13", ("onnxruntime", "litert"), ("onnx", "tflite")),
    ],
)
def test_from_nothing_to_a_profile(
    demo: Converted, tmp_path: Path, version: str, engines: tuple[str, ...], formats: tuple[str, ...]
) -> None:
    board = make_board(version, tmp_path)
    added = board.json("devices", "add", "board", "ssh://somebody@board.local")
    assert added["facts"]["python"].startswith(f"{version}.")
    setup = board.json(
        "devices", "setup", "board", "--offline", *(word for name in engines for word in ("--engine", name))
    )
    assert {"onnx": setup["engines"]["onnxruntime"], "tflite": setup["engines"]["litert"]}.keys() >= set(formats)
    if engines == ("tflite-runtime",):
        packages = board.json("devices", "show", "board")["facts"]["engines"]
        assert packages["tflite-runtime"] == "2.14.0"
        assert packages["numpy"].startswith("1.26.")
        assert setup["engines"]["onnxruntime"] is None
    for name in formats:
        compare(board, demo, f"{name}-int8", tmp_path, ONE_STEP if engines == ("tflite-runtime",) else 1e-5)
        record = board.json(
            "profile", demo.bundle, "--device", "board", "--variant", f"{name}-int8", "--duration", "0.2s"
        )
        assert record["engine"]["python"].startswith(f"{version}.")
    board.json("devices", "clean", "board")
    assert [path for path in board.home.rglob("*") if path.is_file()] == []


def test_the_board_downloads_by_itself(demo: Converted, tmp_path: Path) -> None:
    board = make_board("3.11", tmp_path)
    added = board.json("devices", "add", "board", "ssh://somebody@board.local")
    if not added["facts"]["has_pip"]:
        pytest.skip("that Python has no pip")
    setup = board.json("devices", "setup", "board", "--engine", "litert")
    assert setup["notes"] == []
    assert setup["engines"]["litert"]
    compare(board, demo, "tflite-int8", tmp_path, 1e-5)
    failed = board.edgert("devices", "setup", "board", "--engine", "litert", "--index-url", "http://127.0.0.1:9/simple")
    assert failed.returncode == 3
    assert "board: pip on the board failed: " in failed.stderr
    compare(board, demo, "tflite-int8", tmp_path, 1e-5)  # what was there is there still


def compare(board: Board, demo: Converted, variant: str, folder: Path, tolerance: float) -> None:
    output = folder / f"{variant}.npz"
    words = ["--device", "board", "--variant", variant, "--input", demo.inputs, "--output", output]
    done = board.edgert("run", demo.bundle, *words)
    assert done.returncode == 0, done.stderr
    with np.load(output) as found, np.load(demo.inputs) as inputs, edgert.load(demo.bundle, variant=variant) as session:
        np.testing.assert_allclose(found["logits"], session.run_batched(inputs["x"], 1)["logits"], atol=tolerance)
