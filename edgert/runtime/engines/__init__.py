"""The engines, one line each, and the choice among them. Importing this loads no engine."""

from __future__ import annotations

import importlib

from edgert.bundle import Variant
from edgert.errors import EngineError, UsageError, did_you_mean
from edgert.plugins import Engine

__all__ = ["ENGINES", "EXTRAS", "ONLY_BY_NAME", "TIMES_ONLY", "choose_engine", "get_engine"]

ENGINES = {
    "onnxruntime": "edgert.runtime.engines.onnxruntime:OnnxRuntimeEngine",
    "litert": "edgert.runtime.engines.litert:LiteRtEngine",
    "openvino": "edgert.runtime.engines.openvino:OpenVinoEngine",
    "tensorrt": "edgert.runtime.engines.tensorrt:TensorRtEngine",
    "trtexec": "edgert.runtime.engines.trtexec:TrtexecEngine",
}
"""Name -> `module:class`, in order of preference."""

EXTRAS = {"onnxruntime": "ort", "litert": "litert", "openvino": "openvino"}
"""Name -> what installs it: `pip install 'edgert[EXTRA]'`. The others come with a device's operating system."""

ONLY_BY_NAME = frozenset({"openvino", "tensorrt", "trtexec"})
"""Engines that run a variant only where somebody names them, or where a device's accelerator is meant."""

TIMES_ONLY = frozenset({"trtexec"})
"""Engines that give times and no outputs."""


def get_engine(name: str) -> Engine:
    """Returns the engine of that name; its package may still be missing.

    Raises:
        UsageError: there is no such engine.
    """
    if name not in ENGINES:
        raise UsageError(f"no engine {name!r}{did_you_mean(name, ENGINES)}")
    module, _, attribute = ENGINES[name].partition(":")
    engine: Engine = getattr(importlib.import_module(module), attribute)()
    return engine


def choose_engine(variant: Variant, name: str | None = None) -> Engine:
    """Returns the engine called `name`, else the first that accepts the variant.

    Raises:
        UsageError: there is no engine of that name.
        EngineError: no engine (or not the named one) runs this variant; the reasons are listed.
    """
    if variant.format == "c" and name is None:
        boards = ", ".join(variant.targets)
        raise EngineError(
            f"variant {variant.id!r} is C for {boards} and does not run on this computer; name the board with --device "
            "(serial:///dev/ttyACM0, or qemu:mps2-an386 for one in QEMU), or another variant with --variant"
        )
    reasons = []
    for candidate in [name] if name else [known for known in ENGINES if known not in ONLY_BY_NAME]:
        engine = get_engine(candidate)
        reason = engine.refusal(variant)
        if reason is None:
            return engine
        reasons.append(f"{candidate}: {reason}")
    raise EngineError(f"no engine here runs variant {variant.id!r} ({variant.format}): {'; '.join(reasons)}")
