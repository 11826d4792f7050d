"""Rounding weights by what their operators compute on calibration data, instead of to nearest."""

from edgert_converters.quantize.reconstruct.steps import adaround

__all__ = ["adaround"]
