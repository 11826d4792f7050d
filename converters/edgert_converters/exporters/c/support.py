"""Which operators of the table become C, found by lowering the operators' own test cases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import onnx_ir as ir

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert_converters.exporters.c.core import Core
from edgert_converters.exporters.c.export import lower
from edgert_converters.exporters.c.network import Network
from edgert_converters.ops.case_models import build_float_model, build_qdq_model
from edgert_converters.ops.spec import Operator

__all__ = ["c_support"]

_WITH_INT16: Final = frozenset({"Add", "Conv", "Gemm", "MatMul"})
_HOST: Final = Core("host")


def c_support(spec: Operator) -> str:
    """Returns `int8`, `int8, int16`, `float`, or why the operator has no kernel."""
    if spec.to_tflite is None:
        return "-"
    if any(_is_integer(network) for network in _lowered(_quantized(spec))):
        return "int8, int16" if spec.op_type in _WITH_INT16 else "int8"
    if any(True for _ in _lowered(_floats(spec))):
        return "float"
    return "-: no kernel"


def _quantized(spec: Operator) -> Iterator[ir.Model]:
    for case in spec.cases:
        built = build_qdq_model(spec, case, DType.INT8)
        if built is not None:
            yield built[0]


def _floats(spec: Operator) -> Iterator[ir.Model]:
    return (build_float_model(spec, case) for case in spec.cases)


def _lowered(models: Iterator[ir.Model]) -> Iterator[Network]:
    for model in models:
        try:
            network = lower(model, _HOST, "case")
        except ModelError:
            continue
        yield network


def _is_integer(network: Network) -> bool:
    return not any(buffer.dtype is DType.FLOAT for buffer in network.buffers)
