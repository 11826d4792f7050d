"""A network in integers: named steps over fixed-point tensors, executed in numpy, bit for bit as C has to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from edgert.errors import DataError, InternalError, ModelError, did_you_mean
from edgert_converters.fixed_point import elementwise, moving, reducing, weighted
from edgert_converters.fixed_point.formats import FixedTensor, Format, dequantize_tensor, quantize_tensor
from edgert_converters.fixed_point.step import Kernel, Step, Value, bind
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import Array

__all__ = ["KERNELS", "PLAIN", "FixedPointNetwork"]

PLAIN: Final = "plain"
"""The kernel of steps on shapes and indices: the operator's own rule on plain integers."""

KERNELS: Final[Mapping[str, Kernel]] = MappingProxyType(
    {
        "Add": elementwise.run_add,
        "AveragePool": reducing.run_average_pool,
        "Clip": elementwise.run_clip,
        "Conv": weighted.run_conv,
        "Div": elementwise.run_div,
        "Gemm": weighted.run_gemm,
        "GlobalAveragePool": reducing.run_global_average_pool,
        "GlobalMaxPool": moving.run_pool,
        "LayerNormalization": reducing.run_layer_normalization,
        "MatMul": weighted.run_matmul,
        "Max": elementwise.run_maximum,
        "MaxPool": moving.run_pool,
        "Min": elementwise.run_minimum,
        "Mul": elementwise.run_mul,
        "Pad": moving.run_pad,
        "ReduceMax": reducing.run_reduce,
        "ReduceMean": reducing.run_reduce,
        "ReduceMin": reducing.run_reduce,
        "ReduceSum": reducing.run_reduce,
        "Relu": elementwise.run_relu,
        "Softmax": reducing.run_softmax,
        "Sqrt": elementwise.run_sqrt,
        "Sub": elementwise.run_sub,
        "Sum": elementwise.run_add,
        "Table": elementwise.run_table,
        **dict.fromkeys(moving.MOVERS, moving.run_move),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class FixedPointNetwork:
    """A quantized model of the `dfp16` or `bct` family.

    `formats` has every number-valued tensor by name; inputs and outputs without one hold plain integers. `constants`
    are weights and parameters in fixed point, or plain integers (shapes, indices).
    """

    family: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    formats: Mapping[str, Format]
    constants: Mapping[str, Value]
    steps: tuple[Step, ...]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Returns float32 outputs by name for float inputs; only this border computes in float.

        Raises:
            DataError: an input is missing or unknown.
            ModelError: a step cannot be executed with the shapes it got.
        """
        self._check_inputs(inputs)
        given: dict[str, Value] = {}
        for name in self.inputs:
            form = self.formats.get(name)
            given[name] = np.asarray(inputs[name]) if form is None else quantize_tensor(inputs[name], form)
        results = self.run_integers(given)
        return {n: dequantize_tensor(v) if isinstance(v, FixedTensor) else v for n, v in results.items()}

    def run_integers(self, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """Returns the outputs by name for inputs that are fixed-point tensors or plain integers.

        Raises:
            ModelError: a step cannot be executed with the shapes it got.
        """
        values: dict[str, Value] = {**self.constants, **inputs}
        last = _last_uses(self.steps)
        for index, step in enumerate(self.steps):
            results = self._execute(step, [None if n is None else values[n] for n in step.inputs])
            values.update(zip(step.outputs, results, strict=False))
            for name in step.inputs:
                if name is not None and last[name] == index and name not in self.outputs:
                    values.pop(name, None)
        return {name: values[name] for name in self.outputs}

    def _execute(self, step: Step, inputs: list[Value | None]) -> list[Value]:
        try:
            results = self._apply(step, inputs)
        except (ValueError, IndexError, TypeError) as e:
            raise ModelError(f"{step.op} cannot be executed: {e}", node=step.name) from e
        for result in results:
            array = result.values if isinstance(result, FixedTensor) else result
            if array.dtype.kind not in "iub":
                raise InternalError(f"step {step.name!r} of an integer network gave {array.dtype}")
        return results

    def _apply(self, step: Step, inputs: list[Value | None]) -> list[Value]:
        if step.kernel == PLAIN:
            arrays = [v for v in inputs if not isinstance(v, FixedTensor)]
            if step.op in {"Shape", "Size"}:  # of a fixed-point tensor they read the shape only
                arrays = [v.values if isinstance(v, FixedTensor) else v for v in inputs]
            return list(OPERATORS[step.op].reference(bind(step, arrays), arrays))
        formats = [self.formats[name] for name in step.outputs]
        return list(KERNELS[step.kernel](step, inputs, formats))

    def _check_inputs(self, inputs: Iterable[str]) -> None:
        given = set(inputs)
        for name in sorted(given - set(self.inputs)):
            raise DataError(f"the model has no input {name!r}{did_you_mean(name, self.inputs)}")
        for name in self.inputs:
            if name not in given:
                raise DataError(f"input {name!r} is missing; the model reads: {', '.join(self.inputs)}")


def _last_uses(steps: Iterable[Step]) -> dict[str, int]:
    return {name: index for index, step in enumerate(steps) for name in step.inputs if name is not None}
