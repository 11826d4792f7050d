"""Everything edgert raises on purpose, split by what the reader can do about it.

    EdgertError                     exit code
    |- UsageError                   2   fix the command line
    |  |- RecipeError               2   fix edgert.toml
    |  |- MissingExtraError         2   install an extra (the line is printed)
    |  |- MissingToolError          2   install a program (the package is named)
    |  `- DynamicShapeError         2   pass --shape (the flag is printed)
    |- InputFileError               4   fix or replace a file
    |  |- ModelError                4   fix the model (node named where known)
    |  |  `- WrongAnswersError      1   it answers otherwise than when it was converted: convert it again, trust it not
    |  |- BundleError               4   the .edge file is damaged, unsafe or from another version
    |  `- DataError                 4   fix the calibration or evaluation data
    |- OutputError                  1   make room or change the output path; nothing half-written is left
    |- DoesNotFitError              1   take a smaller model or a board with more memory
    |- DeviceError                  3   the device or its engine is not there
    |  `- EngineError               3   the engine is missing, too old or refused the request
    |     `- FallbackError          1   only the CPU would run what an accelerator should; or ask for the CPU
    `- InternalError                1   a bug in edgert: report it

Programmer mistakes raise TypeError or ValueError instead. A failed gate or a regression is a result, not an exception.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "BundleError",
    "DataError",
    "DeviceError",
    "DoesNotFitError",
    "DynamicShapeError",
    "EdgertError",
    "EngineError",
    "FallbackError",
    "InputFileError",
    "InternalError",
    "MissingExtraError",
    "MissingToolError",
    "ModelError",
    "OutputError",
    "RecipeError",
    "UsageError",
    "WrongAnswersError",
    "did_you_mean",
]


class EdgertError(Exception):
    """Base of every deliberate error; `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(EdgertError):
    """The command line or an API argument cannot be used as given."""

    exit_code = 2


class RecipeError(UsageError):
    """A key or value of edgert.toml is wrong."""


class MissingExtraError(UsageError):
    """An optional package is needed; the message is one copyable line."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.package, self.extra, self.purpose = package, extra, purpose
        super().__init__(f"{purpose} needs the package {package!r}; install it with: pip install 'edgert[{extra}]'")


class MissingToolError(UsageError):
    """A program of the operating system is needed; the message is one copyable line."""

    def __init__(self, program: str, packages: str, purpose: str) -> None:
        self.program, self.packages, self.purpose = program, packages, purpose
        super().__init__(f"{purpose} needs {program}; on Debian: apt install {packages}")


class DynamicShapeError(UsageError):
    """An axis of a model input has no fixed size and one is needed."""

    def __init__(self, tensor: str, shape: tuple[int | str | None, ...], suggestion: tuple[int, ...]) -> None:
        self.tensor, self.shape, self.suggestion = tensor, shape, suggestion
        axes = [i for i, d in enumerate(shape) if not isinstance(d, int)]
        named = ", ".join(f"{i} ({shape[i]!r})" if shape[i] else str(i) for i in axes)
        flag = f"--shape {tensor}={','.join(str(d) for d in suggestion)}"
        super().__init__(f"input {tensor!r} has no fixed size on axis {named}; fix it with: {flag}")


class InputFileError(EdgertError):
    """A file given by the user cannot be used."""

    exit_code = 4


class ModelError(InputFileError):
    """A model file is damaged, unsafe or holds something edgert cannot convert."""

    def __init__(self, text: str, *, path: Path | None = None, node: str | None = None) -> None:
        self.path, self.node = path, node
        where = ": ".join(str(p) for p in (path, f"node {node!r}" if node else None) if p)
        super().__init__(f"{where}: {text}" if where else text)


class WrongAnswersError(ModelError):
    """A bundle's model does not give the outputs that the bundle holds: changed weights, or an engine at fault."""

    exit_code = 1


class BundleError(InputFileError):
    """A .edge file is damaged, unsafe or from another version of edgert."""


class DataError(InputFileError):
    """Calibration, evaluation or input data does not fit the model."""


class OutputError(EdgertError):
    """The result could not be written; no partial file is left behind."""


class DoesNotFitError(EdgertError):
    """A model needs more of a memory than there is; `smallest_bytes` is the least that it can be made to take.

    `layer` is the one where most of it is in use; `text` says all of it in other words.
    """

    def __init__(
        self, name: str, memory: str, limit_bytes: int, smallest_bytes: int, layer: str = "", text: str | None = None
    ) -> None:
        self.name, self.memory, self.layer = name, memory, layer
        self.limit_bytes, self.smallest_bytes = limit_bytes, smallest_bytes
        where = f", most of them at layer {layer!r}" if layer else ""
        needs = f"{name} needs at least {smallest_bytes:,} bytes of {memory}{where}; {limit_bytes:,} are allowed"
        super().__init__(text or needs)


class DeviceError(EdgertError):
    """A device cannot be reached or did not answer as agreed."""

    exit_code = 3


class EngineError(DeviceError):
    """An inference engine is missing, too old, or refused what it was asked."""


class FallbackError(EngineError):
    """A model would run on the CPU of a device whose accelerator it was meant for, and nobody asked for the CPU."""

    exit_code = 1


class InternalError(EdgertError):
    """A broken invariant inside edgert."""


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Returns ``; did you mean 'x'?`` for the nearest allowed word, else the list of allowed words."""
    options = sorted(allowed)
    near = difflib.get_close_matches(word, options, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; allowed: {', '.join(options)}" if options else ""
