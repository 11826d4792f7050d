"""Writes the graph as an ordinary ONNX file that runs with no edgert installed."""

from __future__ import annotations

import onnx_ir as ir

from edgert_converters.batch_norm_notes import BATCH_NORM_KEY

__all__ = ["EXPORT_IR_VERSION", "serialize"]

EXPORT_IR_VERSION = 8
"""IR version of opset 17 and 18; ONNX Runtime 1.17, the oldest engine listed for a board, reads up to 9."""


def serialize(model: ir.Model, ir_version: int = EXPORT_IR_VERSION) -> bytes:
    """Returns the bytes of the ONNX file, the same for the same graph.

    Shapes of intermediate values are left out: every engine infers them, and beside long names they outweigh the
    weights of a small model. So are the notes on folded normalisations, which only the quantizer reads.

    Raises:
        ValueError: the model is larger than the 2 GB that one ONNX file can hold.
    """
    proto = ir.to_proto(model)
    proto.ir_version = ir_version
    del proto.graph.value_info[:]
    for node in proto.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key != BATCH_NORM_KEY]
        if len(kept) < len(node.metadata_props):
            del node.metadata_props[:]
            node.metadata_props.extend(kept)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data
