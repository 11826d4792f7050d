"""Einsum becomes plain operators with the same numbers, where its equation is of a common kind."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from edgert_converters.passes.lower_einsum import lower_einsum
from edgert_converters.passes.output_check import OutputCheck, run_model
from edgert_converters.passes.pipeline import infer_shapes, run_pipeline

# sums in another order of float32
FLOAT_NOISE = 1e-5

LOWERED = [
    ("bij,bjk->bik", ((2, 3, 4), (2, 4, 5)), ["MatMul"]),
    ("ij,jk", ((3, 4), (4, 5)), ["MatMul"]),
    ("bqhd,bkhd->bhqk", ((2, 3, 4, 5), (2, 6, 4, 5)), ["MatMul", "Transpose", "Transpose"]),
    ("bhqk,bkhd->bqhd", ((2, 4, 3, 6), (2, 6, 4, 5)), ["MatMul", "Transpose", "Transpose"]),
    ("bij->jbi", ((2, 3, 4),), ["Transpose"]),
    ("bij->i", ((2, 3, 4),), ["ReduceSum"]),
    ("bij->ij", ((1, 3, 4),), ["ReduceSum"]),
    ("i,j->ij", ((3,), (4,)), ["Mul", "Reshape", "Reshape"]),
    ("bchw,c->bchw", ((2, 3, 4, 5), (3,)), ["Mul", "Reshape"]),
    ("bij,ij->b", ((2, 3, 4), (3, 4)), ["MatMul", "Reshape", "Reshape", "Reshape"]),
    ("ij,ij->", ((3, 4), (3, 4)), ["MatMul", "Reshape", "Reshape", "Reshape"]),
    ("bij,k->bi", ((2, 3, 4), (5,)), ["Mul", "ReduceSum", "ReduceSum", "Reshape"]),
    ("nchw,kc->nkhw", ((2, 3, 4, 5), (6, 3)), ["MatMul", "Reshape", "Reshape", *["Transpose"] * 3]),
]
KEPT = [
    ("ii->i", ((4, 4),)),
    ("...ij->...ji", ((2, 3, 4),)),
    ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 5))),
    ("ij,jk->ik", ((2, 3), (1, 4))),
]


def build(equation: str, shapes: tuple[tuple[int | str, ...], ...], rank: int) -> ir.Model:
    names = [f"x{i}" for i in range(len(shapes))]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip(names, shapes, strict=True)]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)
    node = helper.make_node("Einsum", names, ["y"], name="einsum", equation=equation)
    graph = helper.make_graph([node], "graph", inputs, [output])
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))
    infer_shapes(model)
    return model


def feed_of(shapes: tuple[tuple[int, ...], ...]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    return {f"x{i}": generator.standard_normal(shape).astype(np.float32) for i, shape in enumerate(shapes)}


def expected_of(equation: str, feed: dict[str, np.ndarray]) -> np.ndarray:
    return np.einsum(equation, *(x.astype(np.float64) for x in feed.values()))


@pytest.mark.parametrize(("equation", "shapes", "operators"), LOWERED, ids=[row[0] for row in LOWERED])
def test_common_equations_become_plain_operators(
    equation: str, shapes: tuple[tuple[int, ...], ...], operators: list[str]
) -> None:
    feed = feed_of(shapes)
    expected = expected_of(equation, feed)
    model = build(equation, shapes, expected.ndim)
    source = ir.to_proto(model).SerializeToString()
    check = OutputCheck((feed,), (tuple(run_model(source, feed)),))
    cleaned, records = run_pipeline(model, check)
    assert "lower_einsum" in {record.name for record in records if not record.undone}
    assert sorted(node.op_type for node in cleaned.graph) == operators
    (found,) = run_model(ir.to_proto(cleaned).SerializeToString(), feed)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=FLOAT_NOISE, atol=FLOAT_NOISE)


@pytest.mark.parametrize(("equation", "shapes"), KEPT, ids=[row[0] for row in KEPT])
def test_others_are_left_alone(equation: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    model = build(equation, shapes, 2)
    assert lower_einsum(model) == 0
    assert [node.op_type for node in model.graph] == ["Einsum"]


def test_one_dynamic_axis_stays_dynamic() -> None:
    equation = "bqhd,bkhd->bhqk"
    model = build(equation, (("batch", 3, 4, 5), ("batch", 6, 4, 5)), 4)
    assert lower_einsum(model) == 1
    for batch in (1, 3):
        feed = feed_of(((batch, 3, 4, 5), (batch, 6, 4, 5)))
        (found,) = run_model(ir.to_proto(model).SerializeToString(), feed)
        np.testing.assert_allclose(found, expected_of(equation, feed), rtol=FLOAT_NOISE, atol=FLOAT_NOISE)


def test_two_dynamic_axes_are_left_alone() -> None:
    assert lower_einsum(build("ij,jk->ik", (("a", 3), (3, "b")), 2)) == 0
