"""The table of range methods, and the parameters of a tensor by one of them."""

from __future__ import annotations

from collections.abc import Mapping

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert.recipe import RangeMethod
from edgert_converters.quantize.ranges.entropy import entropy_range
from edgert_converters.quantize.ranges.method import RangeMethodRule, RangeRule
from edgert_converters.quantize.ranges.min_max import min_max_range
from edgert_converters.quantize.ranges.mse import mse_range
from edgert_converters.quantize.ranges.octav import octav_range
from edgert_converters.quantize.ranges.params import params_for_range, symmetric_params
from edgert_converters.quantize.ranges.percentile import percentile_range
from edgert_converters.quantize.scheme import Scheme
from edgert_converters.quantize.statistics import RunningHistogram

__all__ = ["INT16_HEADROOM", "METHODS", "choose_params", "choose_range"]

INT16_HEADROOM = 2.0
"""One of 16 bits. Of blocks with outliers, 32 calibration samples and 4 others, clipping left 23 to 35 dB, this 40."""

METHODS: Mapping[RangeMethod, RangeMethodRule] = {
    RangeMethod.MIN_MAX: min_max_range,
    RangeMethod.PERCENTILE: percentile_range,
    RangeMethod.MSE: mse_range,
    RangeMethod.ENTROPY: entropy_range,
    RangeMethod.OCTAV: octav_range,
}


def choose_params(statistics: RunningHistogram, rule: RangeRule, scheme: Scheme) -> QuantParams:
    """Returns per-tensor parameters for the tensor that `statistics` describe.

    Affine or symmetric int8 of the range that `rule` gives; symmetric int16 of twice everything seen: a step of 16 bits
    is far below any noise, and what other data exceeds the calibration data by would be clipped.

    Raises:
        ValueError: the scheme keeps activations float.
    """
    if scheme.activation is None:
        raise ValueError("float activations have no parameters")
    if scheme.activation is DType.INT16:
        low, high = choose_range(statistics, RangeRule(RangeMethod.MIN_MAX))
        return symmetric_params(INT16_HEADROOM * low, INT16_HEADROOM * high, scheme.activation)
    low, high = choose_range(statistics, rule, symmetric=scheme.symmetric)
    return symmetric_params(low, high, scheme.activation) if scheme.symmetric else params_for_range(low, high)


def choose_range(statistics: RunningHistogram, rule: RangeRule, *, symmetric: bool = False) -> tuple[float, float]:
    """Returns (low, high) for 8 bits by the rule's method; low is -high where `symmetric`."""
    if statistics.count == 0 or (statistics.minimum == 0.0 and statistics.maximum == 0.0):
        return 0.0, 0.0
    return METHODS[rule.method](statistics, rule, symmetric=symmetric)
