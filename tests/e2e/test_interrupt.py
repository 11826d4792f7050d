"""Ctrl-C in the middle of the work: exit code 130, one line, no file and no process left behind.

The moment is not guessed: progress on a pseudo-terminal or the children of the process say when the work has begun, and
a model with an endless loop makes sure that it has not ended.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.e2e.bad_input import MODEL, images, listing

TIME_LIMIT_S = 60.0
CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")

pytestmark = pytest.mark.skipif(not CHILDREN.exists(), reason="needs Linux's /proc to see child processes")


def save_endless_model(path: Path) -> Path:
    """A small valid model that adds for some hundred years."""
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    body = helper.make_graph(
        [
            helper.make_node("Add", ["state", "one"], ["next"]),
            helper.make_node("Identity", ["go"], ["going"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [1]),
        ],
        [one],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["count", "", "x"], ["y"], body=body)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [helper.make_tensor("count", TensorProto.INT64, [], [1 << 60])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


class Work:
    """One `edgert` command in a session of its own, its stderr on a pseudo-terminal."""

    def __init__(self, folder: Path, words: Sequence[object]) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self._terminal, other = os.openpty()
        self._seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edgert", *map(str, words)],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(self.temporary)},
            stdout=subprocess.DEVNULL,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)

    def wait_for(self, happened: Callable[[], bool]) -> None:
        end = time.monotonic() + TIME_LIMIT_S
        while not happened():
            assert self.process.poll() is None, f"ended early: {self.text()}"
            assert time.monotonic() < end, f"did not come so far: {self.text()}"

    def text(self) -> str:
        """What was written to the terminal so far; waits a moment for more."""
        if select.select([self._terminal], [], [], 0.05)[0]:
            try:
                self._seen += os.read(self._terminal, 65536)
            except OSError:  # Linux's way to say that the other end is closed
                return self._seen.decode()
        return self._seen.decode()

    def children(self, module: str) -> list[int]:
        """Processes below this one that run a Python module."""
        return [pid for pid in descendants(self.process.pid) if module in command_line(pid)]

    def interrupt(self) -> str:
        """Sends Ctrl-C to the foreground group, as a terminal does; checks the end and returns the last words."""
        below = descendants(self.process.pid)
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            status = self.process.wait(TIME_LIMIT_S)
        finally:
            self.end()
        before, seen = "", self.text()
        while seen != before:
            before, seen = seen, self.text()
        os.close(self._terminal)
        assert status == 130, seen
        assert "Traceback" not in seen
        assert seen.replace("\r\x1b[2K", "\n").strip().splitlines()[-1] == "edgert: interrupted"
        assert [pid for pid in below if is_running(pid)] == []
        assert listing(self.temporary) == set()
        return seen

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def descendants(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    children = [int(word) for word in text.split()]
    return [*children, *(below for child in children for below in descendants(child))]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def is_running(pid: int) -> bool:
    return "edgert" in command_line(pid)


def has_loaded_onnxruntime(pid: int) -> bool:
    try:
        return "onnxruntime" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def test_while_importing(tmp_path: Path) -> None:
    save_endless_model(tmp_path / "endless.onnx")
    before = listing(tmp_path) | {"tmp"}
    work = Work(tmp_path, ["convert", "endless.onnx", "-o", "net.edge"])
    child = "edgert_converters.importers.child"
    work.wait_for(lambda: any(map(has_loaded_onnxruntime, work.children(child))))
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
    ],
    ids=["run", "profile"],
)
def test_while_a_worker_runs(tmp_path: Path, words: list[str], module: str) -> None:
    save_endless_model(tmp_path / "endless.onnx")
    np.save(tmp_path / "x.npy", np.zeros(1, np.float32))
    before = listing(tmp_path) | {"tmp"}
    work = Work(tmp_path, words)
    work.wait_for(lambda: any(map(has_loaded_onnxruntime, work.children(module))))
    work.interrupt()
    assert listing(tmp_path) == before


def test_while_profiling_for_long(tmp_path: Path) -> None:
    before = {"tmp"}
    work = Work(tmp_path, ["profile", MODEL, "--shape", "image=1,1,32,32", "--sustained", "10m", "-o", "record.json"])
    work.wait_for(lambda: any(map(has_loaded_onnxruntime, work.children("edgert.profiler.worker"))))
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
