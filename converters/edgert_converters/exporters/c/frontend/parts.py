"""What a front end's C consists of: tables in flash, the literals of its kernel, sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgert.quant import QuantParams
from edgert.runtime.audio.integers import log_corrections
from edgert.runtime.audio.mfcc import FEATURE_BITS, build_mfcc
from edgert.runtime.audio.micro_frontend import FEATURE_UNIT, build_micro_frontend
from edgert.runtime.audio.settings import MfccSettings, MicroFrontendSettings
from edgert.runtime.audio.short_spectrum import build_short_twiddles
from edgert.runtime.audio.spectrum import Bands, build_twiddles
from edgert_converters.exporters.c.frontend.thresholds import find_thresholds
from edgert_converters.exporters.c.network import Constant
from edgert_converters.ops.spec import Array

__all__ = ["FrontEnd", "mfcc_parts", "micro_parts"]


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """One call of a kernel `edgert_KERNEL`: `constants` follow its pointers, then `literals`."""

    kernel: str
    header: str
    constants: tuple[Constant, ...]
    literals: Mapping[str, int]
    scratch_bytes: int


def mfcc_parts(settings: MfccSettings, quant: QuantParams) -> FrontEnd:
    """Returns the parts of an MFCC front end for an input of these parameters."""
    tables = build_mfcc(settings)
    half = tables.points // 2
    constants = [
        *_spectrum_constants(tables.window, build_twiddles(tables.points), tables.bands),
        _constant("cosines", tables.cosines, "cosine transform [coefficients][channels], with its scale and ln 2"),
        _constant("thresholds", find_thresholds(quant, 2.0**-FEATURE_BITS), "features of 1/1024 per step of int8"),
    ]
    literals = {
        "samples": settings.samples,
        "window": settings.window,
        "step": settings.step,
        "half": half,
        "channels": settings.channels,
        "coefficients": settings.coefficients,
        "floor": tables.floor,
        "unit": tables.unit,
        "drop": 16 + tables.cosine_bits - FEATURE_BITS,
    }
    return FrontEnd("mfcc", "frontend_mfcc", tuple(constants), literals, 8 * half + 8 * settings.channels)


def micro_parts(settings: MicroFrontendSettings, quant: QuantParams) -> FrontEnd:
    """Returns the parts of a micro_frontend for an input of these parameters."""
    tables = build_micro_frontend(settings)
    half = tables.points // 2
    constants = [
        *_spectrum_constants(tables.window, build_short_twiddles(tables.points), tables.bands),
        _constant("gains", tables.gains, "gain for noise of 0 and 1, then a parabola for every octave"),
        _constant("thresholds", find_thresholds(quant, FEATURE_UNIT), "features per step of int8"),
    ]
    literals = {
        "window": settings.window,
        "half": half,
        "channels": settings.channels,
        "even": tables.smoothing[0],
        "odd": tables.smoothing[1],
        "remaining": tables.remaining,
        "snr_shift": tables.snr_shift,
        "correction_bits": tables.correction_bits,
        "log_shift": settings.log_shift,
    }
    return FrontEnd("micro_row", "frontend_micro", tuple(constants), literals, 4 * half + 8 * settings.channels)


def _spectrum_constants(window: Array, turns: Array, bands: Bands) -> Sequence[Constant]:
    return (
        _constant("weights", window, "Hann window"),
        _constant("turns", turns, "(cos, -sin)"),
        _constant("first", bands.first, "first bin of every stretch"),
        _constant("rise", bands.rise, "how far a bin lies in its stretch"),
        _constant("corrections", log_corrections(), "log2(1 + i / 128) - i / 128 in 1/65536"),
    )


def _constant(name: str, values: Array, comment: str) -> Constant:
    return Constant(name, f"{np.dtype(values.dtype).name}_t", values.reshape(-1), comment, is_payload=False)
