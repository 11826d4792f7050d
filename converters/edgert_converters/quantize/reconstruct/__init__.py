"""Rounding weights by what their operators or blocks compute on calibration data, instead of to nearest."""

from edgert_converters.quantize.reconstruct.steps import adaround, reconstruct

__all__ = ["adaround", "reconstruct"]
