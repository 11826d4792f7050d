"""From statistics to the real range that an activation's integers cover; one file per method.

Every range holds 0, so that zero (padding, ReLU) is exact. A symmetric range is chosen as one, with the cost of a step
of largest / 127: the larger end of an affine range would be clipped for a step half as wide.
"""

from __future__ import annotations

from edgert_converters.quantize.ranges.choose import METHODS, choose_params, choose_range
from edgert_converters.quantize.ranges.method import RangeMethodRule, RangeRule
from edgert_converters.quantize.ranges.params import params_for_range, symmetric_params

__all__ = [
    "METHODS",
    "RangeMethodRule",
    "RangeRule",
    "choose_params",
    "choose_range",
    "params_for_range",
    "symmetric_params",
]
