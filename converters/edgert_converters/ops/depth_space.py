"""DepthToSpace and SpaceToDepth: blocks of channels become pixels and back; layout NCHW."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from edgert_converters.ops.attributes import get_int, get_str, require_input
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.space_batch_tflite import (
    read_batch_to_space,
    read_depth_to_space,
    read_space_to_batch,
    read_space_to_depth,
    write_depth_to_space,
    write_space_to_depth,
)
from edgert_converters.ops.spec import (
    Array,
    Case,
    ChannelRule,
    Node,
    Operator,
    QuantRule,
    ReferenceRule,
    TfliteReader,
    TfliteWriter,
)

__all__ = ["SPECS"]

_BLOCK_FIRST: Final = (0, 3, 4, 1, 5, 2)
_CHANNEL_FIRST: Final = (0, 1, 4, 2, 5, 3)


def depth_to_space(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x[N, C, H, W] as [N, C / b^2, H * b, W * b]; the block is the first (DCR) or last part of C."""
    x = require_input(node, inputs, 0)
    block = get_int(node, "blocksize", 1)
    n, c, h, w = x.shape
    if get_str(node, "mode", "DCR") == "DCR":
        parts = x.reshape(n, block, block, c // block**2, h, w).transpose(_BLOCK_FIRST)
    else:
        parts = x.reshape(n, c // block**2, block, block, h, w).transpose(_CHANNEL_FIRST)
    return [np.ascontiguousarray(parts).reshape(n, c // block**2, h * block, w * block)]


def space_to_depth(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x[N, C, H, W] as [N, C * b^2, H / b, W / b]; the block is the first part of the new channels."""
    x = require_input(node, inputs, 0)
    block = get_int(node, "blocksize", 1)
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // block, block, w // block, block)
    moved = np.ascontiguousarray(parts.transpose(0, 3, 5, 1, 2, 4))
    return [moved.reshape(n, c * block**2, h // block, w // block)]


_READERS: Final[dict[str, dict[str, TfliteReader]]] = {
    "DepthToSpace": {"DEPTH_TO_SPACE": read_depth_to_space, "BATCH_TO_SPACE_ND": read_batch_to_space},
    "SpaceToDepth": {"SPACE_TO_DEPTH": read_space_to_depth, "SPACE_TO_BATCH_ND": read_space_to_batch},
}
_WRITERS: Final[dict[str, TfliteWriter]] = {
    "DepthToSpace": write_depth_to_space,
    "SpaceToDepth": write_space_to_depth,
}


def _operator(op_type: str, reference: ReferenceRule, *cases: Case, fused: bool = False) -> Operator:
    return Operator(
        op_type=op_type,
        macs=no_macs,
        reference=reference,
        quantization=QuantRule.SHARED,
        channels=ChannelRule.BREAKS,
        cases=cases,
        integer=move_integers(reference),
        onnxruntime_int8=fused,
        from_tflite=_READERS[op_type],
        to_tflite=_WRITERS[op_type],
    )


_DEEP = normal(2, 12, 3, 5, seed=1)

SPECS: Final = (
    _operator(
        "DepthToSpace",
        depth_to_space,
        Case("block_first", (_DEEP,), {"blocksize": 2}),
        Case("channel_first", (_DEEP,), {"blocksize": 2, "mode": "CRD"}),
        fused=True,
    ),
    _operator("SpaceToDepth", space_to_depth, Case("plain", (normal(2, 3, 6, 4, seed=2),), {"blocksize": 2})),
)
