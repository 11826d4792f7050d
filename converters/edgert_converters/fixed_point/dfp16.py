"""Dynamic fixed point 16: int16 tensors, each with one power-of-two exponent, int32 sums that cannot overflow.

Source: Das et al., Mixed Precision Training of Convolutional Neural Networks using Integer Operations, 2018,
arXiv:1802.00930. Deviations: exponents come from calibration, with one bit of headroom, where the paper follows each
tensor at run time; sums never leave integers (see dot.py); every operator, not only products, computes in integers.
"""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from edgert_converters.fixed_point.network import FixedPointNetwork
from edgert_converters.fixed_point.plan import Family, build_network
from edgert_converters.quantize.calibrate import Samples

__all__ = ["DFP16", "quantize_dfp16"]

DFP16: Final = Family("dfp16", bits=16, headroom=1)


def quantize_dfp16(model: ir.Model, samples: Samples) -> FixedPointNetwork:
    """Returns a clean float graph as a network of int16 tensors with a shared exponent each.

    Args:
        model: the float graph, sorted; not changed.
        samples: gives the calibration inputs by name, batch 1, from the start each time.

    Raises:
        ModelError: the graph is quantized already, or a node has no integer rule (it is named).
        DataError: there are no samples, or a tensor holds NaN or an infinity.
    """
    return build_network(model, DFP16, samples)
