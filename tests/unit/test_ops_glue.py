"""Operators around a network: what they refuse, the forms of old opsets, and what their cases do not show."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams
from edgert_converters.engine import load_runner
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import AttributeValue, Node, QTensor

pytest.importorskip("onnxruntime")


def _node(op_type: str, attributes: Mapping[str, AttributeValue] | None = None) -> Node:
    return Node(op_type, "n", attributes or {}, (), ((), ()))


@pytest.mark.parametrize(
    ("node", "inputs", "message"),
    [
        (_node("BitShift"), [1, 1], "direction of BitShift is ''; allowed: 'LEFT', 'RIGHT'"),
        (_node("Range"), [0, 5, 0], "Range has a delta of zero"),
        (_node("TopK"), [[1.0, 2.0], [3]], "k of TopK is 3; the axis has 2 values"),
        (_node("TopK"), [[1.0, 2.0], None], "k of TopK is absent; the axis has 2 values"),
        (_node("Max"), [[1.0], None], "Max needs input 1, which is absent"),
    ],
)
def test_what_cannot_be_computed_is_refused(node: Node, inputs: list[object], message: str) -> None:
    arrays = [None if value is None else np.asarray(value) for value in inputs]
    with pytest.raises(ModelError, match=re.escape(message)):
        OPERATORS[node.op_type].reference(node, arrays)


@pytest.mark.parametrize("op_type", ["LogSoftmax", "Hardmax", "Softmax"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_old_forms_take_all_axes_from_one_on(op_type: str, axis: int | None) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    attributes = {} if axis is None else {"axis": axis}
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name in "xy"]
    graph = helper.make_graph([helper.make_node(op_type, ["x"], ["y"], "n", **attributes)], "g", ports[:1], ports[1:])
    proto = helper.make_model(graph, ir_version=7, opset_imports=[helper.make_opsetid("", 11)])
    expected = load_runner(proto.SerializeToString())({"x": x})["y"]
    found = Interpreter(ir.from_proto(proto)).run({"x": x}).outputs["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_trilu_fills_with_the_zero_point() -> None:
    params = QuantParams((0.5,), (7,), DType.INT8)
    q = QTensor(np.full((2, 2), 100, np.int8), params)
    rule = OPERATORS["Trilu"].integer
    assert rule is not None
    (found,) = rule(_node("Trilu"), [q], [params])
    assert found.values.tolist() == [[100, 100], [7, 100]]


@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
def test_indices_of_dequantized_values_are_those_of_the_integers(op_type: str) -> None:
    q = np.random.default_rng(0).integers(-128, 128, (50, 64)).astype(np.int8)
    node = _node(op_type, {"axis": 1})
    reference = OPERATORS[op_type].reference
    real = (q.astype(np.float32) - 3) * np.float32(0.0123)
    assert np.array_equal(reference(node, [real])[0], reference(node, [q])[0])
