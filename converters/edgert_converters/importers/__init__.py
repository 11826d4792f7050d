"""Reads a trained model (ONNX or TFLite file, torch.export program, PyTorch module) as a clean, checked onnx_ir graph.

Everything native that touches an unchecked file runs in a child process (isolate.py); this process reads only what the
child wrote.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgert.bundle import Source, TensorSpec
from edgert.errors import ModelError, UsageError
from edgert_converters.importers.isolate import ImportRequest, run_isolated
from edgert_converters.passes.record import PassRecord

if TYPE_CHECKING:
    import onnx_ir

__all__ = ["ImportedModel", "PassRecord", "import_model", "import_torch"]

_TIME_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A model after import and clean-up.

    `model` is ONNX with an opset and IR version that the oldest supported engine reads; a batch axis that may vary is
    symbolic in it and None in `inputs` and `outputs`. `passes` says what clean-up changed and how far outputs moved;
    `labels` are class names that the file carries.
    """

    model: onnx_ir.Model
    source: Source
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    notes: tuple[str, ...]
    passes: tuple[PassRecord, ...]
    labels: tuple[str, ...] = ()


def import_model(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    layout: str = "keep",
    trust_pickle: bool = False,
    time_limit_s: float = _TIME_LIMIT_S,
) -> ImportedModel:
    """Reads a model file, brings it to the working opset, cleans it up and checks every step by running it.

    Args:
        path: a .onnx or .tflite file, or a .pt2 file (torch.export) with `trust_pickle`.
        shapes: full shapes for inputs with dynamic axes, by input name.
        layout: axis order of a .tflite file's image inputs and outputs: `keep` and `nhwc` leave them as they are,
            `nchw` puts channels first. An ONNX model is channels-first.
        trust_pickle: allow torch.export.load, which unpickles and can therefore run code from the file.
        time_limit_s: after this the child that reads the file is stopped.

    Raises:
        ModelError: the file is missing, damaged, unsafe, of an unknown kind, or holds something edgert cannot convert.
        DynamicShapeError: an axis other than a leading batch axis has no fixed size.
        UsageError: `shapes` names an unknown input or does not fit it, or the file cannot have that layout.
        MissingExtraError: a package is missing.
    """
    path = Path(path)
    kind = _file_kind(path, trust_pickle=trust_pickle)
    if layout == "nhwc" and kind != "tflite":
        raise UsageError(
            f"--layout nhwc: {path} is channels-first, as ONNX operators are; only .tflite files keep NHWC"
        )
    request = ImportRequest(
        str(path.resolve()), kind, {name: tuple(shape) for name, shape in shapes.items()}, str(path), layout=layout
    )
    source = Source(path.name, kind, _sha256(path))
    return _finish(request, source, time_limit_s)


def import_torch(
    program: Any,  # Any: torch.nn.Module or torch.export.ExportedProgram; torch may be absent
    example_inputs: Sequence[Any] = (),  # Any: torch tensors
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> ImportedModel:
    """Exports a PyTorch module or ExportedProgram to ONNX in this process and imports the result like a file.

    Args:
        program: a module (put in evaluation mode for the export) or an exported program.
        example_inputs: positional inputs of a module; not needed for an exported program.
        shapes: full shapes for inputs with dynamic axes, by input name.

    Raises:
        ModelError: torch cannot export it, or as for `import_model`.
        UsageError: a module without example inputs.
        MissingExtraError: torch is not installed.
    """
    from edgert_converters.importers.torch_program import export_program

    name = type(program).__name__
    with tempfile.TemporaryDirectory(prefix="edgert-") as folder:
        path = Path(folder) / "exported.onnx"
        export_program(program, tuple(example_inputs), path)
        wanted = {key: tuple(shape) for key, shape in (shapes or {}).items()}
        return _finish(
            ImportRequest(str(path), "onnx", wanted, name), Source(name, "torch", _sha256(path)), _TIME_LIMIT_S
        )


def _finish(request: ImportRequest, source: Source, time_limit_s: float) -> ImportedModel:
    result, model = run_isolated(request, time_limit_s)
    return ImportedModel(model, source, result.inputs, result.outputs, result.notes, result.passes, result.labels)


def _file_kind(path: Path, *, trust_pickle: bool) -> str:
    """Returns `onnx`, `tflite` or `pt2`, told from the suffix; other kinds are refused with what is accepted."""
    if path.is_dir():
        raise ModelError("is a folder, not a model file; accepted are .onnx, .tflite and .pt2 files", path=path)
    if not path.is_file():
        raise ModelError("no such file; accepted are .onnx, .tflite and .pt2 files", path=path)
    suffix = path.suffix.lower()
    if suffix in {".onnx", ".tflite"}:
        return suffix.removeprefix(".")
    if suffix in {".pt2", ".pt", ".pth", ".th", ".pkl", ".ckpt"}:
        return _torch_kind(path, suffix, trust_pickle=trust_pickle)
    if suffix == ".edge":
        raise ModelError(
            "is a bundle already; convert the model it was made from (accepted: .onnx, .tflite, .pt2)", path=path
        )
    raise ModelError(f"unknown kind of model file {suffix!r}; accepted are .onnx, .tflite and .pt2 files", path=path)


def _torch_kind(path: Path, suffix: str, *, trust_pickle: bool) -> str:
    if suffix != ".pt2":
        raise ModelError(
            "is a checkpoint without the network that it belongs to; export the network with torch.onnx.export (.onnx) "
            "or torch.export.save (.pt2), or use edgert.convert from Python",
            path=path,
        )
    if not trust_pickle:
        raise ModelError(
            "torch.export.load unpickles parts of a .pt2 file, which can run any code hidden in it; "
            "if you made the file yourself or trust its maker, say so with --trust-pickle",
            path=path,
        )
    return "pt2"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror or error})", path=path) from error
    return digest.hexdigest()
