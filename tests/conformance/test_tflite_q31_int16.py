"""q31 requantization of 16-bit activations against TensorFlow Lite Micro, equal in every number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.requantize import Requantize
from tests.conformance.q31_models import (
    Maker,
    Operand,
    Rng,
    Single,
    bias,
    exported,
    interpreted,
    plain_output,
    real_output,
    run_tflm,
    scale,
    stored_inputs,
    weights,
)

pytest.importorskip("tflite_micro")
pytest.importorskip("tflite")

SEEDS = range(15)
ANY = QuantParams((1.0,), (0,), DType.INT16)
UNIT = QuantParams((1 / 32768,), (0,), DType.INT16)


def _activation(rng: Rng, shape: Sequence[int], centre: float = 0.001) -> Operand:
    values = rng.integers(-32768, 32768, tuple(shape)).astype(np.int16)
    return Operand(values, QuantParams((scale(rng, centre),), (0,), DType.INT16), is_activation=True)


def _fitted(rng: Rng, single: Single) -> Single:
    largest = max(float(np.abs(real_output(single)).max()), 1e-3)
    step = float(np.float32(largest * rng.uniform(0.3, 1.2) / 32767))
    return replace(single, output=QuantParams((step,), (0,), DType.INT16))


def conv(rng: Rng) -> Single:
    x, w = _activation(rng, (1, 3, 6, 6)), weights(rng, (4, 3, 3, 3), 0)
    operands = (x, w, bias(rng, x, w, 4)) if rng.integers(2) else (x, w)
    return _fitted(rng, Single("Conv", operands, ANY, (1, 4, 6, 6), {"pads": (1, 1, 1, 1)}))


def gemm(rng: Rng) -> Single:
    x, w = _activation(rng, (1, 20)), weights(rng, (7, 20), None)
    return _fitted(rng, Single("Gemm", (x, w, bias(rng, x, w, 7)), ANY, (1, 7), {"transB": 1}))


def matmul(rng: Rng) -> Single:
    operands = _activation(rng, (1, 2, 3, 8)), _activation(rng, (1, 2, 8, 4))
    return _fitted(rng, Single("MatMul", operands, ANY, (1, 2, 3, 4)))


def _pair(op_type: str) -> Maker:
    def make(rng: Rng) -> Single:
        operands = _activation(rng, (1, 4, 5)), _activation(rng, (1, 4, 5))
        return _fitted(rng, Single(op_type, operands, ANY, (1, 4, 5)))

    return make


def _fixed(op_type: str) -> Maker:
    def make(rng: Rng) -> Single:
        return Single(op_type, (_activation(rng, (2, 40), 0.0003),), UNIT, (2, 40))

    return make


def average_pool(rng: Rng) -> Single:
    x = _activation(rng, (1, 3, 8, 8))
    return Single("AveragePool", (x,), x.params or ANY, (1, 3, 4, 4), {"kernel_shape": (2, 2), "strides": (2, 2)})


MAKERS: dict[str, Maker] = {
    "add": _pair("Add"),
    "average_pool": average_pool,
    "conv": conv,
    "gemm": gemm,
    "matmul": matmul,
    "mul": _pair("Mul"),
    "sigmoid": _fixed("Sigmoid"),
    "softmax": _fixed("Softmax"),
    "sub": _pair("Sub"),
    "tanh": _fixed("Tanh"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_random_files_give_the_integers_of_tensorflow_lite_micro(name: str) -> None:
    for seed in SEEDS:
        single = MAKERS[name](np.random.default_rng(seed))
        data = exported(single)
        expected = plain_output(single, run_tflm(data, stored_inputs(single)))
        found = interpreted(single, Requantize.Q31)
        np.testing.assert_array_equal(found, expected.reshape(found.shape))
