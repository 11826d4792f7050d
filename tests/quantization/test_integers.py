"""Int8 models as `edgert convert` writes them: ONNX Runtime gives the interpreter's integers, layer by layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgert.bundle import Bundle
from edgert.verification import LayerSteps
from edgert_converters.comparison.end_to_end import compare_end_to_end
from edgert_converters.comparison.isolated import compare_isolated
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import QuantRule
from tests.quantization.conftest import Converted

Quantized = tuple[str, ir.Model, dict[str, np.ndarray]]

INTEGER_KERNELS = {"Conv": "QLinearConv", "Gemm": "QGemm"}


@pytest.fixture(scope="module", params=["resnet20", "proxyless_w025"])
def quantized(request: pytest.FixtureRequest, convert_zoo: Callable[[str], Converted]) -> Quantized:
    """The int8 model of a bundle and one real sample that it was not calibrated on."""
    with Bundle.open(convert_zoo(request.param).bundle) as bundle:
        data = bundle.read(bundle.manifest.variant("onnx-int8").path)
        golden = bundle.golden()
    inputs = {key.removeprefix("input/"): values[0] for key, values in golden.items() if key.startswith("input/")}
    return request.param, ir.from_proto(onnx.load_from_string(data)), inputs


def _describe(rows: list[LayerSteps]) -> str:
    return ", ".join(f"{row.layer} ({row.op}): {row.max_steps} steps in {row.differing}/{row.count}" for row in rows)


def test_every_unit_gives_the_interpreters_integers(quantized: Quantized) -> None:
    name, model, inputs = quantized
    results = compare_isolated(model, inputs)
    computed = [row for row in results if OPERATORS[row.op].quantization is QuantRule.COMPUTE]
    present = [node.op_type for node in model.graph if node.op_type in {"Conv", "Gemm", "MatMul", "ConvTranspose"}]
    assert [row.op for row in computed] == present, "no convolution or fully connected layer was left out"
    for row in computed:
        assert INTEGER_KERNELS[row.op] in row.kernels, f"{row.layer} ran as {row.kernels}"
        assert row.is_fused
    different = [row for row in results if row.max_steps]
    print(f"{name}: {len(computed)} integer layers, {len(results)} units, {_describe(different) or '0 steps'}")
    assert different == []


def test_the_whole_model_is_compared_with_the_interpreter(quantized: Quantized) -> None:
    name, model, inputs = quantized
    for output in compare_end_to_end(model, inputs):
        print(f"{name} end to end: {output}")
        assert output.max_steps == 0, output


def test_only_the_asked_layers_are_compared(quantized: Quantized) -> None:
    _, model, inputs = quantized
    first = next(str(node.name) for node in model.graph if node.op_type == "Conv")
    assert [row.layer for row in compare_isolated(model, inputs, layers=[first])] == [first]
