"""Block-wise integer: every tensor is int8 in blocks of neighbours along its channels, each with a power of two.

Products are shifted and added in int32, non-linear functions are tables, so a network needs no float arithmetic.

Source: Dong et al., Blockwise Compression of Transformer-based Models without Retraining, 2023, arXiv:2304.01483
(blocks with shifts for weights, embeddings and intermediate results, tables for GELU, softmax and layer normalization).
Deviations: blocks lie along one axis, so that a block's products share a shift; constant factors (normalization scales,
divisors) keep 16 bits; biases are int32 at the exponent of their accumulator; exponents are fixed by calibration.
"""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from edgert.errors import UsageError
from edgert_converters.fixed_point.network import FixedPointNetwork
from edgert_converters.fixed_point.plan import Family, build_network
from edgert_converters.quantize.calibrate import Samples

__all__ = ["BLOCK_LENGTHS", "DEFAULT_BLOCK", "quantize_bct"]

BLOCK_LENGTHS: Final = (16, 32, 64)
DEFAULT_BLOCK: Final = 32


def quantize_bct(model: ir.Model, samples: Samples, block: int = DEFAULT_BLOCK) -> FixedPointNetwork:
    """Returns a clean float graph as a network of int8 tensors in blocks of `block` neighbours along the channels.

    Args:
        model: the float graph, sorted; not changed.
        samples: gives the calibration inputs by name, batch 1, from the start each time.
        block: neighbours that share an exponent, 16, 32 or 64.

    Raises:
        UsageError: another block length.
        ModelError: the graph is quantized already, or a node has no integer rule (it is named).
        DataError: there are no samples, or a tensor holds NaN or an infinity.
    """
    if block not in BLOCK_LENGTHS:
        raise UsageError(f"block length {block} is not supported; allowed: {', '.join(map(str, BLOCK_LENGTHS))}")
    return build_network(model, Family("bct", bits=8, block=block, searches_exponents=True), samples)
