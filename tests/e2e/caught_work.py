"""Real `edgert` commands caught in the middle of their work, for tests that interrupt or crash them.

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

import onnx
import pytest
from onnx import TensorProto, helper

from tests.e2e.bad_input import listing

IMPORT_CHILD = "edgert_converters.importers.child"
TIME_LIMIT_S = 60.0
BUSY_S = 2.0

linux_only = pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="needs Linux's /proc to see child processes"
)


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


def save_slow_to_load_model(path: Path) -> Path:
    """A small model that ONNX Runtime computes for minutes while it loads it: a long product of constant matrices."""
    names = ["m0", *(f"p{i}" for i in range(400))]
    nodes = [helper.make_node("ConstantOfShape", ["size"], ["m0"])]
    nodes += [helper.make_node("MatMul", [name, "m0"], [after]) for name, after in zip(names, names[1:], strict=False)]
    nodes += [helper.make_node("ReduceSum", [names[-1]], ["s"], keepdims=0), helper.make_node("Add", ["x", "s"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [helper.make_tensor("size", TensorProto.INT64, [2], [3000, 3000])],
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

    def wait_for_engine(self, module: str) -> int:
        """Waits until a child that runs a Python module has loaded ONNX Runtime, and returns its process id."""
        found: list[int] = []

        def has_loaded() -> bool:
            children = [pid for pid in descendants(self.process.pid) if module in command_line(pid)]
            found.extend(pid for pid in children if has_loaded_onnxruntime(pid))
            return bool(found)

        self.wait_for(has_loaded)
        return found[0]

    def wait_until_busy(self, module: str) -> int:
        """Waits until such a child has computed for longer than importing and loading take it; returns its id."""
        child = self.wait_for_engine(module)
        self.wait_for(lambda: processor_seconds(child) > BUSY_S)
        return child

    def interrupt(self) -> None:
        """Sends Ctrl-C to the foreground group, as a terminal does, and checks how it ends."""
        os.killpg(self.process.pid, signal.SIGINT)
        assert self.finish(130) == "edgert: interrupted"

    def finish(self, status: int) -> str:
        """Waits for the end, checks that nothing is left behind, and returns the last line on the terminal."""
        below = descendants(self.process.pid)
        try:
            got = self.process.wait(TIME_LIMIT_S)
        finally:
            self.end()
        before, seen = "", self.text()
        while seen != before:
            before, seen = seen, self.text()
        os.close(self._terminal)
        assert got == status, seen
        assert "Traceback" not in seen
        assert [pid for pid in below if is_running(pid)] == []
        assert listing(self.temporary) == set()
        return seen.replace("\r\x1b[2K", "\n").strip().splitlines()[-1]

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


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
