from __future__ import annotations

from collections.abc import Sequence

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


def _run(op: str, inputs: Sequence[Array | None], attributes: dict[str, AttributeValue], opset: int) -> Array:
    node = Node(op, op, attributes, tuple(None if x is None else x.shape for x in inputs), ((),), {}, opset)
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


_ONE_GATE = (np.zeros((2, 1, 3), np.float32), np.zeros((1, 5, 3), np.float32), np.zeros((1, 5, 5), np.float32))


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "message"),
    [
        ("RNN", _ONE_GATE, {"activations": ("Tangent",)}, "unknown activation 'Tangent'"),
        ("RNN", _ONE_GATE, {"activations": ("Tahn",)}, "unknown activation 'Tahn'; did you mean 'tanh'"),
        ("LSTM", _ONE_GATE, {}, r"recurrent weights of the shape \(1, 5, 5\)"),
        ("GRU", _ONE_GATE, {"activations": ("Tanh",)}, "recurrent weights of the shape"),
        ("GridSample", (np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 1, 2))), {"mode": "soft"}, "unknown mode or padding"),
        ("GridSample", (np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 1, 2))), {"padding_mode": "x"}, "unknown mode or padd"),
        (
            "ScatterND",
            (np.zeros(3), np.zeros((1, 1), np.int64), np.zeros(1)),
            {"reduction": "mean"},
            "unknown reduction 'mean'",
        ),
        (
            "Resize",
            (np.zeros(4), None, np.asarray([2.0])),
            {"coordinate_transformation_mode": "half"},
            "coordinate_transformation_mode 'half' is unknown",
        ),
        ("Resize", (np.zeros(4), None, np.asarray([2.0])), {"nearest_mode": "up"}, "nearest_mode 'up' is unknown"),
    ],
)
def test_what_an_attribute_cannot_say_is_named(
    op: str, inputs: tuple[Array | None, ...], attributes: dict[str, AttributeValue], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        _run(op, inputs, attributes, 18)


def test_too_few_activations_are_named() -> None:
    inputs = [np.zeros((2, 1, 3), np.float32), np.zeros((2, 5, 3), np.float32), np.zeros((2, 5, 5), np.float32)]
    with pytest.raises(ModelError, match="RNN needs 2 activations, got 1"):
        _run("RNN", inputs, {"activations": ("Tanh",), "direction": "bidirectional"}, 18)


def test_activations_take_their_numbers_in_order() -> None:
    x, w, r = np.full((1, 1, 1), -2.0), np.ones((2, 1, 1)), np.zeros((2, 1, 1))
    attributes: dict[str, AttributeValue] = {
        "activations": ("LeakyRelu", "Affine"),
        "activation_alpha": (0.25, 3.0),
        "activation_beta": (1.0,),
        "direction": "bidirectional",
    }
    assert _run("RNN", [x, w, r], attributes, 18).reshape(-1).tolist() == [-0.5, -5.0]


@pytest.mark.parametrize(("layout", "shape"), [(0, (4, 2, 2, 5)), (1, (2, 4, 2, 5))])
def test_recurrent_operators_take_the_batch_first(layout: int, shape: tuple[int, ...]) -> None:
    """No engine of ours has this layout, so it is compared with the other one."""
    generator = np.random.default_rng(0)
    x, w, r = (generator.standard_normal(s) for s in ((4, 2, 3), (2, 20, 3), (2, 20, 5)))
    options: dict[str, AttributeValue] = {"direction": "bidirectional", "layout": layout}
    y = _run("LSTM", [x.swapaxes(0, 1) if layout else x, w, r], options, 18)
    assert y.shape == shape
    plain = _run("LSTM", [x, w, r], {"direction": "bidirectional"}, 18)
    np.testing.assert_array_equal(y.transpose(1, 2, 0, 3) if layout else y, plain)


def test_coupled_gates_forget_what_they_do_not_take() -> None:
    generator = np.random.default_rng(0)
    x, w, r = (generator.standard_normal(s) for s in ((3, 1, 2), (1, 4, 2), (1, 4, 1)))
    w[0, 2] = -w[0, 0]  # sigmoid(-z) is 1 - sigmoid(z): a forget gate that couples by its weights
    r[0, 2] = -r[0, 0]
    coupled = _run("LSTM", [x, w, r], {"input_forget": 1}, 18)
    np.testing.assert_allclose(coupled, _run("LSTM", [x, w, r], {}, 18), rtol=1e-12)
