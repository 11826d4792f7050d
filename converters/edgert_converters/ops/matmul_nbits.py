"""ONNX Runtime's MatMulNBits: a matrix product with constant weights that have a scale per block of the summed axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.errors import ModelError
from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.packed_blocks import decode_blocks, pack_bits, unpack_bits
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, AttributeValue, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def macs(node: Node) -> int:
    """Returns output elements times the summed length."""
    return int(np.prod(node.output_shapes[0], dtype=np.int64)) * get_int(node, "K", 0)


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x @ W.T for W[N, K] = (code - 2^(bits - 1)) * scale, summed in float64 and rounded once.

    Raises:
        ModelError: zero points, an order of groups or a bias: edgert writes none.
    """
    if any(value is not None for value in inputs[3:]):
        raise ModelError("MatMulNBits with zero points, g_idx or bias is not supported", node=node.name)
    x, packed, scales = (require_input(node, inputs, index) for index in range(3))
    n, k, bits = get_int(node, "N", 0), get_int(node, "K", 0), get_int(node, "bits", 4)
    codes = unpack_bits(packed.astype(np.uint8), bits)
    weight = decode_blocks(codes, scales.astype(np.float32).reshape(n, -1), bits).reshape(n, -1)[:, :k]
    return [np.matmul(x.astype(np.float64), weight.T.astype(np.float64)).astype(x.dtype)]


def _case(bits: int, block: int, k: int, *shape: int) -> Case:
    n, blocks = 6, -(-k // block)
    rng = np.random.default_rng(bits + block)
    codes = rng.integers(0, 2**bits, (n, blocks, block)).astype(np.uint8)
    scales = rng.uniform(0.01, 0.02, n * blocks).astype(np.float32)
    attributes: dict[str, AttributeValue] = {"K": k, "N": n, "bits": bits, "block_size": block}
    inputs = (normal(*shape, k, seed=block), pack_bits(codes, bits), scales)
    return Case(f"int{bits}_blocks_of_{block}", inputs, attributes, (1, 2))


SPEC = Operator(
    op_type="MatMulNBits",
    domain="com.microsoft",
    macs=macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=(_case(4, 32, 70, 3), _case(4, 128, 256, 2, 5), _case(8, 32, 64, 3), _case(8, 64, 100, 1)),
    note="ONNX Runtime's own: weights of 4 or 8 bits with a scale per block",
)
