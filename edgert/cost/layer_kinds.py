"""What kind of work a layer is: kinds that engines compute in the same way, whatever the operator is called."""

from __future__ import annotations

import math

from edgert.bundle import LayerRecord

__all__ = ["KINDS", "TYPES", "kind_of", "type_of"]

KINDS = (
    *("dense", "window", "depthwise", "product"),
    *("pool", "arithmetic", "clamp", "curve", "move", "view", "other"),
)
"""Convolutions of 1x1, with a window, of each channel by itself; matrix products; then what has few or no products:
pooling and sums, element by element, bounds that engines fuse, functions that take long, moves, mere views."""

TYPES = ("float", "integer")

_KIND_OF = {
    "product": "Attention BiLSTM Einsum GRU Gemm LSTM MatMul MatMulInteger MatMulNBits QLinearMatMul RNN",
    "pool": "AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool ReduceL1 ReduceL2 "
    "ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare ArgMax ArgMin CumSum",
    "arithmetic": "Abs Add And BatchNormalization Ceil Div Equal Floor Greater GreaterOrEqual Less LessOrEqual "
    "Max Mean Min Mod Mul Neg Not Or Round Sign Sub Sum Where Xor",
    "clamp": "Clip LeakyRelu PRelu Relu ThresholdedRelu",
    "curve": "Cos Elu Erf Exp Gelu GroupNormalization HardSigmoid HardSwish InstanceNormalization LayerNormalization "
    "Log LogSoftmax LpNormalization MeanVarianceNormalization Mish Pow Reciprocal Selu Sigmoid Sin Softmax Softplus "
    "Softsign Sqrt Swish Tanh",
    "move": "Cast Concat DepthToSpace Expand Gather GatherElements GatherND Pad Resize ReverseSequence ScatterElements "
    "ScatterND Slice SpaceToDepth Split Tile TopK Transpose Upsample QuantizeLinear DequantizeLinear",
    "view": "Constant Dropout Flatten Identity Reshape Shape Squeeze Unsqueeze",
}
_KINDS_BY_OP = {op: kind for kind, ops in _KIND_OF.items() for op in ops.split()}


def kind_of(layer: LayerRecord) -> str:
    """Returns one of KINDS; an operator that is in no list is `other`."""
    if layer.op in {"Conv", "ConvInteger", "QLinearConv"} and layer.input_shapes and layer.output_shapes:
        channels = layer.input_shapes[0][1]
        depth = max(channels // int(layer.attributes.get("group", 1) or 1), 1)
        if depth == 1 and channels > 1:
            return "depthwise"
        return "dense" if layer.macs <= math.prod(layer.output_shapes[0]) * depth else "window"
    return "window" if layer.op == "ConvTranspose" else _KINDS_BY_OP.get(layer.op, "other")


def type_of(layer: LayerRecord) -> str:
    """Returns `integer` where a layer computes quantized numbers, else `float`."""
    return "integer" if layer.dtype.is_quantized else "float"
