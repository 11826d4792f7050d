from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.errors import UsageError
from edgert.plugins import EngineOptions
from edgert_converters.comparison.cut import cut_unit, steps_between
from edgert_converters.comparison.end_to_end import compare_end_to_end
from edgert_converters.comparison.isolated import compare_isolated
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.case_models import build_qdq_model
from edgert_converters.ops.spec import Array, Case
from edgert_converters.units import find_units

pytest.importorskip("onnxruntime")


def _softmax_with_scale(scale: float) -> tuple[ir.Model, dict[str, Array]]:
    x = np.random.default_rng(1).standard_normal((200, 10)).astype(np.float32)
    built = build_qdq_model(OPERATORS["Softmax"], Case("rows", (x,)), DType.UINT8)
    assert built is not None
    model, feeds = built
    model.graph.initializers["y0_scale"].const_value = ir.tensor(np.asarray(scale, np.float32), name="y0_scale")
    return model, feeds


def test_a_difference_of_the_engine_is_found_and_counted() -> None:
    """ONNX Runtime's softmax truncates 1 / scale: exact at 1/256, off by one step at 1/255."""
    (exact,) = compare_isolated(*_softmax_with_scale(1 / 256))
    (inexact,) = compare_isolated(*_softmax_with_scale(1 / 255))
    assert (exact.max_steps, exact.differing, exact.kernels) == (0, 0, ("QLinearSoftmax",))
    assert inexact.max_steps == 1
    assert 0 < inexact.differing < inexact.count == 2000


def test_end_to_end_says_the_same_of_one_unit() -> None:
    (output,) = compare_end_to_end(*_softmax_with_scale(1 / 255))
    assert output.differing > 0
    assert output.max_difference == 1


def test_a_cut_unit_has_integer_ends_and_leaves_the_model_alone() -> None:
    built = build_qdq_model(OPERATORS["Conv"], OPERATORS["Conv"].cases[0], DType.UINT8)
    assert built is not None
    model, feeds = built
    (unit,) = find_units(model.graph)
    before = ir.to_proto(model).SerializeToString()
    cut = cut_unit(model, unit, {**feeds, "y0": np.zeros((2, 5, 9, 8), np.uint8)})
    assert [v.dtype for v in (*cut.graph.inputs, *cut.graph.outputs)] == [ir.DataType.UINT8] * 2
    assert ir.to_proto(model).SerializeToString() == before


def test_unlike_tensors_are_not_compared() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        steps_between(np.zeros(3, np.int8), np.zeros(3, np.uint8))


def test_engine_options_reach_the_engine() -> None:
    with pytest.raises(UsageError, match="no option"):
        compare_isolated(*_softmax_with_scale(1 / 256), EngineOptions(options={"turbo": "1"}))
