"""The layers that a recipe keeps float (`float_layer`): names or patterns of names, as the layers table has them."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import onnx_ir as ir

from edgert.errors import UsageError, did_you_mean
from edgert_converters.quantize.existing import is_quantized

__all__ = ["check_float_layers", "named_layers"]


def named_layers(model: ir.Model, patterns: Sequence[str]) -> frozenset[str]:
    """Returns the names of the nodes of a graph that one of the patterns names or matches (`*`, `?`, `[abc]`)."""
    names = [str(node.name) for node in model.graph] if patterns else []
    return frozenset(name for name in names if any(_matches(name, pattern) for pattern in patterns))


def check_float_layers(model: ir.Model, patterns: Sequence[str], path: Path, *, requantize: bool) -> None:
    """Refuses, before any work, what keeps nothing float.

    Raises:
        UsageError: a pattern matches no layer, or the model is quantized already.
    """
    if patterns and is_quantized(model) and not requantize:
        raise UsageError(
            f"{path.name} is quantized already and --float-layer {patterns[0]} starts from float; add --requantize"
        )
    for pattern in patterns:
        if not named_layers(model, (pattern,)):
            names = [str(node.name) for node in model.graph]
            near = did_you_mean(pattern, names)
            hint = near if "did you mean" in near else f"; edgert inspect {path} lists them"
            raise UsageError(f"--float-layer {pattern!r} matches no layer of {path.name}{hint}")


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)
