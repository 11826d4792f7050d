"""What a rule asks about an operator of the TFLite form."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams, dequantize
from edgert_converters.ops.spec import Array
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import OptionValue, TfOperator, TfSubgraph, TfTensor

__all__ = ["OperatorReader"]

_ADVICE = "take another operator in its place (docs/operators.md lists what C holds)"
_CLAMPS = {0: (-math.inf, math.inf), 1: (0.0, math.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}


class OperatorReader:
    """The operands, options and limits of operators of one graph; every refusal names the node."""

    def __init__(self, graph: TfSubgraph, mode: Requantize) -> None:
        """Changes nothing in the graph."""
        self.graph = graph
        self.mode = mode

    def tensor(self, operator: TfOperator, position: int) -> TfTensor:
        """Returns input `position` of an operator."""
        return self.graph.tensors[operator.inputs[position]]

    def result(self, operator: TfOperator, position: int = 0) -> TfTensor:
        """Returns output `position` of an operator."""
        return self.graph.tensors[operator.outputs[position]]

    def has_input(self, operator: TfOperator, position: int) -> bool:
        """True where an optional input is there."""
        return len(operator.inputs) > position and operator.inputs[position] >= 0

    def constant(self, operator: TfOperator, position: int) -> Array:
        """Returns the numbers of a constant input.

        Raises:
            ModelError: it is computed.
        """
        data = self.tensor(operator, position).data
        if data is None:
            raise self.refusal(operator, f"input {position} is computed; C needs a constant there")
        return data

    def quant(self, operator: TfOperator, tensor: TfTensor, wanted: DType = DType.INT8) -> QuantParams:
        """Returns the parameters of an integer activation.

        Raises:
            ModelError: it has none, or its type is not the one that the kernel takes.
        """
        if tensor.quant is None or tensor.dtype is not wanted:
            kind = "float" if tensor.dtype is None else tensor.dtype.value
            raise self.refusal(operator, f"{tensor.name!r} is {kind}; the kernels for it take {wanted.value}")
        return tensor.quant

    def weights(self, operator: TfOperator, position: int) -> tuple[NDArray[np.int8], QuantParams]:
        """Returns constant weights and their parameters.

        Raises:
            ModelError: they are not symmetric int8.
        """
        tensor, values = self.tensor(operator, position), self.constant(operator, position)
        if tensor.quant is None or values.dtype != np.int8 or any(tensor.quant.zero_point):
            raise self.refusal(operator, f"its weights are {values.dtype}; kernels take symmetric int8")
        return values.astype(np.int8, copy=False), tensor.quant

    def real_constant(self, operator: TfOperator, position: int) -> NDArray[np.float32]:
        """Returns a constant as floats; integers with scales are what they stand for.

        Raises:
            ModelError: it holds integers without a scale.
        """
        tensor, values = self.tensor(operator, position), self.constant(operator, position)
        if tensor.quant is not None:
            return dequantize(values, tensor.quant)
        if values.dtype != np.float32:
            raise self.refusal(operator, f"input {position} is {values.dtype}; a layer on floats takes floats there")
        return values.astype(np.float32, copy=False)

    def option(self, operator: TfOperator, name: str) -> int:
        """Returns a whole-number option."""
        value: OptionValue = operator.options[name]
        if not isinstance(value, int):
            raise TypeError(f"{operator.name}.{name} is {value!r}")
        return int(value)

    def clamp(self, operator: TfOperator, params: QuantParams) -> tuple[int, int]:
        """Returns the smallest and largest output integer, fused activation included."""
        low, high = params.dtype.integer_range
        first, last = _CLAMPS[self.option(operator, "fused_activation_function")]
        scale, zero = np.float32(params.scale[0]), params.zero_point[0]
        if math.isfinite(first):
            low = max(low, _whole(np.float32(first) / scale, self.mode) + zero)
        if math.isfinite(last):
            high = min(high, _whole(np.float32(last) / scale, self.mode) + zero)
        return low, high

    def refusal(self, operator: TfOperator, why: str, advice: str = _ADVICE) -> ModelError:
        """Returns an error that names the value that the operator makes, and says what to do."""
        name = self.result(operator).name
        return ModelError(f"{operator.name} cannot become C: {why}; {advice}", node=name)


def _whole(ratio: np.float32, mode: Requantize) -> int:
    """A limit in steps: `fp32` rounds half to even, `q31` half away from zero."""
    if mode is Requantize.FP32:
        return int(np.rint(ratio))
    return int(math.copysign(math.floor(abs(float(ratio)) + 0.5), float(ratio)))
