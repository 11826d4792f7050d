"""Exports PyTorch programs to ONNX files through torch's own exporter."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgert.errors import MissingExtraError, ModelError, UsageError
from edgert_converters.importers.onnx_file import WORKING_OPSET
from edgert_converters.passes.output_check import first_line

__all__ = ["export_file", "export_program"]


def export_file(path: Path, target: Path, shown: Path) -> Path:
    """Loads a .pt2 file (this unpickles: only after the user said that the file is trusted) and exports it.

    Raises:
        ModelError: torch cannot load or export it.
        MissingExtraError: torch is not installed.
    """
    torch = _import_torch()
    try:
        program = torch.export.load(path)
    except Exception as error:  # torch raises many types on damaged files
        raise ModelError(f"torch.export.load cannot read it ({first_line(error)})", path=shown) from error
    return export_program(program, (), target)


def export_program(program: Any, example_inputs: tuple[Any, ...], target: Path) -> Path:  # Any: torch's own types
    """Writes a module or exported program as ONNX to `target` and returns that path.

    Raises:
        ModelError: torch cannot export it.
        UsageError: not a module or program, or a module without example inputs.
        MissingExtraError: torch is not installed.
    """
    torch = _import_torch()
    if isinstance(program, torch.nn.Module):
        if not example_inputs:
            raise UsageError("a PyTorch module needs example_inputs, a tuple of tensors, to be exported")
    elif not isinstance(program, torch.export.ExportedProgram):
        raise UsageError(f"expected torch.nn.Module or torch.export.ExportedProgram, got {type(program).__name__}")
    was_training = getattr(program, "training", False)
    try:
        if was_training:
            program.eval()
        with _quiet_exporter():
            exported = torch.onnx.export(
                program, example_inputs, dynamo=True, opset_version=WORKING_OPSET, verbose=False, optimize=False
            )
        exported.save(str(target), external_data=False)
    except Exception as error:  # torch raises many types when it cannot trace a program
        name = type(program).__name__
        raise ModelError(f"torch.onnx.export cannot export {name} ({first_line(_root_cause(error))})") from error
    finally:
        if was_training:
            program.train()
    return target


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keeps torch's remarks about its own internals (deprecations, absent torchvision) away from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _root_cause(error: BaseException) -> BaseException:
    """The exporter wraps the reason in advice on how to report bugs; the reason is what the user needs."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _import_torch() -> Any:  # Any: a module that may be absent
    try:
        import torch
        import torch.export
        import torch.onnx
    except ImportError as error:
        raise MissingExtraError("torch", "torch", "reading a PyTorch program") from error
    return torch
