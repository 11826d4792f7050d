"""QuantizeLinear and DequantizeLinear, per tensor and per axis (no blocks)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams, dequantize, quantize
from edgert_converters.ops.attributes import get_int, normalise_axis, require_input
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import normal, scalar
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule, ReferenceRule, TfliteReader

if TYPE_CHECKING:
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["SPECS", "read_params"]


def read_params(
    node: Node, rank: int, scale: NDArray[Any], zero_point: NDArray[Any] | None, dtype: np.dtype[Any] | None = None
) -> QuantParams:
    """Returns the parameters that a QuantizeLinear or DequantizeLinear node holds for a tensor of `rank` axes.

    Args:
        node: the node, for its `axis` and its name.
        rank: number of dimensions of the quantized tensor.
        scale: float32, one or one per channel.
        zero_point: integers, or None for zero.
        dtype: the integer type where there is no zero point; uint8 by default.

    Raises:
        ModelError: the parameters are blocked or break an invariant (scale above zero, zero point in range).
    """
    if get_int(node, "block_size", 0) or scale.ndim > 1:
        raise ModelError(f"{node.op_type} with blocks of scales is not supported", node=node.name)
    kind = zero_point.dtype if zero_point is not None else dtype or np.dtype(np.uint8)
    zeros = np.zeros(scale.shape, np.int64) if zero_point is None else zero_point
    axis = normalise_axis(get_int(node, "axis", 1), rank) if scale.ndim == 1 and scale.size > 1 else None
    try:
        return QuantParams(
            tuple(float(s) for s in scale.reshape(-1)),
            tuple(int(z) for z in zeros.reshape(-1)),
            DType.from_numpy(kind),
            axis,
        )
    except ValueError as e:
        raise ModelError(f"{node.op_type}: {e}", node=node.name) from e


def quantize_linear(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns clamp(rint(x / scale) + zero_point)."""
    x = require_input(node, inputs, 0)
    zero_point = inputs[2] if len(inputs) > 2 else None
    return [quantize(x, read_params(node, x.ndim, require_input(node, inputs, 1), zero_point))]


def dequantize_linear(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns (q - zero_point) * scale in float32."""
    q = require_input(node, inputs, 0)
    zero_point = inputs[2] if len(inputs) > 2 else None
    return [dequantize(q, read_params(node, q.ndim, require_input(node, inputs, 1), zero_point, q.dtype))]


def read_quantize(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds the integers of TFLite's QUANTIZE, from real numbers or from other integers."""
    placed = graph.read(operator.inputs[0])
    graph.requantize(operator, placed.value, placed.order)


def read_dequantize(operator: TfOperator, graph: ImportGraph) -> None:
    """Takes the real numbers that stand for an integer tensor already; float16 becomes float32."""
    source = operator.inputs[0]
    if graph.tensor(source).dtype is not DType.FLOAT16:
        graph.alias(operator, source)
        return
    placed = graph.read(source)
    graph.finish(operator, graph.add("Cast", [placed.value], {"to": _ONNX_FLOAT}), placed.order)


def _operator(
    op_type: str, reference: ReferenceRule, cases: tuple[Case, ...], readers: Mapping[str, TfliteReader]
) -> Operator:
    return Operator(
        op_type=op_type,
        macs=no_macs,
        reference=reference,
        quantization=QuantRule.FLOAT,
        channels=ChannelRule.KEEPS,
        cases=cases,
        note="the border between float and integers",
        from_tflite=readers,
    )


_ONNX_FLOAT = 1
_X = normal(2, 3, 5, seed=1)
_Q = np.random.default_rng(2).integers(-128, 128, (2, 3, 5)).astype(np.int8)
_SCALES = np.asarray([0.01, 0.02, 0.05], np.float32)
_ZEROS = np.zeros(3, np.int8)

SPECS: Final = (
    _operator(
        "QuantizeLinear",
        quantize_linear,
        (
            Case("uint8", (_X, scalar(0.02), np.asarray(120, np.uint8)), {}, (1, 2)),
            Case("int8_per_channel", (_X, _SCALES, _ZEROS), {"axis": 1}, (1, 2)),
        ),
        {"QUANTIZE": read_quantize},
    ),
    _operator(
        "DequantizeLinear",
        dequantize_linear,
        (
            Case("int8", (_Q, scalar(0.02), np.asarray(-3, np.int8)), {}, (1, 2)),
            Case("int8_per_channel", (_Q, _SCALES, _ZEROS), {"axis": 1}, (1, 2)),
        ),
        {"DEQUANTIZE": read_dequantize},
    ),
)
