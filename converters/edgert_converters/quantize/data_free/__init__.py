"""Calibration without data: synthetic inputs, ranges with a margin, and what folded normalisations still know."""

from edgert_converters.quantize.data_free.calibration import DataFreeCalibration, data_free_calibration

__all__ = ["DataFreeCalibration", "data_free_calibration"]
