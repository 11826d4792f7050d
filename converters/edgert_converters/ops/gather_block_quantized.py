"""ONNX Runtime's GatherBlockQuantized: rows of a table whose entries have a scale per block (embeddings)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.errors import ModelError
from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.packed_blocks import decode_blocks, pack_bits, unpack_bits
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns W[indices] for W[V, D] = (code - 2^(bits - 1)) * scale.

    Raises:
        ModelError: zero points, another axis than rows of blocks, or rows that are no whole number of blocks: edgert
            writes none of them.
    """
    if any(value is not None for value in inputs[3:]):
        raise ModelError("GatherBlockQuantized with zero points is not supported", node=node.name)
    packed, index, scales = (require_input(node, inputs, position) for position in range(3))
    block, bits = get_int(node, "block_size", 128), get_int(node, "bits", 4)
    codes = unpack_bits(packed.astype(np.uint8), bits)
    axes = get_int(node, "gather_axis", 0), get_int(node, "quantize_axis", 1)
    if axes != (0, 1) or packed.ndim != 2 or codes.shape[1] != scales.shape[1] * block:
        raise ModelError("GatherBlockQuantized reads rows of whole blocks only", node=node.name)
    rows = codes.reshape(codes.shape[0], -1, block)[index.astype(np.int64)]
    chosen = scales.astype(np.float32)[index.astype(np.int64)]
    return [decode_blocks(rows, chosen, bits).reshape(*index.shape, -1)]


def _case(bits: int, block: int) -> Case:
    rng = np.random.default_rng(bits + block)
    codes = rng.integers(0, 2**bits, (9, 2 * block)).astype(np.uint8)
    scales = rng.uniform(0.01, 0.02, (9, 2)).astype(np.float32)
    attributes = {"bits": bits, "block_size": block, "gather_axis": 0, "quantize_axis": 1}
    inputs = (pack_bits(codes, bits), ints(3, -1, 0, 5).reshape(2, 2), scales)
    return Case(f"int{bits}_blocks_of_{block}", inputs, attributes, (0, 2))


SPEC = Operator(
    op_type="GatherBlockQuantized",
    domain="com.microsoft",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=(_case(4, 32), _case(8, 64), _case(4, 128)),
    note="ONNX Runtime's own: an embedding of 4 or 8 bits with a scale per block",
)
