"""The two steps of the chain that need torch, which is imported only when one of them runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgert.errors import MissingExtraError
from edgert_converters.quantize.draft import Calibration, Change, Draft, Settings
from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.scheme import Granularity

__all__ = ["adaround", "reconstruct"]


def adaround(draft: Draft, calibration: Calibration, settings: Settings) -> Draft:
    """Returns the draft with weights rounded and biases set by what every layer computes (layerwise.py).

    Raises:
        MissingExtraError: torch is not installed.
    """
    _import_torch()
    from edgert_converters.quantize.reconstruct.layerwise import round_by_layers, round_network

    refusal = _refusal(draft.final)
    if refusal is not None:
        return draft.changed(Change("adaround", "all layers", "left as they are", refusal))
    return round_network(draft, calibration, settings, "adaround", _clock(settings), round_by_layers)


def reconstruct(draft: Draft, calibration: Calibration, settings: Settings) -> Draft:
    """Returns the draft with weights and biases learned by what every block computes (block.py).

    Raises:
        MissingExtraError: torch is not installed.
    """
    _import_torch()
    from edgert_converters.quantize.reconstruct.block import reconstruct_blocks

    refusal = _refusal(draft.final)
    if refusal is not None:
        return draft.changed(Change("reconstruction", "all blocks", "left as they are", refusal))
    return reconstruct_blocks(draft, calibration, settings, "reconstruction")


def _clock(settings: Settings) -> Callable[[], bool]:
    end = time.monotonic() + settings.time_limit_s
    return lambda: time.monotonic() > end


def _refusal(plan: Plan) -> str | None:
    """Why the weights of a plan cannot be chosen by their layers' outputs, or None."""
    if plan.scheme.granularity is Granularity.BLOCK:
        return "weights that share scales in blocks along the summed axis are not supported"
    if plan.scheme.activation is None:
        return "operators with float activations are not supported"
    return None if plan.weights else "no operator has integer weights"


def _import_torch() -> None:
    try:
        import torch  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise MissingExtraError("torch", "torch", "rounding weights by reconstruction") from error
