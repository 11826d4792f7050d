"""The child process of the importer: crashes, limits and interruption become typed errors and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgert.errors import (
    DynamicShapeError,
    EdgertError,
    InternalError,
    MissingExtraError,
    ModelError,
    UsageError,
)
from edgert_converters.importers import import_model
from edgert_converters.importers.isolate import ImportRequest, raise_report, report_error, run_isolated

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals and resource limits are POSIX")


def _huge(path: Path) -> Path:
    """A valid small file that asks for 4 TB of activations."""
    graph = helper.make_graph(
        [helper.make_node("Resize", ["x", "", "s"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1000, 1000])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("s", TensorProto.FLOAT, [4], [1.0, 1.0, 1000.0, 1000.0])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


@posix_only
def test_too_much_memory_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="huge.onnx"):
        import_model(_huge(tmp_path / "huge.onnx"), {}, time_limit_s=60)


def test_time_limit(zoo: Path) -> None:
    with pytest.raises(ModelError, match="took longer than 0 s and was stopped"):
        import_model(zoo / "models/resnet20_cifar10.onnx", {}, time_limit_s=0.05)


@posix_only
@pytest.mark.parametrize(
    ("action", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"a library crashed while reading it \(SIGSEGV\)"),
        ("os.abort()", "SIGABRT"),
        ("os._exit(3)", "ended with code 3 and no result"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "more memory than allowed"),
    ],
)
def test_crash_of_the_child_is_a_model_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str, message: str
) -> None:
    (tmp_path / "crashing_child.py").write_text(f"import os, signal\n{action}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("edgert_converters.importers.isolate._CHILD", "crashing_child")
    with pytest.raises(ModelError, match=message):
        run_isolated(ImportRequest("m.onnx", "onnx", {}, "m.onnx"), 30.0)


def test_working_directory_is_not_on_the_module_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo: Path
) -> None:
    (tmp_path / "onnx.py").write_text("raise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    assert import_model(zoo / "models/resnet20_cifar10.onnx", {}).model.graph.num_nodes() > 0


@posix_only
def test_interrupt_kills_the_child(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    (tmp_path / "waiting_child.py").write_text(
        "import os, pathlib, signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        f"pathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "signal.pause()\n"
    )
    script = (
        "from edgert_converters.importers import isolate\n"
        "isolate._CHILD = 'waiting_child'\n"
        "try:\n"
        "    isolate.run_isolated(isolate.ImportRequest('m', 'onnx', {}, 'm'), 60.0)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "interrupted"
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), signal.SIGTERM)


@pytest.mark.parametrize(
    "error",
    [
        ModelError("bad", path=Path("m.onnx"), node="n"),
        DynamicShapeError("x", ("N", 3, None), (1, 3, 224)),
        UsageError("wrong flag"),
        MissingExtraError("torch", "torch", "reading a PyTorch program"),
        InternalError("bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_the_process_border(error: EdgertError) -> None:
    with pytest.raises(type(error)) as caught:
        raise_report(report_error(error))
    assert str(caught.value) == str(error)
    assert caught.value.exit_code == error.exit_code
