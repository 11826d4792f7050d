"""What the operator table says about one operator: the types that every file in this folder fills in.

One file per operator answers everything anyone asks about it. A hook that is None means: not supported there.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams

if TYPE_CHECKING:
    import onnx_ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = [
    "Array",
    "AttributeValue",
    "Case",
    "ChannelRule",
    "IntegerRule",
    "Node",
    "Operator",
    "QTensor",
    "QuantRule",
    "ReferenceRule",
    "TfliteReader",
    "TfliteWriter",
]

Array: TypeAlias = NDArray[np.generic]
AttributeValue: TypeAlias = "int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | Array"


@dataclass(frozen=True, slots=True)
class Node:
    """One occurrence of an operator with everything static resolved.

    `input_shapes[i]` is None for an absent optional input; `constants[i]` holds input i where it is a constant.
    """

    op_type: str
    name: str
    attributes: Mapping[str, AttributeValue]
    input_shapes: tuple[tuple[int, ...] | None, ...]
    output_shapes: tuple[tuple[int, ...], ...]
    constants: Mapping[int, Array] = field(default_factory=dict)
    opset: int = 18


@dataclass(frozen=True, slots=True)
class QTensor:
    """Integers with their parameters."""

    values: Array
    params: QuantParams


class QuantRule(enum.Enum):
    """How the quantizer treats an operator."""

    COMPUTE = "compute"  # int8 weights per output channel, int32 bias, output with its own range (Conv, Gemm, MatMul)
    OWN = "own"  # quantized inputs, output with its own range (Add, Mul, Concat, AveragePool, Sigmoid, ...)
    SHARED = "shared"  # moves or selects values: output takes the parameters of its first input (Reshape, MaxPool, ...)
    CLAMP = "clamp"  # folded into the producer's output range where the producer is quantized (Relu, Clip)
    FLOAT = "float"  # stays float between DequantizeLinear and QuantizeLinear


class ChannelRule(enum.Enum):
    """How output channels depend on input channels, for structured pruning."""

    PRODUCES = "produces"  # output channels are its own (Conv, Gemm)
    KEEPS = "keeps"  # output channel i is input channel i (Relu, pooling, depthwise convolution)
    JOINS = "joins"  # all inputs must keep the same channels (Add, Mul)
    STACKS = "stacks"  # output channels are the inputs' one after another (Concat)
    BREAKS = "breaks"  # channels cannot be followed through it (Reshape that moves them, Softmax over them)


class MacsRule(Protocol):
    """Multiply-accumulates of one occurrence, for its static shapes (leading dimension counted as it stands)."""

    def __call__(self, node: Node) -> int:
        """Returns the count; 0 for operators that only move or compare values."""
        ...


class ReferenceRule(Protocol):
    """Float (or integer index) semantics in numpy; `inputs[i]` is None for an absent optional input."""

    def __call__(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """Returns the outputs; float32 in, float32 out, accumulation in float64 where it sums."""
        ...


class IntegerRule(Protocol):
    """Exact integer semantics of the numerics contract (docs/numerics.md).

    `inputs[i]` is a QTensor where the input is quantized, a plain array where it is an index or shape, None where
    absent. `outputs[k]` are the parameters of the quantized outputs.
    """

    def __call__(
        self, node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]
    ) -> list[QTensor]:
        """Returns the quantized outputs."""
        ...


class TfliteReader(Protocol):
    """Adds to the ONNX graph under construction what one TFLite operator computes."""

    def __call__(self, operator: TfOperator, graph: ImportGraph) -> None:
        """Reads the inputs through `graph` and ends with `graph.finish` for each output.

        Raises:
            ModelError: an option or a shape that has no ONNX counterpart; `graph.error(operator, ...)` makes it.
        """
        ...


class TfliteWriter(Protocol):
    """Adds to the TFLite graph under construction what one ONNX node computes."""

    def __call__(self, node: onnx_ir.Node, graph: ExportGraph) -> None:
        """Reads the inputs through `graph` and ends with `graph.emit`.

        Raises:
            ModelError: TFLite cannot express it; `graph.unsupported(node, why)` makes it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """One test case: attributes and inputs (float32 or index types); `constant_inputs` are initializers, not inputs.

    The conformance suite runs it in the ONNX reference evaluator, the float reference, and quantized in the integer
    rule and ONNX Runtime.
    """

    name: str
    inputs: tuple[Array | None, ...]
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    constant_inputs: tuple[int, ...] = ()
    outputs: int = 1


@dataclass(frozen=True, slots=True)
class Operator:
    """Everything edgert knows about one ONNX operator.

    `onnxruntime_int8`: ONNX Runtime on x86 runs its QDQ form with uint8 activations on integers (the conformance suite
    looks at the kernels that ran). `fixed_output`: scale and int8 zero point that a quantized output must have.
    `integer_q31`: the rule in `q31` requantization mode, bit for bit what TensorFlow Lite Micro's reference kernel
    gives; None: `integer` holds in both modes. `from_tflite`: by TFLite operator, for those that this operator stands
    for; `to_tflite` also writes the quantized form. `domain` is "" for the standard one.
    """

    op_type: str
    macs: MacsRule
    reference: ReferenceRule
    quantization: QuantRule
    channels: ChannelRule
    cases: tuple[Case, ...]
    integer: IntegerRule | None = None
    integer_q31: IntegerRule | None = None
    onnxruntime_int8: bool = False
    fixed_output: tuple[float, int] | None = None
    note: str = ""
    from_tflite: Mapping[str, TfliteReader] = field(default_factory=dict)
    to_tflite: TfliteWriter | None = None
    domain: str = ""
