from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgert.errors import ModelError
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.nodes import build_node
from edgert_converters.ops.spec import Array, AttributeValue, Node

_CONV = """
<ir_version: 9, opset_import: ["" : 13]>
graph_ (float[1, 3, 8, 8] x) => (float[1, 4, 8, 8] y)
<float[4, 3, 3, 3] w = {ZEROS}>
{
  y = Conv<pads = [1, 1, 1, 1], auto_pad = "NOTSET">(x, w)
}
"""


def _conv() -> ir.Node:
    model = ir.from_onnx_text(_CONV.replace("ZEROS", ",".join(["0"] * 108)))
    return next(iter(model.graph))


def test_attributes_shapes_and_constants_are_plain() -> None:
    node = build_node(_conv(), {"x": (1, 3, 8, 8), "y": (1, 4, 8, 8)})
    assert node.attributes == {"pads": (1, 1, 1, 1), "auto_pad": "NOTSET"}
    assert node.input_shapes == ((1, 3, 8, 8), (4, 3, 3, 3))
    assert node.opset == 13
    assert set(node.constants) == {1}
    assert OPERATORS["Conv"].macs(node) == 4 * 8 * 8 * 27


def test_shapes_on_the_values_themselves_are_used() -> None:
    assert build_node(_conv(), {}).output_shapes == ((1, 4, 8, 8),)


def test_an_unknown_shape_is_named() -> None:
    node = _conv()
    node.outputs[0].shape = None
    with pytest.raises(ModelError, match="the shape of 'y' is not known"):
        build_node(node, {})


def _run(op: str, inputs: list[Array], attributes: dict[str, AttributeValue], opset: int) -> Array:
    node = Node(op, op, attributes, tuple(x.shape for x in inputs), ((),), {}, opset)
    return OPERATORS[op].reference(node, inputs)[0]


@pytest.mark.parametrize(
    ("op", "attributes", "late_inputs"),
    [
        ("Clip", {"min": -0.5, "max": 0.5}, [np.float32(-0.5), np.float32(0.5)]),
        ("Squeeze", {"axes": (0,)}, [np.asarray([0])]),
        ("Unsqueeze", {"axes": (1,)}, [np.asarray([1])]),
        ("ReduceMean", {"axes": (1, 2)}, [np.asarray([1, 2])]),
        ("ReduceSum", {"axes": (-1,)}, [np.asarray([-1])]),
        ("Slice", {"starts": (1,), "ends": (3,), "axes": (2,)}, [np.asarray([1]), np.asarray([3]), np.asarray([2])]),
        ("Pad", {"pads": (0, 1, 0, 0, 0, 2), "value": 1.5}, [np.asarray([0, 1, 0, 0, 0, 2]), np.float32(1.5)]),
    ],
)
def test_old_attributes_mean_what_new_inputs_mean(
    op: str, attributes: dict[str, AttributeValue], late_inputs: list[Array]
) -> None:
    x = np.random.default_rng(1).standard_normal((1, 3, 4)).astype(np.float32)
    early = _run(op, [x], attributes, 6)
    late = _run(op, [x, *(np.asarray(v) for v in late_inputs)], {}, 18)
    assert np.array_equal(early, late)


def test_softmax_up_to_opset_12_spans_all_later_axes() -> None:
    x = np.random.default_rng(1).standard_normal((2, 3, 4)).astype(np.float32)
    assert _run("Softmax", [x], {"axis": 1}, 11).sum(axis=(1, 2)) == pytest.approx(np.ones(2), rel=1e-6)
    assert _run("Softmax", [x], {"axis": 1}, 13).sum(axis=1) == pytest.approx(np.ones((2, 4)), rel=1e-6)


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        ("Resize", {"mode": "quintic"}, "unknown mode 'quintic'"),
        ("Resize", {}, "neither sizes nor scales"),
        ("BatchNormalization", {"training_mode": 1}, "training mode"),
        ("AveragePool", {"kernel_shape": (9, 9)}, "does not fit"),
        ("MaxPool", {"kernel_shape": (2, 2), "auto_pad": "SOMEHOW"}, "auto_pad 'SOMEHOW'"),
        ("Reshape", {}, "has no shape"),
        ("LeakyRelu", {"alpha": "steep"}, "attribute 'alpha'"),
    ],
)
def test_what_cannot_be_computed_names_the_reason(op: str, attributes: dict[str, AttributeValue], message: str) -> None:
    x = np.zeros((1, 2, 4, 4), np.float32)
    with pytest.raises(ModelError, match=message):
        _run(op, [x], attributes, 18)
