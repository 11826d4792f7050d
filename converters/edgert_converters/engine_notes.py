"""What a variant asks of an engine beyond the oldest release that a target promises."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from edgert.target import Target

__all__ = ["opset_notes", "release_notes"]

_ENGINE = "onnxruntime"
_FIRST_WITH_OPSET = {21: "1.18.0", 22: "1.20.0"}
"""Releases of ONNX Runtime that read an opset first: https://onnxruntime.ai/docs/reference/compatibility.html."""


def opset_notes(model: ir.Model, targets: Sequence[Target]) -> tuple[str, ...]:
    """Returns a note where the model's opset is newer than an ONNX Runtime that one of the targets may have."""
    opset = model.graph.opset_imports.get("", 0)
    read = [engine.max_opset for target in targets for engine in target.engines if engine.name == _ENGINE]
    if all(limit is None or opset <= limit for limit in read):
        return ()
    return release_notes(_FIRST_WITH_OPSET[opset], targets, f"opset {opset}")


def release_notes(needed: str, targets: Sequence[Target], why: str = "") -> tuple[str, ...]:
    """Returns a note where a target promises an older ONNX Runtime than `needed`; `why` stands before it."""
    older = {
        target.name: engine.min_version
        for target in targets
        for engine in target.engines
        if engine.name == _ENGINE and _parts(engine.min_version) < _parts(needed)
    }
    if not older:
        return ()
    promised = ", ".join(f"{name} promises {version}" for name, version in older.items())
    return (f"{why}{': ' if why else ''}needs ONNX Runtime {needed} or newer; {promised}",)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
