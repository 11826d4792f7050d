"""Which kernels an engine makes of a network: it is asked, by loading the network here and running it once.

Nothing is timed. An engine on a board fuses as the same engine does here, but for layouts that only one processor has:
what is laid out in blocks here (ONNX Runtime on x86) is asked for in the plain layout where the platform is another.
"""

from __future__ import annotations

import platform
from pathlib import Path

from edgert.bundle import Bundle
from edgert.cost.device_cost import Platform, Sizes
from edgert.cost.kernels import Kernel, kernels_of
from edgert.cost.records import sizes_of
from edgert.errors import UsageError
from edgert.profiler.model_input import choose_input
from edgert.runtime.session import load_profiled

__all__ = ["ENGINE", "detect_kernels"]

ENGINE = "onnxruntime"
"""The one engine that tells which kernels it runs, with their shapes, and can be asked on a laptop."""
_PLAIN_LAYOUT = "extended"


def detect_kernels(path: Path, variant_id: str, target: Platform) -> tuple[tuple[Kernel, ...], Sizes]:
    """Returns the kernels of a bundle's variant on a platform, and its sizes.

    Raises:
        UsageError: the variant is not for ONNX Runtime.
        EngineError: ONNX Runtime is not installed here, or cannot run it.
        BundleError: the bundle is damaged or has no such variant.
    """
    with Bundle.open(path) as bundle:
        variant, golden = bundle.manifest.variant(variant_id), bundle.golden()
    if variant.format != "onnx":
        raise UsageError(f"{variant.id}: kernels are predicted for {ENGINE} only, whose variants are named onnx-...")
    options = {} if target.architecture == platform.machine() else {"graph_optimization": _PLAIN_LAYOUT}
    with load_profiled(path, variant.id, 1, ENGINE, options, tuned=False) as session:
        inputs, _ = choose_input(session, {}, golden, {}, 0)
        session.run(inputs)
        return kernels_of(session.layer_times(), variant.layers), sizes_of(variant)
