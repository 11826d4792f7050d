"""Runs the import of an unchecked file in a child process with a time and a memory limit.

Protobuf parsing, the ONNX checker, shape inference, the version converter and ONNX Runtime are C++ that a damaged or
hostile file can crash, exhaust or keep busy. In a child each of these becomes a ModelError. This is protection against
accidents and denial of service, not a sandbox: the child has the rights of the user.

The child gets `request.json` in a temporary folder and leaves `result.json` and, on success, `model.onnx` there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import edgert
import edgert_converters
from edgert.bundle import TensorSpec
from edgert.codec import CodecError, JsonValue, from_plain, to_plain
from edgert.errors import (
    DynamicShapeError,
    EdgertError,
    InternalError,
    MissingExtraError,
    ModelError,
    UsageError,
)
from edgert_converters.passes.record import PassRecord

if TYPE_CHECKING:
    import onnx_ir

__all__ = ["ErrorReport", "ImportRequest", "ImportResult", "raise_report", "report_error", "run_isolated"]

REQUEST, RESULT, MODEL = "request.json", "result.json", "model.onnx"
_CHILD = "edgert_converters.importers.child"
_BASE_MEMORY_BYTES = 4 << 30
_TORCH_MEMORY_BYTES = 8 << 30
# source, three copies while converting, engine with prepacked weights, clones during the passes
MEMORY_PER_FILE_BYTE = 24


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What the child shall read. `kind` is onnx, tflite or pt2; `shown_path` is what messages call the file.

    `layout` is the axis order that image inputs and outputs of a .tflite file get: keep, nchw or nhwc.
    """

    path: str
    kind: str
    shapes: dict[str, tuple[int, ...]]
    shown_path: str
    memory_bytes: int = _BASE_MEMORY_BYTES
    layout: str = "keep"


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """A typed error on its way from the child to the parent; `facts` are the arguments that rebuild it."""

    kind: str
    text: str
    facts: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What the child found, next to the model file it wrote."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    notes: tuple[str, ...] = ()
    passes: tuple[PassRecord, ...] = ()
    labels: tuple[str, ...] = ()
    error: ErrorReport | None = None


def run_isolated(request: ImportRequest, time_limit_s: float) -> tuple[ImportResult, onnx_ir.Model]:
    """Runs one import in a child and returns what it found and the normalised model.

    Raises:
        MissingExtraError: onnx-ir is not installed.
        EdgertError: whatever the child reported, with its type kept.
        ModelError: the child crashed, ran out of memory or out of time.
        KeyboardInterrupt: passed on after the child was killed.
    """
    try:
        import onnx_ir
    except ImportError as error:
        raise MissingExtraError("onnx-ir", "convert", "reading a model") from error
    shown = Path(request.shown_path)
    with tempfile.TemporaryDirectory(prefix="edgert-import-") as folder_name:
        folder = Path(folder_name)
        plain = to_plain(request) | {"memory_bytes": _memory_limit(request)}
        (folder / REQUEST).write_text(json.dumps(plain))
        code, stderr = _run_child(folder, time_limit_s, shown)
        result = _read_result(folder)
        if result is None:
            raise ModelError(_describe_crash(code, stderr), path=shown)
        if result.error is not None:
            raise_report(result.error)
        model = onnx_ir.load(folder / MODEL)
        # numbers must outlive the temporary folder: nothing is external in this file, but be sure they are in memory
        onnx_ir.external_data.load_to_model(model)
    return result, model


def _memory_limit(request: ImportRequest) -> int:
    base = _TORCH_MEMORY_BYTES if request.kind == "pt2" else _BASE_MEMORY_BYTES
    try:
        size = Path(request.path).stat().st_size
    except OSError:
        size = 0
    return base + MEMORY_PER_FILE_BYTE * size


def _run_child(folder: Path, time_limit_s: float, shown: Path) -> tuple[int, str]:
    roots = [str(Path(package.__path__[0]).resolve().parent) for package in (edgert, edgert_converters)]
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([*roots, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder)))  # goes with the folder, also on a crash
    environment.setdefault("OMP_NUM_THREADS", "1")
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    # -P keeps the working directory, which may hold files named like a package, off the module path
    command = [sys.executable, "-P", "-m", _CHILD, str(folder)]
    with (folder / "stderr.txt").open("w+b") as stderr:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, env=environment
        )
        try:
            code = child.wait(time_limit_s)
        except subprocess.TimeoutExpired as error:
            raise ModelError(
                f"reading it took longer than {time_limit_s:.0f} s and was stopped; the model is damaged or far too "
                "large for this computer",
                path=shown,
            ) from error
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        stderr.seek(0, os.SEEK_END)
        stderr.seek(max(0, stderr.tell() - 4096))
        return code, stderr.read().decode(errors="replace")


def _describe_crash(code: int, stderr: str) -> str:
    memory = "MemoryError" in stderr or "bad_alloc" in stderr or code == -9
    if memory:
        return "reading it needs more memory than allowed; the model is damaged or far too large for this computer"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"a library crashed while reading it ({name}); the model is damaged"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return f"the process that reads it ended with code {code} and no result ({lines[-1] if lines else 'no message'})"


def _read_result(folder: Path) -> ImportResult | None:
    try:
        plain = json.loads((folder / RESULT).read_text())
        return from_plain(ImportResult, plain)
    except (OSError, ValueError, CodecError):
        return None


def report_error(error: EdgertError) -> ErrorReport:
    """Returns an error in a form that crosses a process border."""
    if isinstance(error, DynamicShapeError):
        facts = {"tensor": error.tensor, "shape": list(error.shape), "suggestion": list(error.suggestion)}
        return ErrorReport("DynamicShapeError", str(error), facts)
    if isinstance(error, MissingExtraError):
        facts = {"package": error.package, "extra": error.extra, "purpose": error.purpose}
        return ErrorReport("MissingExtraError", str(error), facts)
    if isinstance(error, ModelError):
        return ErrorReport("ModelError", str(error), {"path": error.path and str(error.path), "node": error.node})
    return ErrorReport("UsageError" if isinstance(error, UsageError) else "InternalError", str(error))


def raise_report(report: ErrorReport) -> None:
    """Raises the error that a child reported, as the type it had there."""
    facts = report.facts
    if report.kind == "DynamicShapeError":
        raise DynamicShapeError(facts["tensor"], tuple(facts["shape"]), tuple(facts["suggestion"]))
    if report.kind == "MissingExtraError":
        raise MissingExtraError(facts["package"], facts["extra"], facts["purpose"])
    if report.kind == "UsageError":
        raise UsageError(report.text)
    if report.kind == "ModelError":
        error = ModelError(report.text)
        error.path, error.node = Path(facts["path"]) if facts.get("path") else None, facts.get("node")
        raise error
    raise InternalError(report.text)
