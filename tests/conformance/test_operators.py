"""Every operator of the table against the ONNX reference evaluator and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.plugins import EngineOptions
from edgert.runtime.cpu import is_x86
from edgert.verification import LayerSteps
from edgert_converters.comparison.isolated import compare_isolated
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.case_models import build_float_model, build_qdq_model, case_node
from edgert_converters.ops.spec import Array, Case, Operator, QuantRule

pytest.importorskip("onnxruntime")

# Both sum in different orders of float32 at best; a wrong formula is off by far more.
FLOAT_TOLERANCE = 1e-5
# What the reference evaluator cannot do; ONNX Runtime stands in.
WITHOUT_REFERENCE = {
    ("ConvTranspose", "groups"),
    ("ConvTranspose", "output_shape"),
    ("GRU", "clip"),
    ("GRU", "lengths_states"),
    ("GatherBlockQuantized", "int4_blocks_of_128"),
    ("GatherBlockQuantized", "int4_blocks_of_32"),
    ("GatherBlockQuantized", "int8_blocks_of_64"),
    ("GlobalLpPool", "l1"),
    ("GlobalLpPool", "l2"),
    ("GlobalMaxPool", "1d"),
    ("GridSample", "cubic_border"),
    ("GridSample", "cubic_border_aligned"),
    ("LSTM", "activations"),
    ("LSTM", "clip"),
    ("LSTM", "lengths_states"),
    ("LpNormalization", "l1_channels"),
    ("MatMulNBits", "int4_blocks_of_128"),
    ("MatMulNBits", "int4_blocks_of_32"),
    ("MatMulNBits", "int8_blocks_of_32"),
    ("MatMulNBits", "int8_blocks_of_64"),
    ("MaxPool", "column_major"),
    ("Pad", "cuts"),
    ("RNN", "clip"),
    ("RNN", "lengths_states"),
    ("RNN", "relu"),
    ("Upsample", "linear"),
}
# Kernels that do not fuse compute in float32, so a value near a rounding border may move by one step.
MOST_STEPS_UNFUSED = 1
MOST_DIFFERING_SHARE = 0.03

CASES = [pytest.param(spec, case, id=f"{name}-{case.name}") for name, spec in OPERATORS.items() for case in spec.cases]
QUANTIZED_CASES = [
    pytest.param(spec, case, id=f"{name}-{case.name}")
    for name, spec in OPERATORS.items()
    for case in spec.cases
    if build_qdq_model(spec, case, DType.UINT8) is not None
]


def _feeds(case: Case) -> dict[str, Array]:
    return {f"x{i}": x for i, x in enumerate(case.inputs) if x is not None and i not in case.constant_inputs}


def _expected(spec: Operator, case: Case) -> list[Array]:
    model = ir.to_proto(build_float_model(spec, case))
    if (spec.op_type, case.name) in WITHOUT_REFERENCE:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return list(session.run(None, _feeds(case)))
    from onnx.reference import ReferenceEvaluator

    return [np.asarray(y) for y in ReferenceEvaluator(model).run(None, _feeds(case))]


@pytest.mark.parametrize("name", OPERATORS)
def test_operator_has_cases_and_its_own_name(name: str) -> None:
    spec = OPERATORS[name]
    assert spec.op_type == name
    assert spec.cases, f"{name} has no test case"
    assert len({case.name for case in spec.cases}) == len(spec.cases)
    if spec.quantization is not QuantRule.FLOAT:
        assert spec.integer is not None, f"{name} is quantized but has no integer rule"


@pytest.mark.parametrize(("spec", "case"), CASES)
def test_float_reference_equals_onnx(spec: Operator, case: Case) -> None:
    node = case_node(spec, case)
    found = spec.reference(node, case.inputs)
    for ours, theirs in zip(found, _expected(spec, case), strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=FLOAT_TOLERANCE, atol=FLOAT_TOLERANCE)
    assert node.output_shapes == tuple(y.shape for y in found)


@pytest.mark.parametrize(("spec", "case"), CASES)
def test_macs_are_sane(spec: Operator, case: Case) -> None:
    node = case_node(spec, case)
    macs = spec.macs(node)
    outputs = int(np.prod(node.output_shapes[0], dtype=np.int64))
    assert type(macs) is int
    # a ConvTranspose is counted by its inputs: an output between two strides may get nothing
    if spec.quantization is QuantRule.COMPUTE and spec.op_type != "ConvTranspose":
        assert macs >= outputs
        assert macs % outputs == 0
    else:
        assert macs >= 0


def _random_integers(feeds: dict[str, Array]) -> Iterator[dict[str, Array]]:
    yield feeds
    for seed in range(2):
        generator = np.random.default_rng(seed)
        yield {
            name: generator.integers(np.iinfo(q.dtype).min, int(np.iinfo(q.dtype).max) + 1, q.shape).astype(q.dtype)
            for name, q in feeds.items()
        }


def _compare(spec: Operator, case: Case, encoding: DType) -> list[LayerSteps]:
    built = build_qdq_model(spec, case, encoding)
    assert built is not None
    model, feeds = built
    assert len(Interpreter(model).units) == 1, "the interpreter did not take the operator as an integer unit"
    options = EngineOptions(threads=1)
    return [steps for inputs in _random_integers(feeds) for steps in compare_isolated(model, inputs, options)]


@pytest.mark.parametrize("encoding", [DType.UINT8, DType.INT8], ids=["uint8", "int8"])
@pytest.mark.parametrize(("spec", "case"), QUANTIZED_CASES)
def test_integer_rule_equals_onnxruntime(spec: Operator, case: Case, encoding: DType) -> None:
    results = _compare(spec, case, encoding)
    for result in results:
        if result.is_fused:
            assert result.max_steps == 0, result
        else:
            assert result.max_steps <= MOST_STEPS_UNFUSED, result
            assert result.differing <= MOST_DIFFERING_SHARE * result.count, result


@pytest.mark.skipif(not is_x86(), reason="the column of the support table speaks of x86")
@pytest.mark.parametrize("name", [name for name, spec in OPERATORS.items() if spec.integer and name != "Upsample"])
def test_fused_column_tells_what_ran(name: str) -> None:
    spec = OPERATORS[name]
    cases = (case for case in spec.cases if build_qdq_model(spec, case, DType.UINT8) is not None)
    fused = [result.is_fused for case in cases for result in _compare(spec, case, DType.UINT8)]
    assert any(fused) == spec.onnxruntime_int8
    if spec.quantization is QuantRule.COMPUTE:
        assert all(fused) == spec.onnxruntime_int8
