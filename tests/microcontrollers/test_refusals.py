"""What has no kernel, or leaves the range in which C is exact, is refused at conversion, by name and with words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams
from edgert_converters.exporters.c import Core
from edgert_converters.exporters.c.export import lower
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.case_models import build_float_model
from edgert_converters.requantize import Requantize
from tests.conformance.q31_models import Operand, Rng, Single, activation, weights

HOST: Final = Core("host")
FINE: Final = QuantParams((1e-9,), (0,), DType.INT8)


def _pair(op_type: str) -> Callable[[Rng], Single]:
    def make(rng: Rng) -> Single:
        return Single(op_type, (activation(rng, (1, 6, 5)), activation(rng, (1, 6, 5))), FINE, (1, 6, 5))

    return make


def _prelu(rng: Rng) -> Single:
    slopes = Operand(rng.integers(-128, 128, (6, 1)).astype(np.int8), QuantParams((0.01,), (3,), DType.INT8))
    return Single("PRelu", (activation(rng, (1, 6, 5)), slopes), FINE, (1, 6, 5))


def _computed_slopes(rng: Rng) -> Single:
    coarse = QuantParams((0.1,), (0,), DType.INT8)
    return Single("PRelu", (activation(rng, (1, 6, 5)), activation(rng, (1, 6, 5))), coarse, (1, 6, 5))


def _matmul(rng: Rng) -> Single:
    return Single("MatMul", (activation(rng, (2, 3, 4)), activation(rng, (2, 4, 5))), FINE, (2, 3, 5))


def _conv_transpose(rng: Rng) -> Single:
    x, w = activation(rng, (1, 3, 4, 4)), weights(rng, (3, 2, 2, 2), 1)
    return Single("ConvTranspose", (x, w), FINE, (1, 2, 5, 5))


def _interleaved(rng: Rng) -> Single:
    operands = (activation(rng, (1, 2, 1, 2, 1, 2, 1)), activation(rng, (1, 1, 2, 1, 2, 1, 2)))
    return Single("Mul", operands, replace(FINE, scale=(0.1,)), (1, 2, 2, 2, 2, 2, 2))


REFUSED: Final = [
    (_pair("Mul"), Requantize.Q31, r"MUL cannot become C: its output is too fine .*\(a multiplier above 2\^15\)"),
    (
        _pair("Add"),
        Requantize.FP32,
        "ADD cannot become C: the scales of its inputs and of its output are too far apart",
    ),
    (_prelu, Requantize.Q31, r"PRELU cannot become C: its output is too fine .*\(a multiplier above 2\^14\)"),
    (_computed_slopes, Requantize.FP32, "PRELU cannot become C: input 1 is computed; C needs a constant there"),
    (_matmul, Requantize.Q31, "BATCH_MATMUL cannot become C: its sums can leave 32 bits"),
    (_matmul, Requantize.FP32, r"BATCH_MATMUL cannot become C: its results can reach 2\^22 steps of the output"),
    (_conv_transpose, Requantize.FP32, r"TRANSPOSE_CONV cannot become C: its results can reach 2\^22 steps"),
    (_interleaved, Requantize.FP32, r"MUL cannot become C: .* are spread over more than four axes"),
]


@pytest.mark.parametrize(("make", "mode", "words"), REFUSED)
def test_integers_outside_the_exact_range_are_refused(
    make: Callable[[Rng], Single], mode: Requantize, words: str
) -> None:
    single = make(np.random.default_rng(81))
    with pytest.raises(ModelError, match=f"node '.*': {words}.*; take another operator in its place"):
        lower(single.model(mode), HOST, "refused")


FLOATS: Final = [
    ("Conv", "3d", "CONV_3D cannot become C: there is no kernel for it"),
    ("Where", "broadcast", r"SELECT_V2 cannot become C: 'x0' is spread over \[3, 4\]; C spreads single numbers"),
    ("Cast", "to_float16", "CAST cannot become C: there is a kernel for it between float, int32, bool, int64 only"),
    ("CumSum", "int64", "CUMSUM cannot become C: there is a kernel for it on float only"),
    ("Mul", "shapes_int64", "MUL cannot become C: there is no kernel for it on int32"),
    ("LRN", "odd", "LOCAL_RESPONSE_NORMALIZATION cannot become C: there is no kernel for it"),
]


@pytest.mark.parametrize(("op_type", "name", "words"), FLOATS)
def test_operators_without_a_kernel_are_refused(op_type: str, name: str, words: str) -> None:
    spec = OPERATORS[op_type]
    case = next(case for case in spec.cases if case.name == name)
    with pytest.raises(ModelError, match=f"node 'y0.*': {words}.*operators.md"):
        lower(build_float_model(spec, case), HOST, "refused")
