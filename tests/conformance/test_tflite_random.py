"""Random single-operator graphs to TFLite and back, float and int8; the same examples in every run."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite")

from edgert.dtypes import DType
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.case_models import build_float_model, build_qdq_model, case_node
from edgert_converters.ops.spec import Array, Case
from tests.conformance.tflite_single import check_float, check_int8, record
from tests.conformance.tflite_strategies import cases

MOST_STEPS: Final = 1
"""Small tensors of a few values: a value on a rounding border moves by one step in one of three kernels."""
WRONG_REFERENCE: Final = {"ReduceSum"}
"""Compared with LiteRT's default kernels: its reference SUM forgets the scales of int8."""
BOUNDED: Final = settings(
    max_examples=600, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def _feed(case: Case) -> dict[str, Array]:
    return {f"x{i}": x for i, x in enumerate(case.inputs) if x is not None and i not in case.constant_inputs}


def _behind_pool(model: ir.Model) -> ir.Model:
    """Puts a pool of single pixels between the first input and its readers: the tensor then lies channels-last."""
    x = model.graph.inputs[0]
    y = ir.Value(name="pooled", shape=x.shape, type=x.type)
    readers = tuple(x.uses())
    pool = ir.Node("", "MaxPool", [x], [ir.AttrInt64s("kernel_shape", (1, 1))], outputs=[y], name="pool")
    model.graph.insert_before(model.graph[0], pool)
    for use in readers:
        use.node.replace_input_with(use.idx, y)
    return model


@BOUNDED
@given(cases())
def test_random_float_graphs(drawn: tuple[str, Case]) -> None:
    spec, case = OPERATORS[drawn[0]], drawn[1]
    expected = {f"y{k}": y for k, y in enumerate(spec.reference(case_node(spec, case), case.inputs))}
    check_float(build_float_model(spec, case), _feed(case), expected)
    record("random float graphs")
    first = case.inputs[0]
    if first is not None and first.ndim == 4 and first.dtype == np.float32 and 0 not in case.constant_inputs:
        check_float(_behind_pool(build_float_model(spec, case)), _feed(case), expected)
        record("random float graphs channels-last")


@BOUNDED
@given(cases())
def test_random_int8_graphs(drawn: tuple[str, Case]) -> None:
    spec, case = OPERATORS[drawn[0]], drawn[1]
    built = build_qdq_model(spec, case, DType.INT8)
    if built is None:
        return
    ours, imported = check_int8(*built, reference=spec.op_type not in WRONG_REFERENCE)
    record("random int8 graphs", spec.op_type, ours)
    assert ours.most <= MOST_STEPS, ours
    assert imported.most <= MOST_STEPS, imported
