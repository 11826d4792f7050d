"""The child process of the importer: `python -m edgert_converters.importers.child FOLDER` (see isolate.py)."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from edgert.codec import from_plain, to_plain
from edgert.errors import EdgertError, ModelError
from edgert_converters.importers.isolate import (
    MEMORY_PER_FILE_BYTE,
    MODEL,
    REQUEST,
    RESULT,
    ImportRequest,
    ImportResult,
    report_error,
)

if TYPE_CHECKING:
    import onnx


def main(folder: Path) -> int:
    """Reads `request.json`, writes `result.json` and, on success, `model.onnx`; returns the exit code."""
    request = from_plain(ImportRequest, json.loads((folder / REQUEST).read_text()))
    limit_memory(request.memory_bytes)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    shown = Path(request.shown_path)
    try:
        result = _import(request, folder)
    except EdgertError as error:
        result = ImportResult(error=report_error(error))
    except MemoryError:
        result = ImportResult(error=report_error(ModelError("reading it needs more memory than allowed", path=shown)))
    except Exception as error:  # any library may raise anything on a damaged file; the parent needs a typed error
        from edgert_converters.passes.output_check import first_line

        text = f"cannot be converted ({type(error).__name__}: {first_line(error)})"
        result = ImportResult(error=report_error(ModelError(text, path=shown)))
    (folder / RESULT).write_text(json.dumps(to_plain(result)))
    return 0


def limit_memory(limit_bytes: int) -> None:
    """Limits the address space of this process where the platform can (not on Windows; macOS ignores it)."""
    if sys.platform == "win32":
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    # a crash is expected now and then; a core file of it helps nobody
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _import(request: ImportRequest, folder: Path) -> ImportResult:
    from edgert_converters.importers.normalise import normalise

    path, shown = Path(request.path), Path(request.shown_path)
    notes: list[str] = []
    proto = _load_tflite(request, notes) if request.kind == "tflite" else _load_onnx(request, folder, path, shown)
    # paddings of a .tflite file are counted out for the size that it was made for
    normalised = normalise(proto, request.shapes, shown, resizes=request.kind != "tflite")
    (folder / MODEL).write_bytes(normalised.serialized)
    labels = _read_labels(path, notes) if request.kind == "tflite" else ()
    notes += normalised.notes
    return ImportResult(normalised.inputs, normalised.outputs, tuple(notes), normalised.passes, labels)


def _read_labels(path: Path, notes: list[str]) -> tuple[str, ...]:
    """Returns the class names in a .tflite file's metadata; what it says of normalization becomes a note."""
    from edgert_converters.tflite.description import read_described

    try:
        described = read_described(path.read_bytes())
    except ModelError as error:
        notes.append(f"its metadata is left aside: {error}")
        return ()
    notes.extend(
        f"its metadata says (pixel - mean) / std with mean {step['mean']} and std {step['std']}; "
        "a recipe's [[preprocess]] steps are needed to apply that to images"
        for step in described.preprocess
    )
    return described.labels


def _load_tflite(request: ImportRequest, notes: list[str]) -> onnx.ModelProto:
    from edgert_converters.importers.tflite_file import load_tflite

    return load_tflite(Path(request.path), Path(request.shown_path), notes, layout=request.layout)


def _load_onnx(request: ImportRequest, folder: Path, path: Path, shown: Path) -> onnx.ModelProto:
    from edgert_converters.importers.onnx_file import load_onnx

    if request.kind == "pt2":
        from edgert_converters.importers.torch_program import export_file

        path = export_file(path, folder / "exported.onnx", shown)
    # external data is real bytes on the disk beside the model, so it may raise the limit like the model's own size
    return load_onnx(path, shown, lambda size: limit_memory(request.memory_bytes + MEMORY_PER_FILE_BYTE * size))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
